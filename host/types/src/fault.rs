//! Why an attempt ended without an answer. A result that the WIT calls an error is an answer and never a fault.

use crate::Position;

/// Whose doing a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The component's.
    Guest,
    /// Ours, or that of what we stand on.
    Host,
}

/// What ends an attempt. It passes through every instance of the call tree as an error, and is handled once, by the invoker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest asks for something else than what is recorded.
    #[error("journal mismatch at {position}: recorded {recorded}, asked for {asked}")]
    Mismatch {
        /// Where.
        position: Position,
        /// The recorded command.
        recorded: String,
        /// What the guest asked for.
        asked: String,
    },
    /// The guest broke a rule; it would again.
    #[error("{0}")]
    Guest(String),
    /// The guest stopped: a panic, an exhausted limit, garbage where a value should be.
    #[error("trap: {0}")]
    Trap(String),
    /// Someone else appended where this attempt was about to: it no longer owns the invocation.
    #[error("another attempt has taken over")]
    Fenced,
    /// An append or a commit failed, or nobody knows whether it happened.
    #[error("the outcome of a commit is unknown: {0}")]
    CommitUnknown(String),
    /// The database will not have what is to be appended, and would not have it in the next attempt either, unless somebody changes
    /// something.
    #[error("the database refuses the append: {0}")]
    AppendRefused(String),
    /// The database asked for the transaction to be done again (serialization failure, deadlock, connection lost before COMMIT).
    #[error("the transaction must be repeated: {0}")]
    RepeatTransaction(String),
    /// The idempotency key belongs to another invocation.
    #[error("the idempotency key is in use")]
    KeyTaken,
    /// Something we stand on is not there now.
    #[error("{0}")]
    Transient(String),
    /// A bound of durability.md 10.2 was passed.
    #[error("{0}")]
    LimitExceeded(String),
    /// No connection, instance or slot came free in time.
    #[error("{0}")]
    Overloaded(String),
    /// Not a failure: the invocation waits, durably, and its instances are given up.
    #[error("the invocation is suspended")]
    Suspended,
}

impl Fault {
    /// Whose doing it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Mismatch { .. } | Self::Guest(_) | Self::Trap(_) | Self::LimitExceeded(_) => Blame::Guest,
            Self::Fenced
            | Self::CommitUnknown(_)
            | Self::AppendRefused(_)
            | Self::RepeatTransaction(_)
            | Self::KeyTaken
            | Self::Transient(_)
            | Self::Overloaded(_)
            | Self::Suspended => Blame::Host,
        }
    }

    /// The word for it: for metrics and traces, where its text may not go.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Mismatch { .. } => "mismatch",
            Self::Guest(_) => "guest_fault",
            Self::Trap(_) => "trap",
            Self::Fenced => "fenced",
            Self::CommitUnknown(_) => "commit_unknown",
            Self::AppendRefused(_) => "append_refused",
            Self::RepeatTransaction(_) => "repeat_transaction",
            Self::KeyTaken => "key_taken",
            Self::Transient(_) => "transient",
            Self::LimitExceeded(_) => "limit_exceeded",
            Self::Overloaded(_) => "overloaded",
            Self::Suspended => "suspended",
        }
    }

    /// Whether another attempt can end differently.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Mismatch { .. } | Self::Guest(_) | Self::LimitExceeded(_))
    }
}
