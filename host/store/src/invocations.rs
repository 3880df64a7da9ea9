//! Invocations as rows: loading, listing, and picking up the due ones.

use host_journal::{Body, DecodeError, Entry, InvocationStatus, decode};
use host_types::{ComponentId, DeploymentNumber, InvocationId, NodeId, WaitingFor};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::{Error, Result, Store, Wake};

/// `SELECT` with all columns of [`InvocationRow`], more of them, and what follows.
macro_rules! select {
    ($rest:literal) => {
        select!("", $rest)
    };
    ($more:literal, $rest:literal) => {
        concat!(
            "SELECT id, component, function, deployment, status::text AS status, node_id, attempt, failures, \
             (extract(epoch FROM due_at) * 1000)::bigint AS due_ms, cause, erasure_salt, parent, \
             (extract(epoch FROM created_at) * 1000)::bigint AS created_ms, \
             (extract(epoch FROM updated_at) * 1000)::bigint AS updated_ms, \
             (extract(epoch FROM ended_at) * 1000)::bigint AS ended_ms",
            $more,
            " FROM host.invocation ",
            $rest
        )
    };
}

/// The statement of [`Store::due`]. What waits is in lanes, one for each component and deployment, and those that a node leaves to others are
/// stepped over: it touches what it takes, however much else is due. `now()` and not `clock_timestamp()`, by which nothing is looked up; and rows
/// are compared whole, since else the index on `due_at` alone would seem as good. Only what is taken is locked, one by one in the order of
/// `seen`, and is looked at again then; of each lane twice as many are seen, since another node may be taking the first of them.
#[doc(hidden)]
pub const DUE: &str = "WITH RECURSIVE lane (component, deployment) AS (
    (SELECT component, deployment FROM host.invocation
     WHERE due_at IS NOT NULL AND node_id IS NULL ORDER BY component, deployment LIMIT 1)
    UNION ALL
    SELECT next.component, next.deployment FROM lane CROSS JOIN LATERAL (
        SELECT component, deployment FROM host.invocation
        WHERE due_at IS NOT NULL AND node_id IS NULL
            AND (invocation.component, invocation.deployment) > (lane.component, lane.deployment)
        ORDER BY component, deployment LIMIT 1) AS next
), seen AS MATERIALIZED (
    SELECT first.id FROM lane CROSS JOIN LATERAL (
        SELECT id, due_at FROM host.invocation
        WHERE due_at IS NOT NULL AND node_id IS NULL
            AND (component, deployment, due_at) >= (lane.component, lane.deployment, '-infinity')
            AND (component, deployment, due_at) <= (lane.component, lane.deployment, now())
        ORDER BY component, deployment, due_at LIMIT 2 * $2) AS first
    WHERE lane.component <> ALL($3) AND lane.deployment <> ALL($4)
        AND EXISTS (SELECT FROM host.node WHERE id = $1 AND gone_at IS NULL)
    ORDER BY first.due_at
), due AS (
    SELECT still.* FROM seen CROSS JOIN LATERAL (
        SELECT id, due_at, status = 'suspended' AS suspended FROM host.invocation
        WHERE id = seen.id AND due_at <= now() AND node_id IS NULL AND deployment <> ALL($4)
        FOR UPDATE SKIP LOCKED) AS still
    LIMIT $2
), taken AS (
    UPDATE host.invocation SET node_id = $1, status = 'running', due_at = NULL, updated_at = now()
    FROM due WHERE invocation.id = due.id RETURNING invocation.id
), forgotten AS (
    DELETE FROM host.promise_waiter WHERE invocation_id IN (SELECT id FROM due WHERE suspended)
)
SELECT id, suspended FROM due JOIN taken USING (id) ORDER BY due.due_at, id";

/// What is known in clear about an invocation. Times are milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct InvocationRow {
    /// Which.
    pub invocation: InvocationId,
    /// The component called.
    pub component: ComponentId,
    /// The exported function.
    pub function: String,
    /// The deployment it is pinned to.
    pub deployment: DeploymentNumber,
    /// Where it stands.
    pub status: InvocationStatus,
    /// Its owner.
    pub node: Option<NodeId>,
    /// The number of its last attempt; 0 is the first.
    pub attempt: u32,
    /// Failed attempts in a row.
    pub failures: u32,
    /// When the next attempt may begin.
    pub due_ms: Option<i64>,
    /// Why it is paused, failed, or being retried.
    pub cause: Option<String>,
    /// Part of the key of its payloads.
    pub erasure_salt: Option<[u8; 32]>,
    /// The invocation that sent it.
    pub parent: Option<InvocationId>,
    /// When its row was written.
    pub created_ms: i64,
    /// When the row last changed.
    pub updated_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
}

/// Entries as they are stored, by index.
pub type Bodies = Vec<(u32, Vec<u8>)>;

/// An invocation with its whole record.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The row.
    pub row: InvocationRow,
    /// The entries, in order, from index 0.
    pub entries: Vec<Entry>,
}

impl Loaded {
    /// Pins it. An invocation that was moved has its first pin in the entry it began with, which stays as it is; its row has the last one,
    /// and that wins: here, for everybody who goes by the header.
    pub fn pin_to(&mut self, number: DeploymentNumber) {
        self.row.deployment = number;
        if let Some(Entry {
            body: Body::Started(header),
            ..
        }) = self.entries.first_mut()
        {
            header.deployment = number;
        }
    }
}

/// Which invocations to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those that stand here.
    pub status: Option<InvocationStatus>,
    /// Only those of this component.
    pub component: Option<ComponentId>,
    /// Only those that began with this function, of any version of its interface unless it names one.
    pub function: Option<String>,
    /// Only those that began longer ago than this by the database's clock, milliseconds.
    pub older_than_ms: Option<u64>,
    /// Only those whose cause holds this text, whatever its case; none that are completed.
    pub cause: Option<String>,
    /// Only suspended ones that wait for this.
    pub waiting_for: Option<WaitingFor>,
    /// Only those that hold one of these idempotency keys, as they are stored.
    pub keys: Option<Vec<[u8; 32]>>,
    /// How many at most.
    pub limit: u32,
    /// Only those after this one: [`Page::next`] of the page before.
    pub cursor: Option<InvocationId>,
}

/// What a node leaves to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// Invocations of these components.
    pub components: Vec<ComponentId>,
    /// Invocations that are pinned to these.
    pub deployments: Vec<DeploymentNumber>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Newest first.
    pub rows: Vec<InvocationRow>,
    /// The cursor of the next page, if there is one.
    pub next: Option<InvocationId>,
}

impl Store {
    /// [`Store::stored`], decoded. [`Error::Decode`] when its payloads were erased, or cannot be read.
    pub async fn load(&self, invocation: InvocationId) -> Result<Option<Loaded>> {
        let Some((row, bodies)) = self.stored(invocation).await? else {
            return Ok(None);
        };
        let entries = match self.decode(&row, &bodies) {
            Ok(entries) => entries,
            Err((_, true)) => {
                // Perhaps another node sealed it with a key that is newer than what is loaded here.
                self.inner.keys.load(&mut *self.pool().acquire().await?).await?;
                self.decode(&row, &bodies).map_err(|(error, _)| error)?
            }
            Err((error, false)) => return Err(error.into()),
        };
        let (number, mut loaded) = (row.deployment, Loaded { row, entries });
        loaded.pin_to(number);
        Ok(Some(loaded))
    }

    /// An invocation's row with its entries, as [`Store::bodies`] gives them. One statement, and so both are of one moment: a fence that was
    /// committed between two would be among the entries and not yet in the row, and whoever goes by such a row would append behind the fence
    /// what the fence forbids, without a conflict.
    pub async fn stored(&self, invocation: InvocationId) -> Result<Option<(InvocationRow, Bodies)>> {
        let select = sqlx::query(select!(
            ", ARRAY(SELECT body FROM host.journal_entry WHERE invocation_id = $1 ORDER BY entry_index) AS bodies",
            "WHERE id = $1"
        ));
        let Some(stored) = select.bind(invocation.0).fetch_optional(self.pool()).await? else {
            return Ok(None);
        };
        let bodies: Vec<Vec<u8>> = stored.try_get("bodies")?;
        Ok(Some((InvocationRow::from_row(&stored)?, (0..).zip(bodies).collect())))
    }

    /// An invocation's row alone.
    pub async fn row(&self, invocation: InvocationId) -> Result<Option<InvocationRow>> {
        let select = sqlx::query_as(select!("WHERE id = $1"));
        Ok(select.bind(invocation.0).fetch_optional(self.pool()).await?)
    }

    /// An invocation's entries as stored, in order: readable with [`host_journal::decode`] under any seal.
    pub async fn bodies(&self, invocation: InvocationId) -> Result<Bodies> {
        let rows: Vec<(i32, Vec<u8>)> = sqlx::query_as(
            "SELECT entry_index, body FROM host.journal_entry WHERE invocation_id = $1 ORDER BY entry_index",
        )
        .bind(invocation.0)
        .fetch_all(self.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(index, body)| (index.unsigned_abs(), body))
            .collect())
    }

    /// One page of invocations.
    pub async fn list(&self, filter: &Filter) -> Result<Page> {
        let mut select = sqlx::QueryBuilder::new(select!("WHERE true"));
        // A condition that is not there cannot spoil the choice of the index.
        if let Some(status) = filter.status {
            select
                .push(" AND status = ")
                .push_bind(status.as_str())
                .push("::text::host.invocation_status");
        }
        if let Some(component) = &filter.component {
            select.push(" AND component = ").push_bind(component.as_str());
        }
        if let Some(function) = &filter.function {
            select
                .push(" AND ")
                .push_bind(function.as_str())
                .push(r" IN (function, regexp_replace(function, '@.*\.', '.'))");
        }
        if let Some(older_than_ms) = filter.older_than_ms {
            let seconds = older_than_ms as f64 / 1_000.0;
            select
                .push(" AND created_at < clock_timestamp() - make_interval(secs => ")
                .push_bind(seconds)
                .push(")");
        }
        if let Some(cause) = &filter.cause {
            // Most invocations are completed and have no cause: without them an index leads to the others.
            select
                .push(" AND status <> 'completed' AND position(lower(")
                .push_bind(cause.as_str())
                .push(") IN lower(cause)) > 0");
        }
        match filter.waiting_for {
            None => {}
            Some(WaitingFor::Promise) => {
                select.push(
                    " AND status = 'suspended' AND EXISTS (SELECT FROM host.promise_waiter WHERE invocation_id = id)",
                );
            }
            Some(WaitingFor::Time) => {
                select.push(
                    " AND status = 'suspended' AND due_at IS NOT NULL
                      AND NOT EXISTS (SELECT FROM host.promise_waiter WHERE invocation_id = id)",
                );
            }
            Some(WaitingFor::This(promise)) => {
                select
                    .push(" AND id IN (SELECT invocation_id FROM host.promise_waiter WHERE promise_id = ")
                    .push_bind(promise.0)
                    .push(")");
            }
        }
        if let Some(keys) = &filter.keys {
            let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
            select
                .push(" AND id IN (SELECT invocation_id FROM host.idempotency_key WHERE key = ANY (")
                .push_bind(keys.clone())
                .push(") OR route_key = ANY (")
                .push_bind(keys)
                .push("))");
        }
        if let Some(cursor) = filter.cursor {
            select.push(" AND id < ").push_bind(cursor.0);
        }
        // One more than asked for tells whether there is a next page.
        select
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(filter.limit) + 1);
        let mut rows: Vec<InvocationRow> = select.build_query_as().fetch_all(self.pool()).await?;
        let more = rows.len() > filter.limit as usize;
        rows.truncate(filter.limit as usize);
        let next = rows.last().filter(|_| more).map(|row| row.invocation);
        Ok(Page { rows, next })
    }

    /// Up to `limit` invocations that nobody owns and whose time has come, given to this node, the longest due first; whether each
    /// was suspended. None of those that it leaves to others. Several nodes that ask at once get different ones. What this node does not get
    /// to, its successor finds among its own.
    pub async fn due(&self, limit: u32, left: &Left) -> Result<Vec<(InvocationId, bool)>> {
        let components: Vec<&str> = left.components.iter().map(ComponentId::as_str).collect();
        let deployments: Vec<i64> = left.deployments.iter().map(|number| number.0).collect();
        // Planned for what is asked for: a plan for any limit would be one for very many.
        let rows: Vec<(Uuid, bool)> = sqlx::query_as(DUE)
            .persistent(false)
            .bind(self.node().0)
            .bind(i64::from(limit))
            .bind(components)
            .bind(deployments)
            .fetch_all(self.pool())
            .await?;
        let due = |(id, suspended)| (InvocationId(id), suspended);
        Ok(rows.into_iter().map(due).collect())
    }

    /// The running invocations of this node whose time has come, in no order.
    pub async fn owned(&self) -> Result<Vec<InvocationId>> {
        let ids = sqlx::query_scalar(
            "SELECT id FROM host.invocation WHERE node_id = $1 AND status = 'running'
                 AND (due_at IS NULL OR due_at <= clock_timestamp())",
        )
        .bind(self.node().0)
        .fetch_all(self.pool())
        .await?;
        Ok(ids.into_iter().map(InvocationId).collect())
    }

    /// Which of these are not this node's, or not any more. One without a row is.
    pub async fn not_owned(&self, running: &[InvocationId]) -> Result<Vec<InvocationId>> {
        let running: Vec<Uuid> = running.iter().map(|running| running.0).collect();
        let ids =
            sqlx::query_scalar("SELECT id FROM host.invocation WHERE id = ANY($1) AND node_id IS DISTINCT FROM $2")
                .bind(running)
                .bind(self.node().0)
                .fetch_all(self.pool())
                .await?;
        Ok(ids.into_iter().map(InvocationId).collect())
    }

    /// Gives up what this node owns but for `kept`: whoever is free takes it, at once. For a node that stops. Of what it was still
    /// writing itself and of the next owner's fence only one can be first, as ever. Returns how many.
    pub async fn release(&self, kept: &[InvocationId]) -> Result<u64> {
        let kept: Vec<Uuid> = kept.iter().map(|kept| kept.0).collect();
        let released = sqlx::query(
            "UPDATE host.invocation SET node_id = NULL, due_at = coalesce(due_at, clock_timestamp()), updated_at = now()
             WHERE node_id = $1 AND status = 'running' AND id <> ALL($2)",
        )
        .bind(self.node().0)
        .bind(kept)
        .execute(self.pool())
        .await?
        .rows_affected();
        if released > 0 {
            self.notify(Wake::Due);
        }
        Ok(released)
    }

    /// Gives up one invocation that this node was given and has not begun: whoever else is free takes it, at once.
    pub async fn give_back(&self, invocation: InvocationId) -> Result<()> {
        sqlx::query(
            "UPDATE host.invocation SET node_id = NULL, due_at = clock_timestamp(), updated_at = now()
             WHERE id = $2 AND node_id = $1 AND status = 'running'",
        )
        .bind(self.node().0)
        .bind(invocation.0)
        .execute(self.pool())
        .await?;
        self.notify(Wake::Due);
        Ok(())
    }

    /// How long until the next one is due, milliseconds by the database's clock; 0 when one is.
    pub async fn next_due(&self) -> Result<Option<u64>> {
        let wait_ms: Option<i64> = sqlx::query_scalar(
            "SELECT ceil(extract(epoch FROM min(due_at) - clock_timestamp()) * 1000)::bigint
             FROM host.invocation WHERE due_at IS NOT NULL AND node_id IS NULL",
        )
        .fetch_one(self.pool())
        .await?;
        Ok(wait_ms.map(|wait_ms| wait_ms.max(0).unsigned_abs()))
    }

    /// How many invocations of a component are open, but for those that are to begin later. It stops counting at the limit, and costs as much as
    /// is open of all components at most, those included.
    pub async fn open_count(&self, component: &ComponentId, limit: u64) -> Result<u64> {
        // Planned for what is asked for, as in `due`. The index on the status has what failed and was cancelled, too: only these statuses
        // are looked for. What waits to be tried again has begun and failed; what is `running`, has not failed and is due later has yet to begin.
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (
                 SELECT FROM host.invocation
                 WHERE status IN ('running', 'suspended', 'paused') AND component = $1
                     AND (status = 'running' AND failures = 0 AND due_at > now()) IS NOT TRUE
                 LIMIT $2
             ) AS open",
        )
        .persistent(false)
        .bind(component.as_str())
        .bind(limit.cast_signed())
        .fetch_one(self.pool())
        .await?;
        Ok(count.unsigned_abs())
    }

    /// Makes the payloads of an invocation unreadable for good, if it began with a salt. For one that has ended.
    pub async fn erase(&self, invocation: InvocationId) -> Result<()> {
        sqlx::query("UPDATE host.invocation SET erasure_salt = NULL WHERE id = $1 AND erasure_salt IS NOT NULL")
            .bind(invocation.0)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Decodes; an error says also whether a data key was missing.
    fn decode(&self, row: &InvocationRow, bodies: &[(u32, Vec<u8>)]) -> Result<Vec<Entry>, (DecodeError, bool)> {
        let seal = self.invocation_seal(row.invocation, row.erasure_salt);
        let entries: Result<Vec<Entry>, DecodeError> =
            bodies.iter().map(|(index, body)| decode(*index, body, &seal)).collect();
        entries.map_err(|error| (error, seal.lacked_key()))
    }
}

impl FromRow<'_, PgRow> for InvocationRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let status: &str = row.try_get("status")?;
        let salt: Option<&[u8]> = row.try_get("erasure_salt")?;
        let invalid = |what: &str| sqlx::Error::Decode(Error::Row(what.to_owned()).into());
        Ok(Self {
            invocation: InvocationId(row.try_get("id")?),
            component: row.try_get::<String, _>("component")?.into(),
            function: row.try_get("function")?,
            deployment: DeploymentNumber(row.try_get("deployment")?),
            status: status_from(status).ok_or_else(|| invalid("status"))?,
            node: row.try_get::<Option<Uuid>, _>("node_id")?.map(NodeId),
            attempt: row.try_get::<i32, _>("attempt")?.unsigned_abs(),
            failures: row.try_get::<i32, _>("failures")?.unsigned_abs(),
            due_ms: row.try_get("due_ms")?,
            cause: row.try_get("cause")?,
            erasure_salt: salt
                .map(|salt| salt.try_into().map_err(|_| invalid("erasure salt")))
                .transpose()?,
            parent: row.try_get::<Option<Uuid>, _>("parent")?.map(InvocationId),
            created_ms: row.try_get("created_ms")?,
            updated_ms: row.try_get("updated_ms")?,
            ended_ms: row.try_get("ended_ms")?,
        })
    }
}

pub(crate) fn status_from(word: &str) -> Option<InvocationStatus> {
    use InvocationStatus::{Cancelled, Completed, Failed, Paused, Running, Suspended};
    [Running, Suspended, Paused, Completed, Failed, Cancelled]
        .into_iter()
        .find(|status| status.as_str() == word)
}
