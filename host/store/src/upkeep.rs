//! What has to be done now and then: partitions for the months to come, and forgetting what is past retention.

use crate::{Result, Store};

/// This month and the next two: a node that is down for a month finds its partition all the same.
pub(crate) const MONTHS_AHEAD: i32 = 3;

impl Store {
    /// Makes the journal's partitions for this month and the next two. Daily; any node may. Returns how many were missing.
    pub async fn create_partitions(&self) -> Result<u32> {
        let created: i32 = sqlx::query_scalar("SELECT host.create_partitions($1)")
            .bind(MONTHS_AHEAD)
            .fetch_one(self.pool())
            .await?;
        Ok(created.unsigned_abs())
    }

    /// Forgets invocations that ended longer ago than `retention_ms` and that no key leads to, month by month: whole partitions
    /// are dropped, and stragglers stay. Returns the partitions dropped.
    pub async fn drop_finished(&self, retention_ms: u64) -> Result<Vec<String>> {
        let mut dropped = Vec::new();
        loop {
            let partition: Option<String> =
                sqlx::query_scalar("SELECT host.drop_oldest_partition(now() - $1::bigint * interval '1 millisecond')")
                    .bind(crate::journal::bigint(retention_ms))
                    .fetch_one(self.pool())
                    .await?;
            match partition {
                Some(partition) => dropped.push(partition),
                None => break,
            }
        }
        let stragglers: i64 =
            sqlx::query_scalar("SELECT host.forget_stragglers(now() - $1::bigint * interval '1 millisecond')")
                .bind(crate::journal::bigint(retention_ms))
                .fetch_one(self.pool())
                .await?;
        if stragglers > 0 || !dropped.is_empty() {
            self.forget_promises().await?;
        }
        Ok(dropped)
    }

    /// Forgets the promises of invocations that are forgotten, and the waits of those that were ended while they waited.
    async fn forget_promises(&self) -> Result<()> {
        sqlx::query(
            "DELETE FROM host.promise
                 WHERE NOT EXISTS (SELECT FROM host.invocation WHERE id = promise.invocation_id)",
        )
        .execute(self.pool())
        .await?;
        sqlx::query(
            "DELETE FROM host.promise_waiter WHERE NOT EXISTS (SELECT FROM host.invocation
                 WHERE id = promise_waiter.invocation_id AND status IN ('suspended', 'paused'))",
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Forgets keys that are past their time. Returns how many.
    pub async fn expire_keys(&self) -> Result<u64> {
        // A part at a time: no long transaction, and no lock that a claim would wait for.
        const AT_ONCE: i64 = 1_000;
        let mut expired = 0;
        loop {
            let done = sqlx::query(
                "DELETE FROM host.idempotency_key WHERE key IN (SELECT key FROM host.idempotency_key
                     WHERE expires_at <= now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
            )
            .bind(AT_ONCE)
            .execute(self.pool())
            .await?
            .rows_affected();
            expired += done;
            if done < AT_ONCE.unsigned_abs() {
                return Ok(expired);
            }
        }
    }

    /// Forgets nodes that have been gone for a week and own nothing. Returns how many.
    pub async fn forget_nodes(&self) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM host.node WHERE gone_at < now() - interval '7 days'
                 AND NOT EXISTS (SELECT FROM host.invocation WHERE node_id = node.id)",
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected())
    }
}
