//! What one entry of an invocation's record says. Stored for years: a case is added, never changed.

use std::fmt;

use bytes::Bytes;
use host_types::{ComponentId, DeploymentNumber, NodeId, Position};

use crate::Seed;

/// Bytes of one entry at most, before sealing.
pub const MAX_ENTRY_BYTES: usize = 1 << 20;
/// Payload bytes of one invocation at most, its input among them. Nothing is added beyond it; what was recorded is replayed whatever its size.
pub const MAX_INVOCATION_BYTES: usize = 16 << 20;
/// Entries of one invocation at most.
pub const MAX_ENTRIES: usize = 50_000;
/// Payload bytes beyond [`MAX_INVOCATION_BYTES`] for what a cancelled invocation undoes: one that is full must not be one that nobody can end.
pub const UNDOING_BYTES: usize = 2 << 20;
/// Entries beyond [`MAX_ENTRIES`] for the same.
pub const UNDOING_ENTRIES: usize = 10_000;

/// An argument, a result, an input or an output, in the encoding of whoever recorded it.
pub type Payload = Bytes;

/// A keyed hash of a command's arguments: equal arguments are equal, and nothing else can be learnt from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ArgumentHash(pub [u8; 16]);

impl fmt::Debug for ArgumentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The five kinds of command, and calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandKind {
    /// Reads; done again if its answer is lost.
    Observation,
    /// Commits in the module's own schema.
    Transaction,
    /// Another component, awaited.
    Call,
    /// Reaches a foreign system.
    External,
    /// Send, schedule, publish.
    Message,
    /// Sleep, promise.
    Wait,
}

/// One item of the record.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Order of arrival in the invocation, from 0, without gaps.
    pub index: u32,
    /// What it says.
    pub body: Body,
}

/// The kinds of entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Always the first: what the invocation is.
    Started(Box<Header>),
    /// A new owner, or an operator's word. An attempt begins only after its fence.
    Fence {
        /// Counts attempts from 1; the first attempt of a fresh invocation is 0 and has no fence.
        attempt: u32,
        /// Who owns the invocation from here on.
        node: NodeId,
        /// Why.
        reason: FenceReason,
    },
    /// What the guest asked, with the answer when both became known together.
    Command {
        /// Where.
        position: Position,
        /// Which kind.
        kind: CommandKind,
        /// What was asked for: interface and function, for a call with the component.
        target: String,
        /// With which arguments.
        arguments: ArgumentHash,
        /// The answer, unless a [`Body::Completion`] brings it.
        answer: Option<Payload>,
    },
    /// The answer to an earlier command.
    Completion {
        /// Of the command.
        position: Position,
        /// The answer.
        answer: Payload,
    },
    /// The handler returned.
    Output(Payload),
}

impl Body {
    /// Of the command it is about.
    pub fn position(&self) -> Option<&Position> {
        match self {
            Self::Command { position, .. } | Self::Completion { position, .. } => Some(position),
            Self::Started(_) | Self::Fence { .. } | Self::Output(_) => None,
        }
    }
}

/// What the invocation is.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// The component called.
    pub component: ComponentId,
    /// The exported function, `nexus:http/handler.handle`.
    pub function: String,
    /// Pins the revisions of the whole call tree. Of one that was sent, as it is stored, the sender's; the row of the invocation has what its first
    /// attempt pinned it to, or an operator, and wins.
    pub deployment: DeploymentNumber,
    /// What it was called with.
    pub input: Payload,
    /// Everything derived comes from here.
    pub seed: Seed,
    /// The verified caller, or empty.
    pub subject: String,
    /// W3C `traceparent`, or empty.
    pub trace_parent: String,
    /// Guest memory, bytes; a guest can see it. Of one that was sent, the sender's.
    pub memory_limit_bytes: u64,
    /// When the invocation began, milliseconds since 1970-01-01 UTC.
    pub started_ms: u64,
    /// Of a workflow: the id it was started under.
    pub workflow: Option<String>,
    /// When what is awaited on its behalf must have come, milliseconds since 1970-01-01 UTC.
    pub deadline_ms: Option<u64>,
}

/// Why a fence was appended.
#[derive(Debug, Clone, PartialEq)]
pub enum FenceReason {
    /// The owner is gone, or lost count of what is durable.
    TakeOver,
    /// The last attempt ended like this; another follows.
    Retry(Cause),
    /// No more attempts until a person says so.
    Pause(Cause),
    /// A person said so.
    Resume,
    /// A person ended it, for this reason: what it pushed as compensations and did not settle is run, and then it is over.
    Cancel(String),
    /// A person answers the command here, which stays without an answer otherwise; the next entry is the completion.
    Answer {
        /// Of the command.
        position: Position,
        /// Why, in that person's words.
        text: String,
    },
    /// It goes on waiting for what it waited for before: nothing else would stand in the append that gives its instance up.
    Suspend,
    /// What it waited for has come.
    Wake,
}

/// The longest text of a [`Cause`], bytes.
const MAX_CAUSE_BYTES: usize = 1024;

/// How an attempt ended. Made by [`Cause::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The last command it had issued, when it had issued one.
    pub position: Option<Position>,
    /// What happened, for a person; no secrets, no personal data.
    pub text: String,
    /// A panic or an exhausted limit of the guest, as against something around it.
    pub trap: bool,
}

impl Cause {
    /// Guests and peers word it, and every attempt that fails keeps one, in an entry and in a column: so it is cut after 1 KiB, and has
    /// spaces in the place of control characters, of which the database does not take U+0000.
    pub fn new(position: Option<Position>, text: &str, trap: bool) -> Self {
        let kept = &text[..text.floor_char_boundary(MAX_CAUSE_BYTES)];
        let plain = |character: char| if character.is_control() { ' ' } else { character };
        Self {
            position,
            text: kept.chars().map(plain).collect(),
            trap,
        }
    }
}

/// Where an invocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvocationStatus {
    /// An attempt is under way, or due.
    Running,
    /// It waits, and holds nothing.
    Suspended,
    /// It waits for a person.
    Paused,
    /// It returned.
    Completed,
    /// It ended with a final fault.
    Failed,
    /// A person ended it.
    Cancelled,
}

impl InvocationStatus {
    /// The word for it everywhere: SQL, API, logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// No attempt follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for CommandKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observation => "observation",
            Self::Transaction => "transaction",
            Self::Call => "call",
            Self::External => "external effect",
            Self::Message => "message",
            Self::Wait => "wait",
        })
    }
}

impl fmt::Display for InvocationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_short_and_has_no_control_characters() {
        let cause = Cause::new(None, "not\0now,\n\u{1b}[31mor ever", false);
        assert_eq!(cause.text, "not now,  [31mor ever");
        // Nine bytes and then three for each: the last that fits ends before the bound.
        let long = Cause::new(None, &format!("no, never{}", "\u{20ac}".repeat(1 << 20)), true);
        assert_eq!(long.text.len(), 9 + 338 * 3);
        assert!(long.text.ends_with('\u{20ac}') && long.trap);
    }
}
