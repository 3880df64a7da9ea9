//! Stopping a guest that runs, because an operator has fenced its invocation: its next append would fail, and until then it would only
//! use up time.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use host_types::InvocationId;
use parking_lot::Mutex;
use tokio::sync::Notify;

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
    pub(crate) fn here(&self) -> Vec<InvocationId> {
        self.0.lock().keys().copied().collect()
    }
}
