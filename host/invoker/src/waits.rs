//! Promises of all nodes, and who waits for them on this one without having given its instance up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use host_recorder::{Answer, Hold, PromiseState, Promises};
use host_store::Wake;
use host_types::{Fault, PromiseId};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};

use crate::database::Database;

/// Waits that keep their instances at once: each holds a turn as well, of which there must remain most.
const HOLDS: usize = 64;
/// The slow look, for what no notification told of.
const POLL: Duration = Duration::from_secs(1);

pub(crate) struct Waits {
    store: Arc<dyn Database>,
    holds: Arc<Semaphore>,
    watched: Mutex<BTreeMap<PromiseId, Watched>>,
    stopping: watch::Receiver<bool>,
    /// Told of what may be due: the scheduler looks.
    pub(crate) due: Notify,
    /// Counts what may have been published.
    pub(crate) events: watch::Sender<u64>,
}

/// One promise that is waited for here.
struct Watched {
    changed: Arc<Notify>,
    waiters: usize,
}

impl Waits {
    pub(crate) fn new(store: Arc<dyn Database>, stopping: watch::Receiver<bool>) -> Self {
        Self {
            store,
            holds: Arc::new(Semaphore::new(HOLDS)),
            watched: Mutex::default(),
            stopping,
            due: Notify::new(),
            events: watch::Sender::new(0),
        }
    }

    /// Waits that keep their instances now.
    pub(crate) fn held(&self) -> usize {
        HOLDS - self.holds.available_permits()
    }

    /// Something may have been published.
    pub(crate) fn look_for_events(&self) {
        self.events.send_modify(|events| *events += 1);
    }

    /// Something may have changed about any promise: another node says so, or what it said was missed.
    pub(crate) fn look_again(&self) {
        self.watched
            .lock()
            .values()
            .for_each(|watched| watched.changed.notify_waiters());
    }
}

impl Promises for Waits {
    fn look(&self, promise: PromiseId) -> Answer<'_, Result<PromiseState, Fault>> {
        Box::pin(async move {
            let stored = self.store.promise(promise).await;
            let stored = stored.map_err(|error| Fault::Transient(error.to_string()))?;
            Ok(match stored.map(|stored| stored.value) {
                None => PromiseState::Unknown,
                Some(None) => PromiseState::Open,
                Some(Some(value)) => PromiseState::Completed(value.into()),
            })
        })
    }

    fn changed(&self, promise: Option<PromiseId>) -> Answer<'_, ()> {
        let mut stopping = self.stopping.clone();
        let stopped = async move {
            // A dropped sender is a stop as well.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        let Some(promise) = promise else {
            return Box::pin(stopped);
        };
        let watching = Watching::new(self, promise);
        // Registered now and not when it is first polled.
        let mut changed = Box::pin(Arc::clone(&watching.changed).notified_owned());
        changed.as_mut().enable();
        Box::pin(async move {
            let _watching = watching;
            tokio::select! {
                biased;
                () = changed => {}
                () = stopped => {}
                () = tokio::time::sleep(POLL) => {}
            }
        })
    }

    fn hold(&self) -> Option<Hold> {
        let permit = Arc::clone(&self.holds).try_acquire_owned().ok()?;
        Some(Box::new(permit))
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    fn announce(&self, completed: &[PromiseId], due: bool) {
        if !completed.is_empty() {
            let watched = self.watched.lock();
            let here = completed.iter().filter_map(|promise| watched.get(promise));
            here.for_each(|watched| watched.changed.notify_waiters());
            drop(watched);
            self.store.notify(Wake::Progress);
        }
        if due || !completed.is_empty() {
            self.due.notify_one();
            self.store.notify(Wake::Due);
        }
    }

    fn published(&self) {
        self.look_for_events();
        self.store.notify(Wake::Events);
    }
}

/// Keeps a promise watched.
struct Watching<'a> {
    waits: &'a Waits,
    promise: PromiseId,
    changed: Arc<Notify>,
}

impl<'a> Watching<'a> {
    fn new(waits: &'a Waits, promise: PromiseId) -> Self {
        let mut watched = waits.watched.lock();
        let entry = watched.entry(promise).or_insert_with(|| Watched {
            changed: Arc::default(),
            waiters: 0,
        });
        entry.waiters += 1;
        let changed = Arc::clone(&entry.changed);
        Self {
            waits,
            promise,
            changed,
        }
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut watched = self.waits.watched.lock();
        if let Some(entry) = watched.get_mut(&self.promise) {
            entry.waiters -= 1;
            if entry.waiters == 0 {
                watched.remove(&self.promise);
            }
        }
    }
}
