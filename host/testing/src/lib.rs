//! How the platform, and what runs on it, is tested.

mod clock;
pub mod simulation;

pub use clock::SimClock;
