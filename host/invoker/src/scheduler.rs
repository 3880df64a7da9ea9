//! What is due: scheduled invocations, and retries nobody holds.

use std::time::Duration;

use host_journal::FenceReason;

use crate::invoker::Invoker;
use crate::recovery::run_here;

/// Starts what is due.
pub struct Scheduler {
    invoker: Invoker,
}

/// The slow look, for what no wake-up told of.
const POLL: Duration = Duration::from_secs(1);
/// Invocations begun per look.
const BATCH: u32 = 100;

impl Scheduler {
    /// For this invoker's node.
    pub fn new(invoker: Invoker) -> Self {
        Self { invoker }
    }

    /// Runs until dropped.
    pub async fn run(self) {
        let inner = &self.invoker.inner;
        loop {
            let mut begun = 0;
            if !inner.is_draining() {
                match inner.store.due(BATCH).await {
                    Ok(due) => {
                        for invocation in due {
                            begun += u32::from(run_here(inner, invocation, FenceReason::TakeOver).await);
                        }
                    }
                    Err(error) => tracing::warn!(%error, "what is due cannot be listed"),
                }
            }
            if begun < BATCH {
                self.wait().await;
            }
        }
    }

    async fn wait(&self) {
        let inner = &self.invoker.inner;
        let until_due = match inner.store.next_due().await {
            Ok(Some(wait_ms)) => Duration::from_millis(wait_ms).min(POLL),
            Ok(None) | Err(_) => POLL,
        };
        tokio::time::sleep(until_due.max(Duration::from_millis(1))).await;
    }
}
