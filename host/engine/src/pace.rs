//! Guests that compute for long, so that those who do not need not wait for them.
//!
//! An executor gives every task its turn, and a guest's turn lasts a tick: with a hundred endless loops, a request that needs a
//! few turns would wait for seconds. So who has used a tick takes its turns in a lane, of which there are fewer than processors,
//! and who has used least goes first.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use parking_lot::Mutex;

/// What a call may use before it belongs to the lanes, ticks. Most calls are done in a part of one.
const FREE_TICKS: u64 = 1;

/// The turns of all guests of an engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Counted by the engine's ticker.
    ticks: Arc<AtomicU64>,
    lanes: Arc<Lanes>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::with_lanes((processors / 2).max(1))
    }

    fn with_lanes(lanes: usize) -> Self {
        let queue = Queue {
            free: lanes,
            ..Queue::default()
        };
        Self {
            ticks: Arc::default(),
            lanes: Arc::new(Lanes(Mutex::new(queue))),
        }
    }

    pub(crate) fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs a call and all calls it makes. Its time is that of its turns alone: it waits as long as it likes. A lane is taken for
    /// each turn anew, so nobody holds one while it waits for something else.
    pub async fn keep<F: Future>(&self, call: F) -> F::Output {
        let mut call = pin!(call);
        let mut used = 0;
        let mut place = Place {
            lanes: &self.lanes,
            key: None,
        };
        poll_fn(|cx| {
            let lane = match used < FREE_TICKS {
                true => None,
                false => match place.poll_lane(used, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(lane) => Some(lane),
                },
            };
            let begin = self.ticks.load(Ordering::Relaxed);
            let polled = call.as_mut().poll(cx);
            used += self.ticks.load(Ordering::Relaxed) - begin;
            drop(lane);
            polled
        })
        .await
    }
}

/// Who may run, and who waits for it.
#[derive(Debug)]
struct Lanes(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    free: usize,
    /// By what they have used, then by when they came.
    waiting: BTreeMap<(u64, u64), Waker>,
    arrivals: u64,
}

impl Queue {
    fn wake_first(&self) {
        if self.free > 0
            && let Some(waker) = self.waiting.values().next()
        {
            waker.wake_by_ref();
        }
    }
}

/// A call's place in the queue, left when this is dropped.
struct Place<'a> {
    lanes: &'a Lanes,
    key: Option<(u64, u64)>,
}

impl<'a> Place<'a> {
    fn poll_lane(&mut self, used: u64, cx: &mut Context<'_>) -> Poll<Lane<'a>> {
        let mut queue = self.lanes.0.lock();
        let key = *self.key.get_or_insert_with(|| {
            queue.arrivals += 1;
            (used, queue.arrivals)
        });
        let is_first = queue.waiting.keys().next().is_none_or(|first| *first >= key);
        if queue.free == 0 || !is_first {
            queue.waiting.insert(key, cx.waker().clone());
            // A lane may be free for whoever is first.
            queue.wake_first();
            return Poll::Pending;
        }
        queue.waiting.remove(&key);
        queue.free -= 1;
        // Another one may be free as well.
        queue.wake_first();
        self.key = None;
        Poll::Ready(Lane(self.lanes))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let mut queue = self.lanes.0.lock();
            queue.waiting.remove(&key);
            // It may have been woken for a lane that it does not take any more.
            queue.wake_first();
        }
    }
}

/// The right to one turn.
struct Lane<'a>(&'a Lanes);

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.0.lock();
        queue.free += 1;
        queue.wake_first();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn free(pace: &Pace) -> usize {
        pace.lanes.0.lock().free
    }

    /// Takes these ticks, a turn for each.
    async fn compute(pace: &Pace, ticks: u64, mut seen: impl FnMut()) {
        for _ in 0..ticks {
            pace.tick();
            seen();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_is_done_soon_needs_no_lane() {
        let pace = Pace::with_lanes(0);
        pace.keep(async { pace.tick() }).await;
    }

    #[tokio::test]
    async fn who_computes_for_long_waits_for_a_lane_at_each_turn() {
        let pace = Pace::with_lanes(1);
        let mut seen = Vec::new();
        pace.keep(compute(&pace, FREE_TICKS + 2, || seen.push(free(&pace))))
            .await;
        assert_eq!(seen, [1, 0, 0]);
        assert_eq!(free(&pace), 1, "given back after the turn");
    }

    #[tokio::test]
    async fn who_waits_for_something_else_holds_no_lane() {
        let pace = Pace::with_lanes(1);
        let waits = pace.keep(async {
            compute(&pace, FREE_TICKS + 1, || {}).await;
            pending::<()>().await;
        });
        let computes = pace.keep(compute(&pace, 10, || {}));
        tokio::select! {
            biased;
            () = waits => unreachable!("it waits for ever"),
            () = computes => {}
        }
    }

    #[tokio::test]
    async fn who_has_used_least_goes_first() {
        let pace = Pace::with_lanes(1);
        let order = Mutex::new(Vec::new());
        let begin = |name: &'static str, ticks: u64| {
            let (pace, order) = (&pace, &order);
            // The ticks of its first turn are what it has used when it comes to the lanes.
            let call = async move {
                (0..ticks).for_each(|_| pace.tick());
                tokio::task::yield_now().await;
                order.lock().push(name);
            };
            pace.keep(call)
        };
        let held = Lane(&pace.lanes);
        pace.lanes.0.lock().free = 0;
        let mut calls = pin!(async { tokio::join!(begin("most", 30), begin("less", 20), begin("least", 10)) });
        // All of them come to the lanes while none is free.
        for _ in 0..5 {
            assert!(poll_fn(|cx| Poll::Ready(calls.as_mut().poll(cx).is_pending())).await);
            tokio::task::yield_now().await;
        }
        drop(held);
        calls.await;
        assert_eq!(*order.lock(), ["least", "less", "most"]);
    }

    #[tokio::test]
    async fn who_leaves_the_queue_leaves_its_turn_to_the_next() {
        let pace = Pace::with_lanes(1);
        pace.lanes.0.lock().free = 0;
        let mut leaves = Box::pin(pace.keep(compute(&pace, 2, || {})));
        let mut stays = pin!(pace.keep(compute(&pace, 2, || {})));
        for _ in 0..3 {
            assert!(poll_fn(|cx| Poll::Ready(leaves.as_mut().poll(cx).is_pending())).await);
            assert!(poll_fn(|cx| Poll::Ready(stays.as_mut().poll(cx).is_pending())).await);
        }
        drop(Lane(&pace.lanes));
        drop(leaves);
        stays.await;
        assert!(pace.lanes.0.lock().waiting.is_empty());
    }
}
