//! Time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// What time it is. Two readings for two questions: dates, and how long something took.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01 UTC. May jump when the machine's clock is set.
    fn unix_ms(&self) -> u64;

    /// Nanoseconds since some fixed moment, never decreasing, and counting while the machine sleeps:
    /// a lease that ran out during a suspend has run out.
    fn boot_ns(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn unix_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64)
    }

    fn boot_ns(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }
}
