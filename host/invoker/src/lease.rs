//! The node's heartbeat, and taking over what a dead node left open.

use std::time::Duration;

use host_store::{Error, GoneBecause};
use host_types::NodeId;

use crate::invoker::Invoker;
use crate::recovery::run_fenced;

/// Keeps this node alive in the eyes of the others, and looks after those that are not.
pub struct Lease {
    invoker: Invoker,
    lease: Duration,
}

/// Invocations fenced at once.
const BATCH: u32 = 500;

impl Lease {
    /// `lease` is how long a node counts as alive after its last heartbeat.
    pub fn new(invoker: Invoker, lease: Duration) -> Self {
        Self { invoker, lease }
    }

    /// Takes over from a node whose process is known to be dead: an earlier one on the same data directory.
    pub async fn succeed(&self, predecessor: NodeId) {
        self.take_over(predecessor, GoneBecause::ProcessEnded).await;
    }

    /// Runs until others have declared this node gone: then everything it began is theirs, and the process must end.
    pub async fn keep(self) {
        let mut beat = tokio::time::interval(self.lease / 3);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let store = &self.invoker.inner.store;
        loop {
            beat.tick().await;
            match store.heartbeat().await {
                Ok(heartbeat) => self.invoker.inner.hold_lease(heartbeat),
                Err(Error::NodeGone) => return,
                Err(error) => {
                    tracing::error!(%error, "the heartbeat failed");
                    continue;
                }
            }
            match store.dead_nodes().await {
                Ok(nodes) => {
                    for node in nodes {
                        self.take_over(node, GoneBecause::LeaseExpired).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "dead nodes cannot be listed"),
            }
        }
    }

    /// Nothing under a gone node's token is accepted any more; its backends end before its invocations are fenced.
    async fn take_over(&self, node: NodeId, because: GoneBecause) {
        let inner = &self.invoker.inner;
        match inner.store.mark_gone(node, because).await {
            Ok(true) => {}
            // It has just given a sign of life.
            Ok(false) => return,
            Err(error) => {
                tracing::error!(node.id = %node, %error, "a dead node cannot be marked; trying again");
                return;
            }
        }
        let mut taken = 0;
        loop {
            let fenced = match inner.store.take_over(node, BATCH).await {
                Ok(fenced) => fenced,
                Err(error) => {
                    tracing::error!(node.id = %node, %error, "what a dead node left open cannot be fenced; trying again");
                    return;
                }
            };
            if fenced.is_empty() {
                break;
            }
            for invocation in fenced {
                taken += u32::from(run_fenced(inner, invocation).await);
            }
        }
        tracing::info!(node.id = %node, taken, "took over from a dead node");
    }
}
