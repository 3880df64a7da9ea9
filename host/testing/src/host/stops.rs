//! Where the process of a test host ends: at the n-th moment at which something is about to become durable, or has just become so.

use parking_lot::Mutex;
use tokio::sync::watch;

/// The end of a process, armed or not.
pub(crate) struct Stops {
    left: Mutex<Option<u32>>,
    stopped: watch::Sender<bool>,
}

impl Default for Stops {
    fn default() -> Self {
        Self {
            left: Mutex::default(),
            stopped: watch::Sender::new(false),
        }
    }
}

/// What unwinds the guest whose process is over.
pub(crate) struct Stopped;

impl Stops {
    /// Ends it at the `point`th moment from now, counted from 1.
    pub(crate) fn arm(&self, point: u32) {
        *self.left.lock() = Some(point);
    }

    pub(crate) fn disarm(&self) {
        *self.left.lock() = None;
    }

    /// Returns when the process has come to its end.
    pub(crate) async fn stopped(&self) {
        // The sender is ours, so it is there.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// One of the moments. True: the process is over.
    fn reach(&self) -> bool {
        let mut left = self.left.lock();
        if let Some(count) = &mut *left {
            *count -= 1;
            if *count == 0 {
                *left = None;
                self.stopped.send_replace(true);
            }
        }
        drop(left);
        *self.stopped.borrow()
    }

    /// A moment between two awaits: a process that is over goes no further.
    pub(crate) async fn point(&self) {
        if self.reach() {
            std::future::pending().await
        }
    }

    /// A moment at which nothing can be awaited: the guest is unwound, and with it the connection that its transaction is on.
    pub(crate) fn point_now(&self) {
        if self.reach() {
            // No panic: nobody is to be told of it.
            std::panic::resume_unwind(Box::new(Stopped));
        }
    }

    /// No moment to end at; but one that is over asks for nothing any more.
    pub(crate) async fn pass(&self) {
        if *self.stopped.borrow() {
            std::future::pending().await
        }
    }
}
