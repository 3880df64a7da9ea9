//! What has to be done now and then: partitions for the months to come, and forgetting what is past its time. One node does it, a little
//! at a time, and no append waits for it.

use std::collections::HashMap;

use host_types::ComponentId;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};
use uuid::Uuid;

use crate::error::is_lock_timeout;
use crate::journal::bigint;
use crate::{Result, Store};

/// This month and the next two: a node that is down for a month finds its partition all the same.
pub(crate) const MONTHS_AHEAD: i32 = 3;
/// Rows looked at in one transaction.
const AT_ONCE: i32 = 1_000;
/// No more entries than this are moved out of a month at once, since appends wait while they are. More are copied before.
const MAX_STRAGGLERS: i32 = 5_000;
/// Invocations whose entries are copied in one transaction; some have thousands.
const COPIED_AT_ONCE: i32 = 100;
/// Tries to take a month out of the table between appends.
const DETACH_TRIES: u32 = 20;
/// "upkeep", for whoever looks at pg_locks.
const LOCK: i64 = 0x7570_6b65_6570;

/// How long ended invocations are kept, counted from their end, milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Retentions {
    /// Of the components that do not say.
    pub default_ms: u64,
    /// Of those that do.
    pub of: HashMap<ComponentId, u64>,
}

/// What an upkeep came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Partitions made for months to come.
    pub created: u32,
    /// Keys, audit records, workflows, ticks, counts of limited requests, places of exclusive keys, nodes, secrets, and unused deployments with
    /// their bytes forgotten.
    pub expired: u64,
    /// Invocations forgotten.
    pub forgotten: u64,
    /// Months dropped.
    pub dropped: Vec<String>,
    /// Months past their time that are kept for now, because appends left no moment to take them out.
    pub kept: Vec<String>,
}

/// Which invocations a walk is about.
struct Walk<'a> {
    component: Option<&'a str>,
    from: Uuid,
    below: Uuid,
    before_ms: u64,
    with_entries: bool,
}

impl Retentions {
    fn of(&self, component: &str) -> u64 {
        self.of.get(component).copied().unwrap_or(self.default_ms)
    }

    fn longest_ms(&self) -> u64 {
        self.of.values().copied().fold(self.default_ms, u64::max)
    }
}

impl Store {
    /// Does all there is to do, unless another node is at it: then nothing, and `None`. Whatever is interrupted is done the next time.
    pub async fn upkeep(&self, retentions: &Retentions) -> Result<Option<Upkeep>> {
        let mut session = self.session_of_its_own().await?;
        // Ends with the session, however that ends.
        let ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut session)
            .await?;
        if !ours {
            return Ok(None);
        }
        let mut done = Upkeep {
            created: self.create_partitions().await?,
            expired: self.expire_keys().await?
                + self.expire_audit().await?
                + self.expire_events().await?
                + self.expire_workflows().await?
                + self.expire_ticks().await?
                + self.expire_counts().await?
                + self.give_up_strays().await?
                + self.forget_nodes().await?,
            ..Upkeep::default()
        };
        let longest_ms = retentions.longest_ms();
        // Before what is kept while somebody waits for it.
        self.forget_waits(&mut session).await?;
        self.forget_short_lived(&mut session, retentions, longest_ms, &mut done)
            .await?;
        self.forget_months(&mut session, longest_ms, &mut done).await?;
        self.forget_stragglers(&mut session, longest_ms, &mut done).await?;
        done.expired += self.forget_unused(longest_ms).await?;
        // After what they sealed.
        done.expired += self.drop_data_keys().await? + self.expire_secrets().await?;
        self.finish_rotation().await?;
        Ok(Some(done))
    }

    /// Makes the journal's partitions for this month and the next two. Returns how many were missing.
    pub async fn create_partitions(&self) -> Result<u32> {
        let created: i32 = sqlx::query_scalar("SELECT host.create_partitions($1)")
            .bind(MONTHS_AHEAD)
            .fetch_one(self.pool())
            .await?;
        Ok(created.unsigned_abs())
    }

    /// Components that are kept shorter than the months: invocation by invocation.
    async fn forget_short_lived(
        &self,
        session: &mut PgConnection,
        retentions: &Retentions,
        longest_ms: u64,
        done: &mut Upkeep,
    ) -> Result<()> {
        let known: Vec<String> = sqlx::query_scalar("SELECT host.known_components()")
            .fetch_all(&mut *session)
            .await?;
        for component in known {
            let before_ms = retentions.of(&component);
            if before_ms < longest_ms {
                let walk = Walk {
                    component: Some(&component),
                    from: Uuid::nil(),
                    below: boundary(session, before_ms).await?,
                    before_ms,
                    with_entries: true,
                };
                let forgotten = forget(session, &walk).await?;
                if forgotten > 0 {
                    tracing::info!(component.id = %component, forgotten, "ended invocations are past their retention");
                }
                done.forgotten += forgotten;
            }
        }
        Ok(())
    }

    /// Whole months: the rows first, in small parts, then the entries, which go with their partition. What is left of a month is moved before.
    async fn forget_months(&self, session: &mut PgConnection, longest_ms: u64, done: &mut Upkeep) -> Result<()> {
        // What one who died had taken out already.
        drop_detached(session).await?;
        let months: Vec<(String, Uuid, Uuid)> =
            sqlx::query_as("SELECT * FROM host.past_months(now() - $1::bigint * interval '1 millisecond')")
                .bind(bigint(longest_ms))
                .fetch_all(&mut *session)
                .await?;
        for (name, from, below) in months {
            let walk = Walk {
                component: None,
                from,
                below,
                before_ms: longest_ms,
                with_entries: false,
            };
            let forgotten = forget(session, &walk).await?;
            done.forgotten += forgotten;
            let (ids, stragglers): (Vec<Uuid>, i64) = sqlx::query_as("SELECT * FROM host.stragglers($1, $2, $3, $4)")
                .bind(&name)
                .bind(from)
                .bind(below)
                .bind(MAX_STRAGGLERS)
                .fetch_one(&mut *session)
                .await?;
            let are_few = stragglers <= i64::from(MAX_STRAGGLERS) && ids.len() <= MAX_STRAGGLERS as usize;
            let is_out = match are_few {
                true => detach(session, &name, &ids).await?,
                false => replace(session, &name, from, below).await?,
            };
            if !is_out {
                tracing::warn!(
                    partition = name,
                    "a month is past its retention and kept for now: appends left no moment to take it out"
                );
                done.kept.push(name);
                continue;
            }
            drop_detached(session).await?;
            // More than were counted are in a table of their own.
            tracing::info!(
                partition = name,
                forgotten,
                stragglers,
                has_rest = !are_few,
                "a month is past its retention and dropped"
            );
            done.dropped.push(name);
        }
        Ok(())
    }

    /// What was left of dropped months, once it has ended, too.
    async fn forget_stragglers(&self, session: &mut PgConnection, longest_ms: u64, done: &mut Upkeep) -> Result<()> {
        // Where the months end that are past their time: those that are kept are none of its business, but what lies around them.
        let end: Option<Uuid> = sqlx::query_scalar(
            "SELECT coalesce(
                 (SELECT to_id FROM host.past_months(now() - $1::bigint * interval '1 millisecond') ORDER BY to_id DESC LIMIT 1),
                 (SELECT from_id FROM host.oldest_month('infinity')))",
        )
        .bind(bigint(longest_ms))
        .fetch_one(&mut *session)
        .await?;
        let Some(below) = end else { return Ok(()) };
        let walk = Walk {
            component: None,
            from: Uuid::nil(),
            below,
            before_ms: longest_ms,
            with_entries: true,
        };
        done.forgotten += forget(session, &walk).await?;
        between_appends(session, || sqlx::query("SELECT host.drop_empty_rests()")).await?;
        Ok(())
    }

    /// The waits of invocations that were ended while they waited.
    async fn forget_waits(&self, session: &mut PgConnection) -> Result<()> {
        sqlx::query(
            "DELETE FROM host.promise_waiter WHERE NOT EXISTS (SELECT FROM host.invocation
                 WHERE id = promise_waiter.invocation_id AND status IN ('suspended', 'paused'))",
        )
        .execute(session)
        .await?;
        Ok(())
    }

    /// Repeats a statement that deletes at most `$1` rows until there are none left. Returns how many there were. A part at a time: no long
    /// transaction, and no lock that an append or a claim would wait for.
    pub(crate) async fn delete_in_parts(&self, statement: &'static str) -> Result<u64> {
        let mut deleted = 0;
        loop {
            let part = sqlx::query(statement)
                .bind(i64::from(AT_ONCE))
                .execute(self.pool())
                .await?;
            deleted += part.rows_affected();
            if part.rows_affected() < u64::from(AT_ONCE.unsigned_abs()) {
                return Ok(deleted);
            }
        }
    }

    /// Forgets keys that are past their time. Returns how many.
    async fn expire_keys(&self) -> Result<u64> {
        self.delete_in_parts(
            "DELETE FROM host.idempotency_key WHERE key IN (SELECT key FROM host.idempotency_key
                 WHERE expires_at <= now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
        )
        .await
    }

    /// Forgets nodes that have been gone for a week and own nothing. Returns how many.
    async fn forget_nodes(&self) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM host.node WHERE gone_at < now() - interval '7 days'
                 AND NOT EXISTS (SELECT FROM host.invocation WHERE node_id = node.id)",
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected())
    }
}

/// Walks over invocations part by part, each in a transaction of its own. Returns how many were forgotten.
async fn forget(session: &mut PgConnection, walk: &Walk<'_>) -> Result<u64> {
    let mut after = walk.from;
    let mut forgotten = 0;
    loop {
        let (go_on_after, part): (Option<Uuid>, i64) = sqlx::query_as(
            "SELECT * FROM host.forget_ended($1, $2, $3, now() - $4::bigint * interval '1 millisecond', $5, $6)",
        )
        .bind(walk.component)
        .bind(after)
        .bind(walk.below)
        .bind(bigint(walk.before_ms))
        .bind(walk.with_entries)
        .bind(AT_ONCE)
        .fetch_one(&mut *session)
        .await?;
        forgotten += part.unsigned_abs();
        match go_on_after {
            Some(last) => after = last,
            None => return Ok(forgotten),
        }
    }
}

/// The first id of the time that lies so long back.
async fn boundary(session: &mut PgConnection, ago_ms: u64) -> Result<Uuid> {
    let boundary = sqlx::query_scalar("SELECT host.time_boundary(now() - $1::bigint * interval '1 millisecond')")
        .bind(bigint(ago_ms))
        .fetch_one(session)
        .await?;
    Ok(boundary)
}

/// Takes a month out of the table, and moves the entries of its few stragglers. `false`: there was no moment for it.
async fn detach(session: &mut PgConnection, name: &str, stragglers: &[Uuid]) -> Result<bool> {
    between_appends(session, || {
        sqlx::query("SELECT host.detach_month($1, $2)")
            .bind(name)
            .bind(stragglers)
    })
    .await
}

/// Puts a table with what is left of a month in its place: copied a part at a time, while appends go on. `false`: there was no moment for it.
async fn replace(session: &mut PgConnection, name: &str, from: Uuid, below: Uuid) -> Result<bool> {
    let mut after = Some(Uuid::nil());
    while let Some(last) = after {
        after = sqlx::query_scalar("SELECT host.copy_stragglers($1, $2, $3, $4, $5)")
            .bind(name)
            .bind(from)
            .bind(below)
            .bind(last)
            .bind(COPIED_AT_ONCE)
            .fetch_one(&mut *session)
            .await?;
    }
    between_appends(session, || {
        sqlx::query("SELECT host.replace_month($1, $2, $3)")
            .bind(name)
            .bind(from)
            .bind(below)
    })
    .await
}

/// Does what needs the whole table, in a moment between two appends. `false`: there was none.
async fn between_appends<'q>(
    session: &mut PgConnection,
    query: impl Fn() -> Query<'q, Postgres, PgArguments>,
) -> Result<bool> {
    for _ in 0..DETACH_TRIES {
        match query().execute(&mut *session).await {
            Ok(_) => return Ok(true),
            Err(error) if is_lock_timeout(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

async fn drop_detached(session: &mut PgConnection) -> Result<()> {
    sqlx::query("SELECT host.drop_detached_months()")
        .execute(session)
        .await?;
    Ok(())
}
