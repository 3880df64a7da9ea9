//! What modules ask of their sessions.

use std::sync::Arc;
use std::time::Duration;

use host_metrics::{Counter, Histogram, Observed, Registry, SHORT_SECONDS, Series};

use crate::Pools;

/// Waits for sessions, and what became of transactions.
#[derive(Debug, Clone)]
pub(crate) struct SqlMetrics {
    wait: Histogram,
    refused: Series<Counter, 1>,
    transactions: Series<Counter, 2>,
}

impl Default for SqlMetrics {
    fn default() -> Self {
        Self {
            wait: Histogram::new(SHORT_SECONDS),
            refused: Series::counters(["role"]),
            transactions: Series::counters(["role", "outcome"]),
        }
    }
}

impl SqlMetrics {
    /// A role had its session after so long.
    pub(crate) fn leased(&self, waited: Duration) {
        self.wait.observe(waited.as_secs_f64());
    }

    /// None came free in time.
    pub(crate) fn refused(&self, role: &str) {
        self.refused.of(&[role]).inc();
    }

    /// A transaction that had reached the server ended.
    pub(crate) fn ended(&self, role: &str, outcome: &str) {
        self.transactions.of(&[role, outcome]).inc();
    }
}

impl Pools {
    /// Registers what can be told of them.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        let SqlMetrics {
            wait,
            refused,
            transactions,
        } = self.metrics.clone();
        registry.register(
            "nexus_sql_session_wait_seconds",
            "How long an invocation waited for a session of its module's role",
            wait,
        );
        registry.register(
            "nexus_sql_session_refused",
            "Waits that ended without a session, by role",
            refused,
        );
        registry.register(
            "nexus_sql_transactions",
            "Transactions of modules that had reached the server, by role and outcome",
            transactions,
        );
        let counts = Arc::clone(self);
        registry.register(
            "nexus_sql_sessions_open",
            "Sessions of all modules' roles",
            Observed::gauge(move || counts.counts().0 as f64),
        );
        let counts = Arc::clone(self);
        registry.register(
            "nexus_sql_sessions_idle",
            "Those of them that nobody uses",
            Observed::gauge(move || counts.counts().1 as f64),
        );
        let budget = self.budget();
        registry.register(
            "nexus_sql_sessions_budget",
            "How many there may be",
            Observed::gauge(move || budget as f64),
        );
    }
}
