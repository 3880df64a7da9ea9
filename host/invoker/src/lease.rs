//! The node's heartbeat, and taking over what a dead node left open.

use std::time::Duration;

use host_journal::FenceReason;
use host_types::NodeId;

use crate::invoker::Invoker;
use crate::recovery::run_here;

/// Keeps this node alive in the eyes of the others, and looks after those that are not.
pub struct Lease {
    invoker: Invoker,
    lease: Duration,
}

impl Lease {
    /// `lease` is how long a node counts as alive after its last heartbeat.
    pub fn new(invoker: Invoker, lease: Duration) -> Self {
        Self { invoker, lease }
    }

    /// Takes over from a node that is known to be dead: an earlier process on the same data directory.
    pub async fn succeed(&self, predecessor: NodeId) {
        self.take_over(predecessor).await;
    }

    /// Runs until dropped.
    pub async fn keep(self) {
        let mut beat = tokio::time::interval(self.lease / 3);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let store = &self.invoker.inner.store;
            if let Err(error) = store.heartbeat().await {
                tracing::error!(%error, "the heartbeat failed");
                continue;
            }
            match store.dead_nodes().await {
                Ok(nodes) => {
                    for node in nodes {
                        self.take_over(node).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "dead nodes cannot be listed"),
            }
        }
    }

    /// First the dead node's backends end, so that nothing of it can still commit; then its invocations are fenced.
    async fn take_over(&self, node: NodeId) {
        let inner = &self.invoker.inner;
        if let Err(error) = inner.store.end_backends(node).await {
            tracing::error!(node.id = %node, %error, "the connections of a dead node cannot be ended; trying again");
            return;
        }
        let open = match inner.store.abandoned(node).await {
            Ok(open) => open,
            Err(error) => {
                tracing::error!(node.id = %node, %error, "what a dead node left open cannot be listed; trying again");
                return;
            }
        };
        let found = open.len();
        let mut taken = 0;
        for invocation in open {
            taken += usize::from(run_here(inner, invocation, FenceReason::TakeOver).await);
        }
        if let Err(error) = inner.store.mark_gone(node).await {
            tracing::warn!(node.id = %node, %error, "a dead node cannot be marked");
        }
        tracing::info!(node.id = %node, found, taken, "took over from a dead node");
    }
}
