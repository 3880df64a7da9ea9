//! A transaction that lasts too long is ended by the host, whatever its guest does.
//!
//! One task watches all of a node's: a task for each would cost every transaction a hand-over between threads. All have the same time, so who
//! began first is out of time first.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connection::Closer;

/// Watches transactions.
pub(crate) struct Watchdog {
    limit: Duration,
    state: Mutex<State>,
    /// Something is watched after nothing was.
    roused: Arc<Notify>,
}

#[derive(Default)]
struct State {
    begun: u64,
    /// By the order of their begin.
    watched: BTreeMap<u64, Watched>,
    /// Nothing was watched at the last look.
    is_asleep: bool,
}

struct Watched {
    until: Instant,
    closer: Closer,
}

/// A transaction that is watched, until this is dropped.
pub(crate) struct Watch {
    watchdog: Arc<Watchdog>,
    number: u64,
}

impl Watchdog {
    /// `limit` is how long a transaction may last. Must be called within a Tokio runtime.
    pub(crate) fn new(limit: Duration) -> Arc<Self> {
        let roused = Arc::new(Notify::new());
        let watchdog = Arc::new(Self {
            limit,
            state: Mutex::default(),
            roused: Arc::clone(&roused),
        });
        tokio::spawn(keep_watch(Arc::downgrade(&watchdog), roused, limit));
        watchdog
    }

    /// A transaction begins on the session that this closes.
    pub(crate) fn watch(self: &Arc<Self>, closer: Closer) -> Watch {
        let until = Instant::now() + self.limit;
        let mut state = self.state.lock();
        state.begun += 1;
        let number = state.begun;
        state.watched.insert(number, Watched { until, closer });
        let was_asleep = std::mem::take(&mut state.is_asleep);
        drop(state);
        if was_asleep {
            self.roused.notify_one();
        }
        let watchdog = Arc::clone(self);
        Watch { watchdog, number }
    }

    /// Closes the sessions of those whose time is up. Returns when to look again; none when nothing is watched.
    fn look(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.state.lock();
        while let Some(first) = state.watched.first_entry() {
            let until = first.get().until;
            if until > now {
                return Some(until);
            }
            first.remove().closer.close();
        }
        state.is_asleep = true;
        None
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.roused.notify_one();
    }
}

impl Watch {
    /// Its time is up, and its session is closed.
    pub(crate) fn has_expired(&self) -> bool {
        !self.watchdog.state.lock().watched.contains_key(&self.number)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watchdog.state.lock().watched.remove(&self.number);
    }
}

async fn keep_watch(watchdog: Weak<Watchdog>, roused: Arc<Notify>, limit: Duration) {
    loop {
        let next = match watchdog.upgrade() {
            Some(watchdog) => watchdog.look(),
            None => return,
        };
        match next {
            Some(next) => tokio::time::sleep_until(next).await,
            None => {
                roused.notified().await;
                // What roused it began just now. By then it has ended, as nearly all do, and others have begun: so short transactions, one
                // after the other, do not rouse it once each.
                tokio::time::sleep(limit).await;
            }
        }
    }
}
