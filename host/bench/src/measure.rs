//! The measurements, and how long they take.

pub(crate) mod calls;
pub(crate) mod compare;
pub(crate) mod starts;
pub(crate) mod swaps;
pub(crate) mod takeovers;

use std::time::Duration;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Every server has its turn in each.
    pub(crate) rounds: usize,
    /// A server's turn.
    pub(crate) turn: Duration,
    /// What each server does before the first round: sessions are opened, statements prepared, pages read.
    pub(crate) warm_up: Duration,
    /// Requests whose commits are counted; none are when 0, since that waits for PostgreSQL's statistics.
    pub(crate) counted_requests: u64,
    /// Starts of the process, the first one not counted.
    pub(crate) starts: usize,
    /// Invocations that are open when their host is killed; even, and at most 10,000, since half of them are sent in one request.
    pub(crate) open: u32,
}

impl Extent {
    pub(crate) const FULL: Self = Self {
        rounds: 7,
        turn: Duration::from_secs(2),
        warm_up: Duration::from_secs(2),
        counted_requests: 2000,
        starts: 5,
        open: 10_000,
    };
    /// To see that everything works, and the order of magnitude.
    pub(crate) const QUICK: Self = Self {
        rounds: 3,
        turn: Duration::from_millis(500),
        warm_up: Duration::from_millis(500),
        counted_requests: 0,
        starts: 2,
        open: 2_000,
    };
}
