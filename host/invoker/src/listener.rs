//! Hears what the nodes tell each other, and passes it on to those whom it concerns. All of it are hints: whoever misses one finds out by
//! a slow look.

use std::sync::Arc;
use std::time::Duration;

use host_store::Wake;

use crate::database::HearNodes;
use crate::invoker::Invoker;

/// Listens for this node.
pub struct Listener {
    invoker: Invoker,
}

/// Between two tries to listen.
const PAUSE: Duration = Duration::from_secs(1);

impl Listener {
    /// For this invoker's node.
    pub fn new(invoker: Invoker) -> Self {
        Self { invoker }
    }

    /// Runs until dropped.
    pub async fn run(self) {
        let mut wakeups = self.listen().await;
        // What was said before this node listened.
        self.hear(Wake::Missed).await;
        loop {
            self.hear(wakeups.next().await).await;
        }
    }

    async fn listen(&self) -> Box<dyn HearNodes> {
        loop {
            match self.invoker.inner.store.listen().await {
                Ok(wakeups) => return wakeups,
                Err(error) => {
                    tracing::warn!(%error, "cannot listen for what other nodes say; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn hear(&self, wake: Wake) {
        let inner = &self.invoker.inner;
        match wake {
            Wake::Due => inner.waits.due.notify_one(),
            Wake::Progress => inner.waits.look_again(),
            Wake::Events => inner.waits.look_for_events(),
            Wake::Halt(invocation) => inner.halts.ask(invocation),
            Wake::Missed => {
                inner.waits.due.notify_one();
                inner.waits.look_again();
                inner.waits.look_for_events();
                inner.deployments.activated.notify_one();
                inner.deployments.followed.notify_waiters();
                inner.stop_what_is_not_ours().await;
            }
            Wake::Prepare(number) => {
                let preparing = Arc::clone(inner);
                inner.spawn(async move {
                    if let Err(error) = preparing.pinned(number).await {
                        tracing::debug!(%number, %error, "what may become active cannot be made here");
                    }
                });
            }
            Wake::Deployment => inner.deployments.activated.notify_one(),
            Wake::Node => inner.deployments.followed.notify_waiters(),
        }
    }
}
