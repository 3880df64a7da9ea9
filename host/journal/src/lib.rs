//! The replay state machine: entries in, actions out, no I/O.
//!
//! A guest issues commands; each has a position (scope and number). While the journal holds an answer for a position, the
//! machine gives it back ([`Step::Recorded`]); past that, it tells the caller to act ([`Step::Perform`]) and takes note of the
//! outcome. What is noted becomes durable with [`Machine::pending`]; the rules of when that must be are here, the writing is not.

mod append;
mod codec;
mod compensation;
mod derive;
mod entry;
mod exclusive;
mod machine;
mod retry;
mod workflow;

pub use append::{
    Append, AppendError, AppendJournal, Claim, Completion, HostParameter, HostStatement, KeyValueWrite, Message,
    Publication, Start, Suspension,
};
pub use codec::{DecodeError, Seal, SealError, decode, encode};
pub use compensation::{
    Compensation, Effect, Pushed, Settled, Undone, cancelled, compensating_scope, compensations, standing_effects,
    target as compensation_target,
};
pub use derive::Seed;
pub use entry::{
    ArgumentHash, Body, Cause, CommandKind, Entry, FenceReason, Header, InvocationStatus, MAX_ENTRIES, MAX_ENTRY_BYTES,
    MAX_INVOCATION_BYTES, Payload, UNDOING_BYTES, UNDOING_ENTRIES,
};
pub use exclusive::{
    ACQUIRE, Acquired, ExclusiveKey, KeyId, exclusive_scope, has_acquired, open_places, places_within, recorded_place,
};
pub use machine::{Beyond, Finish, Likeness, Machine, RequestHashes, Returned, Step};
pub use retry::{Decision, Exhausted, RetryPolicy, decide};
pub use workflow::{
    MAX_PROMISE_NAME_BYTES, MAX_WORKFLOW_ID_BYTES, OUTPUT_PROMISE, WorkflowEnd, WorkflowKey, WorkflowStart,
    workflow_promise,
};
