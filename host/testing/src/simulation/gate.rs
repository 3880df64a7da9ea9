//! Whether a node's process runs. Everything that leaves a node, and everything that reaches it, passes its gate.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Runs,
    /// SIGSTOP: it goes on where it stopped, if ever.
    Frozen,
    /// SIGKILL.
    Dead,
}

/// Who waits is told in the order in which they came: a `watch` tells in an order of its own choice, and a seed would not mean the same
/// every time.
pub(crate) struct Gate {
    life: Mutex<Life>,
    changed: Notify,
}

impl Gate {
    pub(crate) fn open() -> Self {
        Self::with(Life::Runs)
    }

    /// The gate of a process that is dead: nothing passes.
    pub(crate) fn closed() -> Self {
        Self::with(Life::Dead)
    }

    fn with(life: Life) -> Self {
        Self {
            life: Mutex::new(life),
            changed: Notify::new(),
        }
    }

    pub(crate) fn life(&self) -> Life {
        *self.life.lock()
    }

    /// The dead stay dead.
    pub(crate) fn set(&self, life: Life) {
        let mut now = self.life.lock();
        if *now != Life::Dead {
            *now = life;
            drop(now);
            self.changed.notify_waiters();
        }
    }

    /// Returns while the process runs: for a dead one never.
    pub(crate) async fn pass(&self) {
        self.until(Life::Runs).await;
    }

    /// Returns once the process is dead.
    pub(crate) async fn died(&self) {
        self.until(Life::Dead).await;
    }

    async fn until(&self, wanted: Life) {
        loop {
            // Before the look: what changes right after it is told to this.
            let changed = self.changed.notified();
            if self.life() == wanted {
                return;
            }
            changed.await;
        }
    }
}
