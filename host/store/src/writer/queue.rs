//! What waits to be written, and when it is worth a commit.
//!
//! Whoever collects a batch is woken for what is waited for, for the first of what is not, and when there is a batch full: to be woken for
//! each would cost every invocation a hand-over between threads.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

/// In the order in which it came.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// One permit for each that may still come in.
    room: Semaphore,
    news: Notify,
    batch: usize,
}

struct State<T> {
    /// With whether somebody waits for it.
    items: VecDeque<(T, bool)>,
    awaited: usize,
    /// What is there is wanted now, though nobody waits for it.
    is_hurried: bool,
}

impl<T> Queue<T> {
    /// Holds at most `capacity`; `batch` is what is taken at once.
    pub(super) fn new(capacity: usize, batch: usize) -> Self {
        let state = State {
            items: VecDeque::new(),
            awaited: 0,
            is_hurried: false,
        };
        Self {
            state: Mutex::new(state),
            room: Semaphore::new(capacity),
            news: Notify::new(),
            batch,
        }
    }

    /// Puts in what is waited for, once there is room. False when the queue is closed.
    pub(super) async fn push(&self, item: T) -> bool {
        match self.room.acquire().await {
            Ok(room) => {
                room.forget();
                self.put(item, true)
            }
            Err(_) => false,
        }
    }

    /// Puts in what nobody waits for. False when there is no room, or the queue is closed.
    pub(super) fn push_lazily(&self, item: T) -> bool {
        match self.room.try_acquire() {
            Ok(room) => {
                room.forget();
                self.put(item, false)
            }
            Err(_) => false,
        }
    }

    fn put(&self, item: T, is_awaited: bool) -> bool {
        let mut state = self.state.lock();
        // Closed before what was there is dropped, so nothing comes in behind that.
        if self.room.is_closed() {
            return false;
        }
        state.items.push_back((item, is_awaited));
        state.awaited += usize::from(is_awaited);
        let is_news = is_awaited || state.items.len() == 1 || state.items.len() == self.batch;
        drop(state);
        if is_news {
            self.news.notify_one();
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().items.is_empty()
    }

    /// What is there need not wait for more.
    pub(super) fn is_due(&self) -> bool {
        let state = self.state.lock();
        state.awaited > 0 || state.is_hurried || state.items.len() >= self.batch
    }

    /// What is there waits for no more.
    pub(super) fn hurry(&self) {
        let mut state = self.state.lock();
        state.is_hurried = !state.items.is_empty();
        drop(state);
        self.news.notify_one();
    }

    /// Returns when it may be worth to look again. For one who collects at a time.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Takes the oldest, a batch at most.
    pub(super) fn take(&self, taken: &mut Vec<T>) {
        let mut state = self.state.lock();
        let count = state.items.len().min(self.batch);
        let awaited = state
            .items
            .iter()
            .take(count)
            .filter(|(_, is_awaited)| *is_awaited)
            .count();
        state.awaited -= awaited;
        state.is_hurried &= state.items.len() > count;
        taken.extend(state.items.drain(..count).map(|(item, _)| item));
        drop(state);
        self.room.add_permits(count);
    }

    /// Nothing is taken any more: what is there is dropped, and nothing comes in.
    pub(super) fn close(&self) {
        self.room.close();
        let mut state = self.state.lock();
        state.awaited = 0;
        let dropped = std::mem::take(&mut state.items);
        drop(state);
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    fn take<T>(queue: &Queue<T>) -> Vec<T> {
        let mut taken = Vec::new();
        queue.take(&mut taken);
        taken
    }

    #[tokio::test]
    async fn who_collects_is_woken_for_what_is_worth_it() {
        let queue = Queue::new(10, 3);
        let is_news = || queue.news().now_or_never().is_some();
        assert!(!is_news());
        assert!(queue.push_lazily(1));
        assert!(is_news(), "the first begins a batch");
        assert!(queue.push_lazily(2));
        assert!(!is_news() && !queue.is_due());
        assert!(queue.push_lazily(3));
        assert!(is_news() && queue.is_due(), "a batch is full");
        assert!(queue.push_lazily(4));
        assert_eq!(take(&queue), [1, 2, 3]);
        assert!(!queue.is_due());
        assert!(queue.push(5).await);
        assert!(is_news() && queue.is_due(), "somebody waits");
        assert_eq!(take(&queue), [4, 5]);
        assert!(queue.is_empty() && !queue.is_due());
    }

    #[tokio::test]
    async fn a_full_queue_takes_what_is_waited_for_once_there_is_room() {
        let queue = Queue::new(2, 1);
        assert!(queue.push_lazily(1) && queue.push_lazily(2));
        assert!(!queue.push_lazily(3));
        let mut waits = pin!(queue.push(4));
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(take(&queue), [1]);
        assert!(waits.await);
        assert_eq!((take(&queue), take(&queue)), (vec![2], vec![4]));
    }

    #[tokio::test]
    async fn a_closed_queue_tells_those_who_wait_and_takes_nothing() {
        let queue = Queue::new(1, 1);
        let (done, outcome) = tokio::sync::oneshot::channel::<()>();
        assert!(queue.push(done).await);
        let (late, _) = tokio::sync::oneshot::channel();
        let mut waits = pin!(queue.push(late));
        assert!(waits.as_mut().now_or_never().is_none());
        queue.close();
        assert!(!waits.await);
        outcome.await.expect_err("it is dropped");
        let (later, _) = tokio::sync::oneshot::channel();
        assert!(!queue.push_lazily(later));
    }
}
