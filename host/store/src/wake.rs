//! Telling the other nodes that there is something to look at. A hint: whoever misses it finds out by polling.
//!
//! NOTIFY takes a lock that serialises commits, so it never rides a transaction with rows: one task per node sends what has
//! gathered meanwhile, after.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use host_types::{DeploymentNumber, InvocationId};
use parking_lot::Mutex;
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::Notify;

use crate::{Result, Store};

const CHANNEL: &str = "nexus_wake";
/// Between tries to reach the database again.
const RECONNECT: Duration = Duration::from_millis(500);

/// What there is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wake {
    /// Invocations that nobody owns and whose time has come.
    Due,
    /// An invocation ended, paused or moved on that others may be waiting for.
    Progress,
    /// Another deployment is active.
    Deployment,
    /// This deployment may become active: whoever has it at hand by then need not compile it first.
    Prepare(DeploymentNumber),
    /// A node came, drains, or went.
    Node,
    /// Something was published, or a delivery may be begun.
    Events,
    /// An operator has fenced this invocation: whoever runs it need not go on.
    Halt(InvocationId),
    /// Everything: hints may have been missed.
    Missed,
}

const HALT: &str = "halt ";
const PREPARE: &str = "prepare ";

impl Wake {
    fn word(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Due => "due",
            Self::Progress => "progress",
            Self::Deployment => "deployment",
            Self::Prepare(deployment) => return Cow::Owned(format!("{PREPARE}{deployment}")),
            Self::Node => "node",
            Self::Events => "events",
            Self::Halt(invocation) => return Cow::Owned(format!("{HALT}{invocation}")),
            Self::Missed => "missed",
        })
    }

    /// A word of a later version may mean anything.
    fn from_word(word: &str) -> Self {
        if let Some(invocation) = word.strip_prefix(HALT).and_then(|id| id.parse().ok()) {
            return Self::Halt(invocation);
        }
        if let Some(number) = word.strip_prefix(PREPARE).and_then(|number| number.parse().ok()) {
            return Self::Prepare(DeploymentNumber(number));
        }
        let known = [Self::Due, Self::Progress, Self::Deployment, Self::Node, Self::Events];
        known
            .into_iter()
            .find(|wake| wake.word() == word)
            .unwrap_or(Self::Missed)
    }
}

impl Store {
    /// Tells all nodes, ours included, soon and without waiting.
    pub fn notify(&self, wake: Wake) {
        self.inner.notifier.shared.pending.lock().insert(wake);
        self.inner.notifier.shared.changed.notify_one();
    }

    /// Begins to listen.
    pub async fn listen(&self) -> Result<Wakeups> {
        let mut listener = PgListener::connect_with(&self.inner.reserved).await?;
        listener.listen(CHANNEL).await?;
        Ok(Wakeups { listener })
    }
}

/// What the nodes tell each other.
#[derive(Debug)]
pub struct Wakeups {
    listener: PgListener,
}

impl Wakeups {
    /// The next hint. Survives a lost connection, after which it is [`Wake::Missed`]. Cancel safe.
    pub async fn next(&mut self) -> Wake {
        match self.listener.try_recv().await {
            Ok(Some(notification)) => Wake::from_word(notification.payload()),
            Ok(None) => Wake::Missed,
            Err(error) => {
                tracing::debug!(%error, "cannot listen for notifications");
                tokio::time::sleep(RECONNECT).await;
                Wake::Missed
            }
        }
    }
}

/// The task that sends; it ends when this is dropped.
pub(crate) struct Notifier {
    shared: Arc<Shared>,
    task: tokio::task::AbortHandle,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<BTreeSet<Wake>>,
    changed: Notify,
}

impl Notifier {
    pub(crate) fn spawn(pool: PgPool) -> Self {
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(send(pool, shared.clone())).abort_handle();
        Self { shared, task }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn send(pool: PgPool, shared: Arc<Shared>) {
    loop {
        shared.changed.notified().await;
        let words: Vec<String> = std::mem::take(&mut *shared.pending.lock())
            .into_iter()
            .map(|wake| wake.word().into_owned())
            .collect();
        if words.is_empty() {
            continue;
        }
        let sent = sqlx::query("SELECT pg_notify($1, word) FROM unnest($2::text[]) AS word")
            .bind(CHANNEL)
            .bind(words)
            .execute(&pool)
            .await;
        if let Err(error) = sent {
            tracing::debug!(%error, "a notification was not sent");
        }
    }
}
