//! Running hosts: registration, lease, and the end of both. All times are the database's.

use std::sync::atomic::Ordering;

use host_types::NodeId;
use ring::digest::{SHA256, digest};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::journal::bigint;
use crate::migrate::{check_known, newest_known};
use crate::{Error, Result, Store};

/// A clock further from the database's makes ids and due times that others cannot rely on.
const MAX_CLOCK_OFFSET_MS: i64 = 1_000;
/// How long a connection may take to end.
const BACKEND_END_TIMEOUT_MS: i64 = 5_000;

/// What the name of a node's connections begins with; its id follows.
const APPLICATION: &str = "nexus/";

/// The name under which all connections of a node, the modules' too, appear in the server: takeover ends them by it.
pub fn application_name(node: NodeId) -> String {
    format!("{APPLICATION}{node}")
}

/// What `host.register_node` returns.
type Answer = (i32, bool, i64, i64, i64, Vec<Uuid>, Option<i64>);

/// What the database said to a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// The database's clock minus ours, milliseconds.
    pub clock_offset_ms: i64,
    /// The clocks agree well enough to take work.
    pub may_work: bool,
    /// Until when the lease holds, by [`host_types::Clock::boot_ns`]; counted from before the question was asked.
    pub lease_until_ns: u64,
}

/// What a new node learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The node.
    pub node: NodeId,
    /// Nodes of the same name that have not been declared gone. The name belongs to a data directory, and whoever registers
    /// holds its lock: these are dead, whatever is left of their leases.
    pub predecessors: Vec<NodeId>,
    /// The first heartbeat.
    pub heartbeat: Heartbeat,
}

/// A node as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// The node.
    pub node: NodeId,
    /// Of its data directory.
    pub name: String,
    /// When it registered, milliseconds since 1970-01-01 UTC.
    pub started_ms: i64,
    /// How long ago it last gave a sign of life, milliseconds.
    pub silent_ms: i64,
    /// How long it may be silent, milliseconds.
    pub lease_ms: i32,
    /// It takes no new work.
    pub draining: bool,
    /// It was declared gone.
    pub gone: bool,
}

/// Why a node is declared gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoneBecause {
    /// Nothing was heard of it for longer than its lease: checked again.
    LeaseExpired,
    /// Its process is known to be dead, or says so itself.
    ProcessEnded,
}

impl Store {
    /// Makes this process known as a node. From here on it may write. `module_sessions` is what this node opens at most besides
    /// the store's own connections; [`Error::TooManyNodes`] when all live nodes together would then want more than there are.
    pub async fn register_node(&self, name: &str, module_sessions: u32) -> Result<Registration> {
        let inner = &self.inner;
        let token_hash = digest(&SHA256, &inner.node.token);
        let connections = self.connections().saturating_add(module_sessions);
        let asked = self.asked();
        let answer: Answer = sqlx::query_as(
            "SELECT known_from, knows_master, others, taken, allowed, predecessors, registered_ms
             FROM host.register_node($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(inner.node.id.0)
        .bind(name)
        .bind(token_hash.as_ref())
        .bind(i32::try_from(inner.lease_ms).unwrap_or(i32::MAX))
        .bind(i32::try_from(connections).unwrap_or(i32::MAX))
        .bind(newest_known())
        .bind(inner.keys.current())
        .bind(inner.keys.master().fingerprint())
        .fetch_one(self.pool())
        .await?;
        let (known_from, knows_master, others, taken, allowed, predecessors, registered_ms) = answer;
        check_known(known_from)?;
        if !knows_master {
            return Err(Error::WrongMasterKey);
        }
        let Some(registered_ms) = registered_ms else {
            let count = |number: i64| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
            return Err(Error::TooManyNodes {
                others: count(others),
                taken: count(taken),
                connections,
                allowed: count(allowed),
            });
        };
        Ok(Registration {
            node: inner.node.id,
            predecessors: predecessors.into_iter().map(NodeId).collect(),
            heartbeat: self.answered(asked, registered_ms),
        })
    }

    /// Renews the lease. [`Error::NodeGone`] when others have taken over: this process must end, or register anew.
    pub async fn heartbeat(&self) -> Result<Heartbeat> {
        let asked = self.asked();
        // A database that has forgotten the last heartbeat was restored from a backup under us. One that remembers it and has another
        // timeline is a replica that took over: that is where the data is from now on.
        let database_ms: Option<i64> = sqlx::query_scalar(
            "WITH beat AS (
                 UPDATE host.node SET heartbeat_at = clock_timestamp() WHERE id = $1 AND gone_at IS NULL
                     AND heartbeat_at > to_timestamp($2::double precision / 1000) - interval '1 s'
                 RETURNING floor(extract(epoch FROM heartbeat_at) * 1000)::bigint AS ms
             ), followed AS (
                 UPDATE host.origin SET timeline = host.current_timeline()
                 WHERE timeline <> host.current_timeline() AND EXISTS (SELECT FROM beat)
             )
             SELECT ms FROM beat",
        )
        .bind(self.node().0)
        .bind(bigint(self.last_heartbeat_ms()))
        .fetch_optional(&self.inner.reserved)
        .await?;
        Ok(self.answered(asked, database_ms.ok_or(Error::NodeGone)?))
    }

    /// Nodes to take over from: those whose lease ran out, and those declared gone that still have invocations or connections, since
    /// whoever declared it may have died too. A transaction that is left open holds its locks although no invocation has a row yet.
    pub async fn dead_nodes(&self) -> Result<Vec<NodeId>> {
        let dead: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM host.node WHERE id <> $1 AND CASE
                 WHEN gone_at IS NULL THEN NOT host.holds_lease(node)
                 ELSE EXISTS (SELECT FROM host.invocation WHERE node_id = node.id)
                     OR $2 || id::text IN (SELECT coalesce(application_name, '') FROM pg_stat_activity
                         WHERE datname = current_database())
             END ORDER BY id",
        )
        .bind(self.node().0)
        .bind(APPLICATION)
        .fetch_all(&self.inner.reserved)
        .await?;
        Ok(dead.into_iter().map(NodeId).collect())
    }

    /// Declares a node gone: nothing under its token is accepted any more. Returns whether it is gone now.
    pub async fn mark_gone(&self, node: NodeId, because: GoneBecause) -> Result<bool> {
        sqlx::query(
            "UPDATE host.node SET gone_at = clock_timestamp() WHERE id = $1 AND gone_at IS NULL
                 AND NOT ($2 AND host.holds_lease(node))",
        )
        .bind(node.0)
        .bind(because == GoneBecause::LeaseExpired)
        .execute(&self.inner.reserved)
        .await?;
        self.is_gone(node).await
    }

    /// Ends every connection of a node and returns when they are gone: after that nothing it had begun can still commit.
    pub async fn end_backends(&self, node: NodeId) -> Result<()> {
        let name = application_name(node);
        let connections = "FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()";
        let count = format!("SELECT count(*) {connections}");
        // All are told first; the server then waits for each. Its answers say nothing: one that somebody else has just ended is
        // no success either.
        let told = format!("SELECT count(pg_terminate_backend(pid)) {connections}");
        let awaited = format!("SELECT count(pg_terminate_backend(pid, $2)) {connections}");
        let session = &mut *self.inner.reserved.acquire().await?;
        let told: i64 = sqlx::query_scalar(AssertSqlSafe(told))
            .bind(&name)
            .fetch_one(&mut *session)
            .await?;
        if told == 0 {
            return Ok(());
        }
        let awaited = sqlx::query(AssertSqlSafe(awaited))
            .bind(&name)
            .bind(BACKEND_END_TIMEOUT_MS);
        awaited.execute(&mut *session).await?;
        let remaining: i64 = sqlx::query_scalar(AssertSqlSafe(count))
            .bind(&name)
            .fetch_one(&mut *session)
            .await?;
        if remaining == 0 {
            Ok(())
        } else {
            Err(Error::BackendsRemain { node, remaining })
        }
    }

    /// Says that this node takes no new work, or again does.
    pub async fn drain(&self, draining: bool) -> Result<()> {
        sqlx::query("UPDATE host.node SET draining = $2 WHERE id = $1")
            .bind(self.node().0)
            .bind(draining)
            .execute(&self.inner.reserved)
            .await?;
        Ok(())
    }

    /// All nodes, newest first.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>> {
        let rows: Vec<(Uuid, String, i64, i64, i32, bool, bool)> = sqlx::query_as(
            "SELECT id, name, (extract(epoch FROM started_at) * 1000)::bigint,
                 (extract(epoch FROM clock_timestamp() - heartbeat_at) * 1000)::bigint, lease_ms, draining, gone_at IS NOT NULL
             FROM host.node ORDER BY id DESC",
        )
        .fetch_all(self.pool())
        .await?;
        let row = |(id, name, started_ms, silent_ms, lease_ms, draining, gone)| NodeRow {
            node: NodeId(id),
            name,
            started_ms,
            silent_ms,
            lease_ms,
            draining,
            gone,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    pub(crate) async fn is_gone(&self, node: NodeId) -> Result<bool> {
        // A node without a row was forgotten long after it had gone.
        let gone: Option<bool> = sqlx::query_scalar("SELECT gone_at IS NOT NULL FROM host.node WHERE id = $1")
            .bind(node.0)
            .fetch_optional(&self.inner.reserved)
            .await?;
        Ok(gone.unwrap_or(true))
    }

    /// Our clocks before the database is asked for its own: for dates, and for the lease.
    fn asked(&self) -> (u64, u64) {
        (self.inner.clock.unix_ms(), self.inner.clock.boot_ns())
    }

    fn answered(&self, (asked_ms, asked_ns): (u64, u64), database_ms: i64) -> Heartbeat {
        // The database read its clock somewhere between question and answer: within half of that time of the middle. Counted by the clock
        // that nobody sets: one that is set meanwhile would make a long time of it, within which any offset may lie.
        let answered_ns = self.inner.clock.boot_ns();
        self.inner
            .last_heartbeat_ms
            .store(database_ms.unsigned_abs(), Ordering::Relaxed);
        let half_ms = (answered_ns.saturating_sub(asked_ns) / 2_000_000).cast_signed();
        let clock_offset_ms = database_ms - asked_ms.cast_signed() - half_ms;
        Heartbeat {
            clock_offset_ms,
            may_work: clock_offset_ms.abs() - half_ms <= MAX_CLOCK_OFFSET_MS,
            lease_until_ns: asked_ns + u64::from(self.inner.lease_ms) * 1_000_000,
        }
    }
}
