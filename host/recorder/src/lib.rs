//! Drives the journal machine of one attempt: the one place that records, replays and orders writes.

mod attempt;
mod compensation;
pub mod crash;
mod dry_run;
#[cfg(any(test, feature = "test-support"))]
pub mod interpose;
mod key_values;
mod messages;
mod recorder;
mod tally;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
mod transaction;
mod waiting;

pub use attempt::{Attempt, AttemptOptions, Unwritten};
pub use messages::{Outgoing, SCHEDULED_FUNCTION, ScheduledInput};
pub use recorder::{CallStep, Entered, ExternalEffect, ExternalStep, Recorder};
pub use tally::Tallied;
pub use transaction::{Transaction, TransactionStep};
pub use waiting::{Answer, Completed, Hold, MAX_PROMISE_BYTES, PromiseState, Promises, Waited, promise_seal};
