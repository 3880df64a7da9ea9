//! Stopping a guest that runs, because an operator has fenced its invocation: its next append would fail, and until then it would only
//! use up time.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use host_store::Wake;
use host_types::InvocationId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::invoker::Invoker;

/// The way to stop one run. It looks again at what is recorded, and goes on accordingly.
#[derive(Default)]
pub(crate) struct Halt(Notify);

impl Halt {
    /// Returns when the run is to stop what it does.
    pub(crate) async fn asked(&self) {
        self.0.notified().await;
    }

    /// What was asked so far is about to be seen in the record.
    pub(crate) fn forget(&self) {
        let _ = self.0.notified().now_or_never();
    }
}

/// Who runs here.
#[derive(Default)]
pub(crate) struct Halts(Mutex<HashMap<InvocationId, Arc<Halt>>>);

impl Halts {
    pub(crate) fn enter(&self, invocation: InvocationId, halt: Arc<Halt>) {
        self.0.lock().insert(invocation, halt);
    }

    pub(crate) fn leave(&self, invocation: InvocationId) {
        self.0.lock().remove(&invocation);
    }

    /// Stops what runs of this invocation on this node.
    pub(crate) fn ask(&self, invocation: InvocationId) {
        if let Some(halt) = self.0.lock().get(&invocation) {
            halt.0.notify_one();
        }
    }

    fn here(&self) -> Vec<InvocationId> {
        self.0.lock().keys().copied().collect()
    }
}

/// Hears what operators have fenced on other nodes, and stops it here.
pub struct Halting {
    invoker: Invoker,
}

/// Between two tries to listen.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

impl Halting {
    /// For this invoker's node.
    pub fn new(invoker: Invoker) -> Self {
        Self { invoker }
    }

    /// Runs until dropped.
    pub async fn run(self) {
        let inner = &self.invoker.inner;
        let mut wakeups = loop {
            match inner.store.listen().await {
                Ok(wakeups) => break wakeups,
                Err(error) => {
                    tracing::warn!(%error, "cannot listen for what other nodes say; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        // What was said before this node listened.
        self.look().await;
        loop {
            match wakeups.next().await {
                Wake::Halt(invocation) => inner.halts.ask(invocation),
                Wake::Missed => self.look().await,
                Wake::Due | Wake::Progress | Wake::Deployment | Wake::Node => {}
            }
        }
    }

    /// Stops everything here that is no longer this node's. What has no row yet is nobody's but ours.
    async fn look(&self) {
        let inner = &self.invoker.inner;
        for invocation in inner.halts.here() {
            if let Ok(Some(row)) = inner.store.row(invocation).await
                && row.node != Some(inner.store.node())
            {
                inner.halts.ask(invocation);
            }
        }
    }
}
