//! Stopping a guest that runs, because an operator has fenced its invocation: its next append would fail, and until then it would only
//! use up time.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use host_types::InvocationId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::invoker::Inner;

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
pub(crate) struct Halts(Mutex<BTreeMap<InvocationId, Arc<Halt>>>);

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

    /// Everything that runs on this node.
    fn here(&self) -> BTreeMap<InvocationId, Arc<Halt>> {
        self.0.lock().clone()
    }
}

impl Inner {
    /// Stops everything here that is no longer this node's, whether or not anybody said so. What has no row yet is nobody's but ours.
    pub(crate) async fn stop_what_is_not_ours(&self) {
        let here = self.halts.here();
        if here.is_empty() {
            return;
        }
        let running: Vec<_> = here.keys().copied().collect();
        match self.store.not_owned(&running).await {
            // Those runs, and none that has begun of the same invocation since.
            Ok(lost) => lost
                .iter()
                .filter_map(|invocation| here.get(invocation))
                .for_each(|halt| halt.0.notify_one()),
            Err(error) => tracing::warn!(%error, "whether all that runs here is this node's cannot be told"),
        }
    }
}
