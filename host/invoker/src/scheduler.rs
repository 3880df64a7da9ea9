//! What is due: scheduled invocations, retries nobody holds, and suspended ones whose wait is over.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use host_journal::FenceReason;
use host_store::Left;
use host_types::InvocationId;

use crate::invoker::{Inner, Invoker};
use crate::recovery::run_here;

/// Starts what is due.
pub struct Scheduler {
    invoker: Invoker,
}

/// The slow look, for what no wake-up told of.
const POLL: Duration = Duration::from_secs(1);
/// The look for what is due and was left, since enough of its component waits here, or others can run it: there may be room now, or nobody else.
const LEFT_POLL: Duration = Duration::from_millis(20);
/// Invocations begun per look.
const BATCH: u32 = 100;
/// Invocations fenced at the same time: their commits share a flush.
const AT_ONCE: usize = 4;

impl Scheduler {
    /// For this invoker's node.
    pub fn new(invoker: Invoker) -> Self {
        Self { invoker }
    }

    /// Runs until dropped.
    pub async fn run(self) {
        let inner = &self.invoker.inner;
        loop {
            let begun = match inner.is_draining() {
                true => 0,
                false => self.begin_due().await + self.begin_woken().await,
            };
            if begun < BATCH {
                self.wait().await;
            }
        }
    }

    async fn begin_due(&self) -> u32 {
        let inner = &self.invoker.inner;
        let due = match inner.store.due(BATCH, &inner.leaves()).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "what is due cannot be listed");
                return 0;
            }
        };
        let due = due.into_iter().map(|(invocation, was_suspended)| match was_suspended {
            true => (invocation, FenceReason::Wake),
            false => (invocation, FenceReason::TakeOver),
        });
        begin_all(inner, due).await
    }

    async fn begin_woken(&self) -> u32 {
        let inner = &self.invoker.inner;
        let woken = match inner.store.woken(BATCH).await {
            Ok(woken) => woken,
            Err(error) => {
                tracing::warn!(%error, "what was woken cannot be listed");
                return 0;
            }
        };
        begin_all(
            inner,
            woken.into_iter().map(|invocation| (invocation, FenceReason::Wake)),
        )
        .await
    }

    async fn wait(&self) {
        let inner = &self.invoker.inner;
        let next_due_ms = inner.store.next_due().await.unwrap_or_default();
        tokio::select! {
            biased;
            () = tokio::time::sleep(pause(next_due_ms, inner.leaves() != Left::default())) => {}
            () = inner.waits.due.notified() => {}
        }
    }
}

/// How long there is nothing to begin, if nobody says otherwise. What is due next may be of what this node leaves to others.
fn pause(next_due_ms: Option<u64>, leaves_some: bool) -> Duration {
    let shortest = match leaves_some {
        true => LEFT_POLL,
        false => Duration::from_millis(1),
    };
    next_due_ms.map_or(POLL, Duration::from_millis).clamp(shortest, POLL)
}

async fn begin_all(inner: &Arc<Inner>, given: impl Iterator<Item = (InvocationId, FenceReason)>) -> u32 {
    let begun = stream::iter(given).map(|(invocation, reason)| begin(inner, invocation, reason));
    let begun = begun.buffer_unordered(AT_ONCE);
    begun.fold(0, |sum, begun| async move { sum + u32::from(begun) }).await
}

/// Runs an invocation that was given to this node. One that is just being given up here is run once it is.
async fn begin(inner: &Arc<Inner>, invocation: InvocationId, reason: FenceReason) -> bool {
    if !inner.here.lock().contains(&invocation) {
        return run_here(inner, invocation, reason).await;
    }
    let inner = Arc::clone(inner);
    tokio::spawn(async move {
        inner.left(invocation).await;
        run_here(&inner, invocation, reason).await;
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_leaves_something_looks_soon_again_and_not_all_the_time() {
        assert_eq!(pause(Some(0), true), LEFT_POLL);
        assert_eq!(pause(Some(0), false), Duration::from_millis(1));
        for leaves_some in [true, false] {
            assert_eq!(pause(Some(300), leaves_some), Duration::from_millis(300));
            assert_eq!(pause(Some(60_000), leaves_some), POLL);
            assert_eq!(pause(None, leaves_some), POLL);
        }
    }
}
