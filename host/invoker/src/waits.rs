//! Promises of all nodes, and who waits for them on this one without having given its instance up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use host_journal::{KeyId, WorkflowKey};
use host_recorder::{Answer, Hold, Place, PromiseState, Promises, Watched};
use host_store::{Error, KeyPlace, Wake};
use host_types::{Fault, InvocationId, PromiseId};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};

use crate::database::Database;
use crate::stop::Stop;

/// Waits that keep their instances at once: each holds a turn as well, of which there must remain most.
const HOLDS: usize = 64;
/// The slow look, for what no notification told of.
const POLL: Duration = Duration::from_secs(1);

pub(crate) struct Waits {
    store: Arc<dyn Database>,
    holds: Arc<Semaphore>,
    watched: Mutex<BTreeMap<Watched, Told>>,
    stop: Arc<Stop>,
    /// Told of what may be due: the scheduler looks.
    pub(crate) due: Notify,
    /// Counts what may have been published.
    pub(crate) events: watch::Sender<u64>,
}

/// Who waits for one thing here.
struct Told {
    changed: Arc<Notify>,
    waiters: usize,
}

impl Waits {
    pub(crate) fn new(store: Arc<dyn Database>, stop: Arc<Stop>) -> Self {
        Self {
            store,
            holds: Arc::new(Semaphore::new(HOLDS)),
            watched: Mutex::default(),
            stop,
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
            let stored = stored.map_err(fault)?;
            Ok(match stored.map(|stored| stored.value) {
                None => PromiseState::Unknown,
                Some(None) => PromiseState::Open,
                Some(Some(value)) => PromiseState::Completed(value.into()),
            })
        })
    }

    fn workflow<'a>(&'a self, key: &'a WorkflowKey) -> Answer<'a, Result<Option<InvocationId>, Fault>> {
        Box::pin(async move { self.store.workflow(key).await.map_err(fault) })
    }

    fn workflow_promise<'a>(
        &'a self,
        key: &'a WorkflowKey,
        name: &'a str,
    ) -> Answer<'a, Result<Option<PromiseId>, Fault>> {
        Box::pin(async move { self.store.workflow_promise(key, name).await.map_err(fault) })
    }

    fn closes_circle(&self, invocation: InvocationId, promise: PromiseId) -> Answer<'_, Result<bool, Fault>> {
        Box::pin(async move { self.store.closes_circle(invocation, promise).await.map_err(fault) })
    }

    fn place(&self, key: KeyId, invocation: InvocationId) -> Answer<'_, Result<Place, Fault>> {
        Box::pin(async move {
            Ok(match self.store.key_place(key, invocation).await.map_err(fault)? {
                KeyPlace::Holds => Place::Holds,
                KeyPlace::Waits => Place::Waits,
                KeyPlace::Refused => Place::Refused,
                // Its place was taken in a commit of its own: without it nothing may go on.
                KeyPlace::None => return Err(Fault::Transient(format!("the place for the key {} is gone", key.0))),
            })
        })
    }

    fn changed(&self, watched: Watched) -> Answer<'_, ()> {
        let stopped = self.stop.asked();
        if watched == Watched::Time {
            return Box::pin(stopped);
        }
        let watching = Watching::new(self, watched);
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
        self.stop.is_asked()
    }

    fn announce(&self, completed: &[PromiseId], released: &[KeyId], due: bool) {
        let completed = completed.iter().copied().map(Watched::Promise);
        let changed: Vec<_> = completed.chain(released.iter().copied().map(Watched::Key)).collect();
        if !changed.is_empty() {
            let watched = self.watched.lock();
            let here = changed.iter().filter_map(|changed| watched.get(changed));
            here.for_each(|told| told.changed.notify_waiters());
            drop(watched);
            self.store.notify(Wake::Progress);
        }
        if due || !changed.is_empty() {
            self.due.notify_one();
            self.store.notify(Wake::Due);
        }
    }

    fn published(&self) {
        self.look_for_events();
        self.store.notify(Wake::Events);
    }
}

fn fault(error: Error) -> Fault {
    match error {
        Error::TooManyPromises { .. } => Fault::LimitExceeded(error.to_string()),
        error => Fault::Transient(error.to_string()),
    }
}

/// Keeps something watched.
struct Watching<'a> {
    waits: &'a Waits,
    watched: Watched,
    changed: Arc<Notify>,
}

impl<'a> Watching<'a> {
    fn new(waits: &'a Waits, watched: Watched) -> Self {
        let mut all = waits.watched.lock();
        let entry = all.entry(watched).or_insert_with(|| Told {
            changed: Arc::default(),
            waiters: 0,
        });
        entry.waiters += 1;
        let changed = Arc::clone(&entry.changed);
        drop(all);
        Self {
            waits,
            watched,
            changed,
        }
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut watched = self.waits.watched.lock();
        if let Some(entry) = watched.get_mut(&self.watched) {
            entry.waiters -= 1;
            if entry.waiters == 0 {
                watched.remove(&self.watched);
            }
        }
    }
}
