//! Where a test may end the process: right before and right after everything that becomes durable.
//!
//! Without the feature `crash-points` nothing of this is compiled in.

/// A moment at which the process may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// An append of its own is about to be handed to the store.
    BeforeAppend,
    /// It is durable.
    AfterAppend,
    /// COMMIT of a module's transaction is about to be sent.
    BeforeCommit,
    /// The server acknowledged it.
    AfterCommit,
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::Point;

    static REMAINING: AtomicI64 = AtomicI64::new(i64::MAX);

    /// Ends the process, as SIGKILL would, when the `n`th point (from 1) is reached.
    pub fn arm(n: i64) {
        REMAINING.store(n, Ordering::SeqCst);
    }

    pub(super) fn reached(point: Point) {
        if REMAINING.fetch_sub(1, Ordering::SeqCst) == 1 {
            tracing::error!(?point, "ending the process at an armed crash point");
            std::process::abort();
        }
    }
}

#[cfg(feature = "crash-points")]
pub use armed::arm;

/// Marks the point.
#[inline]
pub fn reached(point: Point) {
    #[cfg(feature = "crash-points")]
    armed::reached(point);
    #[cfg(not(feature = "crash-points"))]
    let _ = point;
}
