//! Drives the journal machine of one attempt: the one place that records, replays and orders writes.

mod arguments;
mod attempt;
mod branch;
mod compensation;
pub mod crash;
mod deadline;
mod dry_run;
mod events;
mod exclusive;
#[cfg(any(test, feature = "test-support"))]
pub mod interpose;
mod key_values;
mod messages;
mod promises;
mod recorder;
mod spans;
mod tally;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
mod transaction;
mod unwritten;
mod waiting;
mod workflow;

pub use arguments::Arguments;
pub use attempt::{Attempt, AttemptOptions, MAX_SESSIONS, Turn};
pub use branch::{Beside, MAX_BRANCHES, Work};
pub use events::{Delivered, MAX_EVENT_BYTES, Publishing, SUBSCRIBER_FUNCTION, event_seal};
pub use exclusive::Place;
pub use messages::{Bounds, Outgoing, SCHEDULED_FUNCTION, ScheduledInput};
pub use promises::{Answer, Completed, Hold, MAX_PROMISE_BYTES, PromiseState, Promises, Waited, Watched};
pub use recorder::{CallStep, Entered, ExternalEffect, ExternalStep, ObserveStep, Observing, Recorder};
pub use tally::Tallied;
pub use transaction::{Transaction, TransactionStep};
pub use unwritten::Unwritten;
pub use waiting::promise_seal;
pub use workflow::{Attached, Started, Workflow};
