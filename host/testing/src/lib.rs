//! How the platform, and what runs on it, is tested.
#![doc = include_str!("../README.md")]

mod clock;
mod crash;
mod failures;
mod histories;
mod host;
mod seal;
pub mod simulation;

pub use clock::SimClock;
pub use crash::crash_at_each_entry;
pub use failures::{Failures, fail_each_call};
pub use host::{TestApp, TestHost};
