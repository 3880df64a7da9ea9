//! Time as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
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

/// A machine's clock, put right by what is known of how far it is off: so ids and times of several machines are by one clock.
pub struct CorrectedClock {
    clock: Arc<dyn Clock>,
    offset_ms: AtomicI64,
}

/// What a clock is read over a network for is known no better than this; smaller differences would only make it jump.
const JITTER_MS: u64 = 20;

impl CorrectedClock {
    /// `offset_ms` is to be added to what this clock says.
    pub fn new(clock: Arc<dyn Clock>, offset_ms: i64) -> Self {
        let offset_ms = AtomicI64::new(offset_ms);
        Self { clock, offset_ms }
    }

    /// What is added to what the machine's clock says.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// The offset was measured once more.
    pub fn correct(&self, offset_ms: i64) {
        if self.offset_ms.load(Ordering::Relaxed).abs_diff(offset_ms) > JITTER_MS {
            self.offset_ms.store(offset_ms, Ordering::Relaxed);
        }
    }
}

impl Clock for CorrectedClock {
    fn unix_ms(&self) -> u64 {
        self.clock.unix_ms().saturating_add_signed(self.offset_ms())
    }

    fn boot_ns(&self) -> u64 {
        self.clock.boot_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Clock for Fixed {
        fn unix_ms(&self) -> u64 {
            10_000
        }

        fn boot_ns(&self) -> u64 {
            7
        }
    }

    #[test]
    fn a_clock_is_put_right_and_does_not_jump_for_what_cannot_be_measured() {
        let clock = CorrectedClock::new(Arc::new(Fixed), -400);
        assert_eq!((clock.unix_ms(), clock.boot_ns()), (9_600, 7));
        clock.correct(-400 + JITTER_MS.cast_signed());
        assert_eq!(clock.unix_ms(), 9_600);
        clock.correct(900);
        assert_eq!(clock.unix_ms(), 10_900);
        clock.correct(-20_000);
        assert_eq!(clock.unix_ms(), 0, "there is no time before 1970");
    }
}
