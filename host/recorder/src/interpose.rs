//! What a test puts in the way of a host that runs in its process: whatever the host's threads are about to do is asked of it first.
//! Under the feature `test-support`.

use std::cell::RefCell;
use std::sync::Arc;

use host_journal::Payload;
use host_types::Fault;

use crate::crash::Point;

/// Asked by the threads it was put in the way of.
pub trait Interpose: Send + Sync + 'static {
    /// The process may end here: then this unwinds.
    fn reached(&self, point: Point);

    /// This command, which no record answers, fails like this, and ends its attempt.
    fn fault(&self, target: &str) -> Option<Fault>;

    /// A call of this target, which no record answers, returns this; nobody is entered.
    fn answer(&self, target: &str) -> Option<Payload>;
}

thread_local! {
    // By thread, since a host has its own: those of one test process do not meet each other's.
    static INTERPOSED: RefCell<Option<Arc<dyn Interpose>>> = const { RefCell::new(None) };
}

/// From now on it is in the way of this thread.
pub fn interpose_here(with: Arc<dyn Interpose>) {
    INTERPOSED.set(Some(with));
}

fn interposed() -> Option<Arc<dyn Interpose>> {
    INTERPOSED.with_borrow(Clone::clone)
}

pub(crate) fn reached(point: Point) {
    if let Some(interposed) = interposed() {
        interposed.reached(point);
    }
}

pub(crate) fn fault(target: &str) -> Option<Fault> {
    interposed()?.fault(target)
}

pub(crate) fn answer(target: &str) -> Option<Payload> {
    interposed()?.answer(target)
}
