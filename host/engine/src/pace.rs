//! Guests that compute for long, so that those who do not need not wait for them.
//!
//! An executor gives every task its turn, and a guest's turn lasts a tick: with a hundred endless loops, a request that needs a
//! few turns would wait for seconds. So those that run for long take pauses, the longer the more there are, that leave half of
//! the processors to all others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::TICK_MS;

/// Of the process, as the processors are.
static LONG_RUNNERS: AtomicUsize = AtomicUsize::new(0);

/// A guest that has run for long. It counts until this is dropped.
#[derive(Debug)]
pub(crate) struct LongRunner {
    /// Of these may run at once.
    share: usize,
}

impl LongRunner {
    pub(crate) fn new() -> Self {
        LONG_RUNNERS.fetch_add(1, Ordering::Relaxed);
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            share: (processors / 2).max(1),
        }
    }

    /// After a tick of work.
    pub(crate) fn pause(&self) -> Option<Duration> {
        pause(LONG_RUNNERS.load(Ordering::Relaxed), self.share)
    }
}

impl Drop for LongRunner {
    fn drop(&mut self) {
        LONG_RUNNERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// So long that, of `count` that do the same, `share` run at a time on average.
fn pause(count: usize, share: usize) -> Option<Duration> {
    let others = count.saturating_sub(share) as u64;
    (others > 0).then(|| Duration::from_millis(TICK_MS * others / share as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_have_room_do_not_pause() {
        assert_eq!(pause(1, 1), None);
        assert_eq!(pause(4, 4), None);
        assert_eq!(pause(0, 1), None);
    }

    #[test]
    fn the_more_there_are_the_longer_each_pauses() {
        assert_eq!(pause(2, 1), Some(Duration::from_millis(TICK_MS)));
        assert_eq!(pause(101, 1), Some(Duration::from_millis(100 * TICK_MS)));
        assert_eq!(pause(12, 4), Some(Duration::from_millis(2 * TICK_MS)));
    }
}
