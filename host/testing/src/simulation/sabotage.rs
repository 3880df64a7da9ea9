//! Bugs, planted one at a time, to show that the auditor would find them. They live in the simulated database and in the simulated
//! modules: the code that is released has no switch for them.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// An entry is written whether or not there is one of that index already.
    NoFence,
    /// An append is acknowledged, and then committed, if the node lives so long.
    AcknowledgeBeforeCommit,
    /// An idempotency key is taken some time after the rows of its request.
    ClaimAfterRows,
    /// A new owner sends again what the invocation has sent.
    SendAgainOnTakeover,
    /// An operator's cancellation runs no compensation.
    ForgetCompensations,
    /// The rows of a transaction commit before its entries.
    RowsBeforeEntries,
    /// The key that a foreign system knows a repetition by is another one in each attempt.
    KeyPerAttempt,
    /// An id that is taken is taken again: whoever starts a workflow under it begins another one.
    WorkflowStartedTwice,
    /// An exclusive key is free before the commit of what was done with it.
    ReleaseBeforeCommit,
    /// A tick is met whether or not another node has met it.
    TickWithoutFence,
    /// Of the events of a key not the first is delivered first.
    LaneWithoutOrder,
    /// An event is there before the commit that publishes it, which may fail.
    PublishBeforeCommit,
    /// An invocation is loaded in two looks, the row before the entries.
    RowBeforeEntries,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::NoFence,
        Self::AcknowledgeBeforeCommit,
        Self::ClaimAfterRows,
        Self::SendAgainOnTakeover,
        Self::ForgetCompensations,
        Self::RowsBeforeEntries,
        Self::KeyPerAttempt,
        Self::WorkflowStartedTwice,
        Self::ReleaseBeforeCommit,
        Self::TickWithoutFence,
        Self::LaneWithoutOrder,
        Self::PublishBeforeCommit,
        Self::RowBeforeEntries,
    ];
}
