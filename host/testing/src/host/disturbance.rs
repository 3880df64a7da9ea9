//! What a test does to the process of its host: ends it at the n-th moment at which something is about to become durable, or has just
//! become so; has a command fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use host_journal::Payload;
use host_recorder::crash::Point;
use host_recorder::interpose::Interpose;
use host_types::Fault;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::failures::Failing;

/// In the way of one process.
pub(crate) struct Disturbance {
    /// Moments until the end.
    left: Mutex<Option<u32>>,
    ended: watch::Sender<bool>,
    failing: Mutex<Option<Arc<Failing>>>,
    /// What is prepared now is left alone.
    is_aside: AtomicBool,
}

/// As long as it lives, nothing that happens is a moment, and nothing fails.
pub(crate) struct Aside<'a>(&'a AtomicBool);

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Default for Disturbance {
    fn default() -> Self {
        Self {
            left: Mutex::default(),
            ended: watch::Sender::new(false),
            failing: Mutex::default(),
            is_aside: AtomicBool::default(),
        }
    }
}

/// What unwinds whoever is at work in a process that is over.
struct Ended;

impl Disturbance {
    /// Ends the process at the `moment`th moment from now, counted from 1.
    pub(crate) fn end_at(&self, moment: u32) {
        *self.left.lock() = Some(moment);
    }

    /// It goes on for ever after all.
    pub(crate) fn disarm(&self) {
        *self.left.lock() = None;
    }

    /// From now on this decides about commands.
    pub(crate) fn fail(&self, failing: Option<Arc<Failing>>) {
        *self.failing.lock() = failing;
    }

    /// From now on nothing is in the way, until what this returns is dropped.
    pub(crate) fn aside(&self) -> Aside<'_> {
        self.is_aside.store(true, Ordering::SeqCst);
        Aside(&self.is_aside)
    }

    /// What decides about commands now.
    fn failing(&self) -> Option<Arc<Failing>> {
        if self.is_aside.load(Ordering::SeqCst) {
            return None;
        }
        self.failing.lock().clone()
    }

    /// Returns when the process has come to its end.
    pub(crate) async fn ended(&self) {
        // The sender is ours, so it is there.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// The process has come to its end.
    pub(crate) fn is_over(&self) -> bool {
        *self.ended.borrow()
    }

    fn count(&self) {
        if self.is_aside.load(Ordering::SeqCst) {
            return;
        }
        let mut left = self.left.lock();
        if let Some(count) = &mut *left {
            *count -= 1;
            if *count == 0 {
                *left = None;
                self.ended.send_replace(true);
            }
        }
    }

    /// A moment in the middle of an await: a process that is over goes no further.
    pub(crate) async fn moment(&self) {
        self.count();
        self.go_on().await;
    }

    /// No moment; but a process that is over asks for nothing any more.
    pub(crate) async fn go_on(&self) {
        if self.is_over() {
            std::future::pending().await
        }
    }

    /// A moment at which nothing can be awaited: whoever is at work is unwound, and with it the connection that its transaction is on.
    pub(crate) fn moment_now(&self) {
        self.count();
        self.unwind();
    }

    fn unwind(&self) {
        if self.is_over() {
            // No panic: nobody is to be told of it.
            std::panic::resume_unwind(Box::new(Ended));
        }
    }
}

impl Interpose for Disturbance {
    fn reached(&self, point: Point) {
        match point {
            Point::BeforeAppend | Point::AfterAppend | Point::BeforeCommit => self.moment_now(),
            // Between a COMMIT and the next append nothing leaves the process: the end before that append is the same. And a
            // transaction that is not committed is gone, wherever it stood.
            Point::AfterCommit | Point::BetweenStatements => self.unwind(),
        }
    }

    fn fault(&self, target: &str) -> Option<Fault> {
        self.failing()?.fault(target)
    }

    fn answer(&self, target: &str) -> Option<Payload> {
        self.failing()?.answer(target)
    }
}
