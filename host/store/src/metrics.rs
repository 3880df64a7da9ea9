//! What writing costs, and what the database knows of everybody's invocations.

use host_journal::{AppendError, InvocationStatus};
use host_metrics::{Counter, Histogram, Observed, Registry, SHORT_SECONDS, Series};
use host_types::ComponentId;

use crate::invocations::status_from;
use crate::{Error, Result, Store};

/// Appends and commits of this node.
#[derive(Debug, Clone)]
pub(crate) struct StoreMetrics {
    append: Series<Histogram, 1>,
    batch: Histogram,
    commits: Series<Counter, 1>,
    failures: Series<Counter, 1>,
}

/// Appends that share a commit.
const BATCH_SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Open invocations that are counted at most: the count must not cost more than what it tells is worth.
const MAX_COUNTED: i64 = 100_000;

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            append: Series::new(["path"], || Histogram::new(SHORT_SECONDS)),
            batch: Histogram::new(BATCH_SIZES),
            commits: Series::counters(["path"]),
            failures: Series::counters(["reason"]),
        }
    }
}

impl StoreMetrics {
    /// So many appends of the group writer were committed together.
    pub(crate) fn batch_written(&self, appends: usize) {
        self.batch.observe(appends as f64);
        self.committed("group");
    }

    /// A commit of the host itself.
    pub(crate) fn committed(&self, path: &str) {
        self.commits.of(&[path]).inc();
    }

    /// Somebody waited so long for an append.
    pub(crate) fn appended(&self, path: &str, duration_ns: u64, outcome: &Result<(), AppendError>) {
        self.append.of(&[path]).observe(duration_ns as f64 / 1e9);
        let reason = match outcome {
            Ok(()) => return,
            Err(AppendError::Fenced) => "fenced",
            Err(AppendError::KeyTaken) => "key_taken",
            Err(AppendError::Refused(_)) => "refused",
            Err(AppendError::Unknown(_)) => "unknown",
        };
        self.failures.of(&[reason]).inc();
    }
}

/// What is open in the database, of all nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenCounts {
    /// How many stand where, by component.
    pub counts: Vec<(InvocationStatus, ComponentId, u64)>,
    /// There are more than were counted.
    pub truncated: bool,
    /// For how long what is due and in nobody's hands has been waiting, seconds; 0 when nothing is.
    pub overdue_seconds: f64,
}

impl Store {
    /// Counts what is open. Costs as much as there is of it, up to a bound.
    pub async fn open_counts(&self) -> Result<OpenCounts> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT status::text, component, count(*) FROM (
                 SELECT status, component FROM host.invocation
                 WHERE status IN ('running', 'suspended', 'paused') LIMIT $1
             ) AS open GROUP BY status, component",
        )
        .bind(MAX_COUNTED)
        .fetch_all(self.pool())
        .await?;
        let overdue_seconds: f64 = sqlx::query_scalar(
            "SELECT coalesce(greatest(extract(epoch FROM clock_timestamp() - min(due_at)), 0), 0)::float8
             FROM host.invocation WHERE due_at IS NOT NULL AND node_id IS NULL",
        )
        .fetch_one(self.pool())
        .await?;
        let counted: i64 = rows.iter().map(|(_, _, count)| count).sum();
        let counts = rows.into_iter().map(|(status, component, count)| {
            let status = status_from(&status).ok_or_else(|| Error::Row("status".into()))?;
            Ok((status, component.into(), count.unsigned_abs()))
        });
        Ok(OpenCounts {
            counts: counts.collect::<Result<_>>()?,
            truncated: counted >= MAX_COUNTED,
            overdue_seconds,
        })
    }

    /// Registers what can be told of this node's writing.
    pub fn register(&self, registry: &mut Registry) {
        let StoreMetrics {
            append,
            batch,
            commits,
            failures,
        } = self.inner.metrics.clone();
        registry.register(
            "nexus_append_seconds",
            "From handing an append over to its commit, by the way it took",
            append,
        );
        registry.register(
            "nexus_append_batch_size",
            "Appends that shared a commit of the group writer",
            batch,
        );
        registry.register(
            "nexus_commits",
            "Commits of the host itself, by what they were for; those of modules are in nexus_sql_transactions",
            commits,
        );
        registry.register(
            "nexus_append_failures",
            "Appends that did not happen, by reason",
            failures,
        );
        let store = self.clone();
        registry.register(
            "nexus_append_queue",
            "Appends handed over to the group writer and not finished",
            Observed::gauge(move || store.inner.writer.open() as f64),
        );
        let store = self.clone();
        registry.register(
            "nexus_lazy_appends_dropped",
            "Outputs that were not written because the writer could not keep up; their invocations run again",
            Observed::counter(move || store.lazy_appends_dropped() as f64),
        );
        let store = self.clone();
        registry.register(
            "nexus_store_connections_open",
            "Connections of the host itself, without the reserved ones",
            Observed::gauge(move || f64::from(store.pool().size())),
        );
        let store = self.clone();
        registry.register(
            "nexus_store_connections_idle",
            "Those of them that nobody uses",
            Observed::gauge(move || store.pool().num_idle() as f64),
        );
    }
}
