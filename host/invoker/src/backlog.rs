//! Open invocations of this node that wait for their turn. They are kept as ids, whatever their number: a record is loaded when the
//! turn has come.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use host_types::{ComponentId, InvocationId};
use parking_lot::Mutex;

use crate::invoker::Inner;
use crate::recovery::run_fenced;

/// With so many of one component waiting here, this node leaves what is due of it to others, and to later.
const ROOM: usize = 64;

#[derive(Default)]
pub(crate) struct Backlog(Mutex<Queues>);

#[derive(Default)]
struct Queues {
    /// The oldest first. A queue that exists has somebody who works on it.
    of: HashMap<ComponentId, VecDeque<InvocationId>>,
    known: HashSet<InvocationId>,
}

impl Backlog {
    pub(crate) fn contains(&self, invocation: &InvocationId) -> bool {
        self.0.lock().known.contains(invocation)
    }

    /// The components of which enough wait.
    pub(crate) fn full(&self) -> Vec<ComponentId> {
        let queues = self.0.lock();
        let full = queues.of.iter().filter(|(_, queue)| queue.len() >= ROOM);
        full.map(|(component, _)| component.clone()).collect()
    }

    /// Whether the component's queue needs somebody to work on it now.
    fn push(&self, component: &ComponentId, invocation: InvocationId) -> bool {
        let mut queues = self.0.lock();
        if !queues.known.insert(invocation) {
            return false;
        }
        if let Some(queue) = queues.of.get_mut(component) {
            queue.push_back(invocation);
            return false;
        }
        queues.of.insert(component.clone(), VecDeque::from([invocation]));
        true
    }

    /// The next one. Without one the queue is gone, and who works on it has to stop.
    fn pop(&self, component: &ComponentId) -> Option<InvocationId> {
        let mut queues = self.0.lock();
        let next = queues.of.get_mut(component).and_then(VecDeque::pop_front);
        match next {
            Some(invocation) => queues.known.remove(&invocation),
            None => queues.of.remove(component).is_some(),
        };
        next
    }
}

/// An invocation whose last entry is a fence of this node runs here once its turn has come.
pub(crate) fn enqueue(inner: &Arc<Inner>, component: &ComponentId, invocation: InvocationId) {
    if inner.backlog.push(component, invocation) {
        inner.spawn(work(Arc::clone(inner), component.clone()));
    }
}

async fn work(inner: Arc<Inner>, component: ComponentId) {
    let share = inner.share(&component);
    loop {
        let turn = tokio::select! {
            turn = inner.turns.wait(&share) => turn,
            // What is left is released with all that this node owns and does not work on.
            () = inner.stopped() => return,
        };
        let Some(invocation) = inner.backlog.pop(&component) else {
            return;
        };
        // Requests need the database as well.
        let Ok(loading) = Arc::clone(&inner.loading).acquire_owned().await else {
            return;
        };
        let begun = {
            let inner = Arc::clone(&inner);
            async move {
                run_fenced(&inner, invocation, turn).await;
                drop(loading);
            }
        };
        inner.spawn(begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> InvocationId {
        InvocationId::new(1, [number; 10])
    }

    #[test]
    fn each_component_has_a_queue_of_its_own_and_nobody_stands_in_it_twice() {
        let backlog = Backlog::default();
        let (one, two) = (ComponentId::from("one"), ComponentId::from("two"));
        assert!(backlog.push(&one, id(1)), "the first needs a worker");
        assert!(!backlog.push(&one, id(2)));
        assert!(!backlog.push(&one, id(1)));
        assert!(backlog.push(&two, id(3)));
        assert!(backlog.contains(&id(2)));
        assert_eq!(backlog.pop(&one), Some(id(1)));
        assert_eq!(backlog.pop(&one), Some(id(2)));
        assert_eq!(backlog.pop(&one), None);
        assert!(!backlog.contains(&id(2)));
        assert!(backlog.push(&one, id(1)), "its worker has stopped");
    }

    #[test]
    fn a_component_of_which_enough_wait_is_full() {
        let backlog = Backlog::default();
        let one = ComponentId::from("one");
        for number in 0..ROOM as u8 {
            assert!(backlog.full().is_empty());
            backlog.push(&one, id(number));
        }
        assert_eq!(backlog.full(), [one]);
    }
}
