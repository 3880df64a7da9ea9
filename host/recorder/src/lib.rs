//! Drives the journal machine of one attempt: the one place that records, replays and orders writes.

mod attempt;
mod compensation;
pub mod crash;
mod recorder;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
mod transaction;

pub use attempt::{Attempt, AttemptOptions, Unwritten};
pub use recorder::{CallStep, Entered, ExternalEffect, ExternalStep, Recorder, SCHEDULED_FUNCTION, ScheduledInput};
pub use transaction::{Transaction, TransactionStep};
