//! The database, looked at from outside as its superuser: the native handlers' tables, counters, and whether the books hold.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio_postgres::{Client, NoTls};

use crate::native;

/// The tables of both; the platform makes its own from the same file.
const TABLES: &str = include_str!("../app/migrations/bench/0001_init.sql");
/// The tables of the comparison with Restate, a schema per module.
const MARKET: [(&str, &str); 2] = [
    ("stock", include_str!("../market/migrations/stock/0001_init.sql")),
    ("orders", include_str!("../market/migrations/orders/0001_init.sql")),
];
/// The schema of the component's tables.
pub(crate) const OURS: &str = "bench";
/// A backend that falls idle tells its last second of statistics ten seconds later (`PGSTAT_IDLE_INTERVAL`).
const STATISTICS_DELAY: Duration = Duration::from_secs(11);

pub(crate) struct Database {
    client: Client,
}

/// Exact at any moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// Transactions that wrote something, from the counter that numbers them.
    pub(crate) transactions: i64,
    /// Bytes of write-ahead log.
    pub(crate) wal_bytes: i64,
}

/// Complete only some seconds after the work.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Committed {
    /// Committed transactions, those that only read included (`pg_stat_database.xact_commit`).
    pub(crate) commits: i64,
    /// Times the write-ahead log was flushed to the disk (`wal_sync`).
    pub(crate) wal_syncs: i64,
}

/// What is in the tables of the comparison with Restate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Market {
    pub(crate) reservations: i64,
    pub(crate) purchases: i64,
    /// Items that are gone from the stock.
    pub(crate) taken: i64,
}

/// The life of a node.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) node: String,
    pub(crate) s: f64,
}

/// How the jobs stand that a module has sent itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jobs {
    pub(crate) suspended: i64,
    pub(crate) completed: i64,
    /// In the hands of the node that was asked about.
    pub(crate) owned: i64,
    /// When the last of those that have ended did, seconds since 1970-01-01 UTC by the database's clock.
    pub(crate) last_ended_s: f64,
}

impl Database {
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        // Ends with the client.
        tokio::spawn(connection);
        Ok(Self { client })
    }

    /// Makes the tables of the native handlers.
    pub(crate) async fn create_native(&self) -> Result<()> {
        let schema = native::SCHEMA;
        let statements = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; {TABLES}; RESET search_path");
        Ok(self.client.batch_execute(&statements).await?)
    }

    /// Makes the tables that the service on Restate works with; the platform makes its own from the same files.
    pub(crate) async fn create_market(&self) -> Result<()> {
        for (schema, tables) in MARKET {
            let statements = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; {tables}; RESET search_path");
            self.client.batch_execute(&statements).await?;
        }
        Ok(())
    }

    pub(crate) async fn market(&self) -> Result<Market> {
        Ok(Market {
            reservations: self.number("SELECT count(*) FROM stock.reservation").await?,
            purchases: self.number("SELECT count(*) FROM orders.purchase").await?,
            taken: self
                .number("SELECT sum(1000000000 - available)::bigint FROM stock.item")
                .await?,
        })
    }

    /// Brings both sides to the same state of upkeep, so that none pays for what the other did.
    pub(crate) async fn tidy(&self) -> Result<()> {
        for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
            self.client.batch_execute(statement).await?;
        }
        Ok(())
    }

    /// Such as "15.18".
    pub(crate) async fn version(&self) -> Result<String> {
        self.text("SELECT split_part(current_setting('server_version'), ' ', 1)")
            .await
    }

    /// Whether commits wait for the disk.
    pub(crate) async fn is_durable(&self) -> Result<bool> {
        let settings = self
            .text("SELECT current_setting('fsync') || ' ' || current_setting('synchronous_commit')")
            .await?;
        Ok(settings == "on on")
    }

    pub(crate) async fn written(&self) -> Result<Written> {
        const WRITTEN: &str =
            "SELECT txid_snapshot_xmax(txid_current_snapshot()), (pg_current_wal_insert_lsn() - '0/0')::bigint";
        let row = self.client.query_one(WRITTEN, &[]).await?;
        Ok(Written {
            transactions: row.try_get(0)?,
            wal_bytes: row.try_get(1)?,
        })
    }

    /// Waits until the statistics of all that was done before are in.
    pub(crate) async fn committed(&self) -> Result<Committed> {
        // The server tells nobody when they are.
        tokio::time::sleep(STATISTICS_DELAY).await;
        let version: i32 = self.text("SHOW server_version_num").await?.parse()?;
        let syncs = match version {
            ..180_000 => "SELECT wal_sync FROM pg_stat_wal",
            _ => "SELECT coalesce(sum(fsyncs), 0)::bigint FROM pg_stat_io WHERE object = 'wal'",
        };
        const COMMITS: &str = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
        Ok(Committed {
            commits: self.number(COMMITS).await?,
            wal_syncs: self.number(syncs).await?,
        })
    }

    /// Checks that exactly `orders` orders of one unit each are in the books of a schema, and that the stock is what they left.
    pub(crate) async fn check_orders(&self, schema: &str, orders: u64) -> Result<()> {
        let purchases = self.number(&format!("SELECT count(*) FROM {schema}.purchase")).await?;
        ensure!(
            purchases == orders as i64,
            "{orders} orders were answered, but {schema} has {purchases}"
        );
        let taken = self
            .number(&format!("SELECT sum(1000000000 - stock)::bigint FROM {schema}.item"))
            .await?;
        ensure!(
            taken == purchases,
            "{purchases} units were ordered in {schema}, but {taken} are gone"
        );
        Ok(())
    }

    /// Invocations that were kept.
    pub(crate) async fn invocations(&self) -> Result<i64> {
        self.number("SELECT count(*) FROM host.invocation WHERE component = 'shop'")
            .await
    }

    /// Deployments on which orders ran.
    pub(crate) async fn deployments(&self) -> Result<i64> {
        self.number("SELECT count(DISTINCT deployment) FROM host.invocation WHERE component = 'shop'")
            .await
    }

    /// Seconds since 1970-01-01 UTC.
    pub(crate) async fn now_s(&self) -> Result<f64> {
        const NOW: &str = "SELECT extract(epoch FROM clock_timestamp())::double precision";
        Ok(self.client.query_one(NOW, &[]).await?.try_get(0)?)
    }

    /// Of the only node there is.
    pub(crate) async fn only_lease(&self) -> Result<Lease> {
        const LEASE: &str = "SELECT id::text, lease_ms / 1000.0::double precision FROM host.node WHERE gone_at IS NULL";
        let row = self.client.query_one(LEASE, &[]).await?;
        Ok(Lease {
            node: row.try_get(0)?,
            s: row.try_get(1)?,
        })
    }

    /// How the jobs stand, and how many of them this node has.
    pub(crate) async fn jobs(&self, node: &str) -> Result<Jobs> {
        const JOBS: &str = "SELECT count(*) FILTER (WHERE status = 'suspended'), count(*) FILTER (WHERE status = 'completed'),
                 count(*) FILTER (WHERE node_id::text = $1), coalesce(extract(epoch FROM max(ended_at)), 0)::double precision
             FROM host.invocation WHERE parent IS NOT NULL";
        let row = self.client.query_one(JOBS, &[&node]).await?;
        Ok(Jobs {
            suspended: row.try_get(0)?,
            completed: row.try_get(1)?,
            owned: row.try_get(2)?,
            last_ended_s: row.try_get(3)?,
        })
    }

    /// Whether an invocation is open.
    pub(crate) async fn is_open(&self) -> Result<bool> {
        const OPEN: &str =
            "SELECT EXISTS (SELECT FROM host.invocation WHERE status IN ('running', 'suspended', 'paused'))";
        Ok(self.client.query_one(OPEN, &[]).await?.try_get(0)?)
    }

    /// Since when this node owns nothing, if that is so: now.
    pub(crate) async fn owns_nothing_s(&self, node: &str) -> Result<Option<f64>> {
        const NOTHING: &str = "SELECT extract(epoch FROM clock_timestamp())::double precision
             WHERE NOT EXISTS (SELECT FROM host.invocation WHERE node_id = $1::text::uuid)";
        let row = self.client.query_opt(NOTHING, &[&node]).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// When this node was declared gone.
    pub(crate) async fn gone_s(&self, node: &str) -> Result<f64> {
        const GONE: &str =
            "SELECT extract(epoch FROM gone_at)::double precision FROM host.node WHERE id = $1::text::uuid";
        Ok(self.client.query_one(GONE, &[&node]).await?.try_get(0)?)
    }

    /// Makes what waits to be picked up a node's: what a host that was killed would have been working on, if it could work on so many at once.
    pub(crate) async fn give_jobs(&self, node: &str) -> Result<()> {
        const GIVE: &str = "UPDATE host.invocation SET node_id = $1::text::uuid, due_at = NULL
             WHERE status = 'running' AND node_id IS NULL AND parent IS NOT NULL";
        self.client.execute(GIVE, &[&node]).await?;
        Ok(())
    }

    /// Checks that so many jobs took each of their two steps once.
    pub(crate) async fn check_notes(&self, jobs: i64) -> Result<()> {
        for step in ["before", "after"] {
            let notes = self
                .number(&format!("SELECT count(*) FROM crowd.note WHERE what = '{step}'"))
                .await?;
            ensure!(
                notes == jobs,
                "{jobs} jobs have ended, and noted {step:?} {notes} times"
            );
        }
        Ok(())
    }

    /// Stores completed invocations of this month, an entry each, as many posts would have left them.
    pub(crate) async fn store_completed(&self, count: u64) -> Result<()> {
        const PART: u64 = 500_000;
        let mut stored = 0;
        while stored < count {
            let part = PART.min(count - stored);
            let (first, last) = (stored + 1, stored + part);
            // Ids go up through the month, as those of real ones do.
            self.client
                .batch_execute(&format!(
                    "SET synchronous_commit = off;
                     WITH made AS (
                         INSERT INTO host.invocation (id, component, function, deployment, status, ended_at)
                         SELECT (lpad(to_hex((extract(epoch FROM month) * 1000
                                     + extract(epoch FROM now() - month) * 1000 * number / {count})::bigint), 12, '0')
                                 || '7' || substr(md5(number::text), 1, 3) || '8' || substr(md5(number::text), 4, 15))::uuid,
                             'shop', 'nexus:http/handler.handle', 1, 'completed', now()
                         FROM generate_series({first}, {last}) AS number,
                             (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS month) AS this
                         RETURNING id
                     )
                     INSERT INTO host.journal_entry (invocation_id, entry_index, body)
                     SELECT id, 0, decode(repeat(md5(id::text), 6), 'hex') FROM made;
                     SET synchronous_commit = on"
                ))
                .await?;
            stored = last;
        }
        Ok(())
    }

    /// Stores suspended invocations, each of which waits for a promise of its own that nobody completes.
    pub(crate) async fn store_suspended(&self, count: u64) -> Result<()> {
        let statements = format!(
            "WITH made AS (
                 INSERT INTO host.invocation (id, component, function, deployment, status)
                 SELECT gen_random_uuid(), 'shop', 'nexus:http/handler.handle', 1, 'suspended' FROM generate_series(1, {count})
                 RETURNING id
             ), promised AS (
                 INSERT INTO host.promise (id, invocation_id) SELECT gen_random_uuid(), id FROM made RETURNING id, invocation_id
             )
             INSERT INTO host.promise_waiter (promise_id, invocation_id) SELECT id, invocation_id FROM promised"
        );
        Ok(self.client.batch_execute(&statements).await?)
    }

    async fn number(&self, query: &str) -> Result<i64> {
        Ok(self.client.query_one(query, &[]).await?.try_get(0)?)
    }

    async fn text(&self, query: &str) -> Result<String> {
        Ok(self.client.query_one(query, &[]).await?.try_get(0)?)
    }
}
