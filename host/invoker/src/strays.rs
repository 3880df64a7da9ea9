//! What this node owns and nobody here works on: an output handed over lazily whose commit failed, a run that panicked, one
//! that was due and could not be fenced. Without this it would stay open for as long as the node lives. And the reverse: what runs here and is
//! this node's no longer, when nobody heard the word that ended it.

use std::collections::BTreeSet;
use std::time::Duration;

use host_journal::FenceReason;
use host_types::InvocationId;

use crate::invoker::Invoker;
use crate::recovery::run_here;

/// Finds strays and runs them again: what is recorded of them is replayed, the rest is done. Stops what runs here for nothing.
pub struct Strays {
    invoker: Invoker,
}

/// Between two looks. What ends meanwhile is no stray, so it is longer than an append takes.
const LOOK: Duration = Duration::from_secs(2);

impl Strays {
    /// For this invoker's node.
    pub fn new(invoker: Invoker) -> Self {
        Self { invoker }
    }

    /// Runs until dropped.
    pub async fn run(self) {
        let mut before = BTreeSet::new();
        loop {
            tokio::time::sleep(LOOK).await;
            self.invoker.inner.stop_what_is_not_ours().await;
            let found = self.look().await;
            // An output may be on its way to the database: only who is found twice is a stray.
            for invocation in found.intersection(&before) {
                self.bring_back(*invocation).await;
            }
            before = found;
        }
    }

    async fn look(&self) -> BTreeSet<InvocationId> {
        let inner = &self.invoker.inner;
        if inner.is_draining() {
            return BTreeSet::new();
        }
        match inner.store.owned().await {
            Ok(owned) => owned.into_iter().filter(|id| !inner.has(id)).collect(),
            Err(error) => {
                tracing::warn!(%error, "what this node owns cannot be listed");
                BTreeSet::new()
            }
        }
    }

    async fn bring_back(&self, invocation: InvocationId) {
        let inner = &self.invoker.inner;
        if run_here(inner, invocation, FenceReason::TakeOver).await {
            tracing::info!(invocation.id = %invocation, "an open invocation nobody worked on is run again");
        }
    }
}
