//! Time that skips.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use host_types::Clock;
use tokio::time::Instant;

/// Some moment in 2027, so that ids look like ids.
const EPOCH_MS: u64 = 1_800_000_000_000;

/// A clock that runs with tokio's, so that it stands still where that is paused, and can be set forward. Both readings skip alike.
#[derive(Debug)]
pub struct SimClock {
    begun: Instant,
    unix_ms: u64,
    skipped_ms: AtomicU64,
}

impl SimClock {
    /// Reads `unix_ms` now.
    pub fn starting_at(unix_ms: u64) -> Self {
        Self {
            begun: Instant::now(),
            unix_ms,
            skipped_ms: AtomicU64::new(0),
        }
    }

    /// Sets it forward.
    pub fn skip(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.skipped_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// By how much it was set forward altogether, milliseconds.
    pub fn skipped_ms(&self) -> u64 {
        self.skipped_ms.load(Ordering::SeqCst)
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::starting_at(EPOCH_MS)
    }
}

impl Clock for SimClock {
    fn unix_ms(&self) -> u64 {
        self.unix_ms + self.begun.elapsed().as_millis() as u64 + self.skipped_ms()
    }

    fn boot_ns(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64 + self.skipped_ms() * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_runs_with_the_timers_and_skips_when_told() {
        let clock = SimClock::starting_at(1_000);
        assert_eq!(clock.unix_ms(), 1_000);
        tokio::time::advance(Duration::from_millis(20)).await;
        assert_eq!((clock.unix_ms(), clock.boot_ns()), (1_020, 20_000_000));
        clock.skip(Duration::from_secs(60));
        assert_eq!((clock.unix_ms(), clock.boot_ns()), (61_020, 60_020_000_000));
    }
}
