//! Whether this node has been asked to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Who waits for it is told in the order in which they came: a `watch` tells in an order of its own choice, and a simulated world would not
/// repeat itself.
#[derive(Default)]
pub(crate) struct Stop {
    is_asked: AtomicBool,
    changed: Notify,
}

impl Stop {
    /// From now on, for ever.
    pub(crate) fn ask(&self) {
        self.is_asked.store(true, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::SeqCst)
    }

    /// Returns once it is asked.
    pub(crate) async fn asked(&self) {
        // Before the look: what changes right after it is told to this.
        let changed = self.changed.notified();
        if !self.is_asked() {
            changed.await;
        }
    }
}
