//! Whether the database is where, and at least as late as, it was when nodes last worked on it; or was restored from a backup.

use std::sync::atomic::Ordering;

use crate::journal::bigint;
use crate::{Result, Store};

/// A restore that was noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// How.
    pub why: String,
    /// Invocations that were open, and are paused now.
    pub paused: u64,
}

impl Store {
    /// Pauses whatever is open in a database that was restored from a backup. For every start, after [`Store::migrate_host`] and before
    /// [`Store::register_node`]. `seen_ms` is what [`Store::last_heartbeat_ms`] said last to an earlier process of this data directory, 0
    /// without one; `is_restored` is an operator's word for what cannot be noticed.
    pub async fn check_origin(&self, seen_ms: u64, is_restored: bool) -> Result<Option<Restored>> {
        let restored: Option<(String, i64)> = sqlx::query_as("SELECT why, paused FROM host.check_origin($1, $2)")
            .bind(bigint(seen_ms))
            .bind(is_restored)
            .fetch_optional(self.pool())
            .await?;
        Ok(restored.map(|(why, paused)| Restored {
            why,
            paused: paused.unsigned_abs(),
        }))
    }

    /// When this node last gave a sign of life, by the database's clock; 0 before it registered. Kept in the data directory, it tells a later
    /// process how late it was here already.
    pub fn last_heartbeat_ms(&self) -> u64 {
        self.inner.last_heartbeat_ms.load(Ordering::Relaxed)
    }
}
