//! Ticks of the manifest's clock lines: met once over all nodes.

use host_journal::{Body, Entry, Header, encode};
use host_types::{ComponentId, InvocationId};

use crate::journal::bigint;
use crate::{Error, Result, Store};

/// How long a tick that was met is kept, days. The last one of each line stays, and the one whose run is open.
const RETENTION_DAYS: i32 = 1;

/// A line whose ticks are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CronLine<'a> {
    /// Whose.
    pub component: &'a ComponentId,
    /// Its name.
    pub name: &'a str,
    /// When. Each schedule counts for itself: of another one nothing is to be made up for.
    pub schedule: &'a str,
}

/// A tick to meet, and the invocation that it begins.
#[derive(Debug, Clone)]
pub struct Tick {
    /// The line.
    pub name: String,
    /// By which schedule.
    pub schedule: String,
    /// When, milliseconds since 1970-01-01 UTC.
    pub tick_ms: u64,
    /// It is left out while the run of an earlier one is open.
    pub skips: bool,
    /// What it begins, and as what.
    pub invocation: InvocationId,
    /// Whose it is, what it calls and with what.
    pub header: Header,
}

/// What meeting a tick came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// Its invocation is due.
    Begun,
    /// The run of an earlier one is open.
    Skipped,
    /// Another node was faster.
    Before,
}

impl Store {
    /// The database's time, and the last tick of each of these lines that was met, in their order; milliseconds since 1970-01-01 UTC.
    pub async fn last_ticks(&self, lines: &[CronLine<'_>]) -> Result<(u64, Vec<Option<u64>>)> {
        let (mut components, mut names, mut schedules) = (Vec::new(), Vec::new(), Vec::new());
        for line in lines {
            components.push(line.component.as_str());
            names.push(line.name);
            schedules.push(line.schedule);
        }
        let rows: Vec<(i64, Option<i64>)> = sqlx::query_as(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, (extract(epoch FROM last.tick) * 1000)::bigint
             FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS line (component, name, schedule, number)
             LEFT JOIN LATERAL (
                 SELECT tick FROM host.cron_tick
                 WHERE component = line.component AND name = line.name AND schedule = line.schedule
                 ORDER BY tick DESC LIMIT 1
             ) AS last ON true
             ORDER BY line.number",
        )
        .bind(components)
        .bind(names)
        .bind(schedules)
        .fetch_all(self.pool())
        .await?;
        // The first row's time is the earliest: nothing is found to be past that is not.
        let now_ms = rows.first().map_or(0, |(now_ms, _)| now_ms.unsigned_abs());
        let last = rows.into_iter().map(|(_, last)| last.map(i64::unsigned_abs));
        Ok((now_ms, last.collect()))
    }

    /// From now on the ticks of this line count.
    pub async fn count_ticks(&self, line: CronLine<'_>) -> Result<()> {
        sqlx::query(
            "INSERT INTO host.cron_tick (component, name, tick, schedule)
             SELECT $1, $2, clock_timestamp(), $3
             WHERE NOT EXISTS (SELECT FROM host.cron_tick WHERE component = $1 AND name = $2 AND schedule = $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(line.component.as_str())
        .bind(line.name)
        .bind(line.schedule)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Meets a tick, and begins its invocation in the same commit.
    pub async fn meet_tick(&self, tick: Tick) -> Result<Met> {
        let Tick {
            name,
            schedule,
            tick_ms,
            skips,
            invocation,
            header,
        } = tick;
        let (component, function) = (header.component.clone(), header.function.clone());
        let deployment = header.deployment;
        let started = Entry {
            index: 0,
            body: Body::Started(Box::new(header)),
        };
        let node = &self.inner.node;
        let met: String = sqlx::query_scalar("SELECT host.meet_tick($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
            .bind(node.id.0)
            .bind(&node.token[..])
            .bind(component.as_str())
            .bind(name)
            .bind(schedule)
            .bind(bigint(tick_ms))
            .bind(skips)
            .bind(invocation.0)
            .bind(encode(&started, &self.invocation_seal(invocation, None)))
            .bind(function)
            .bind(deployment.0)
            .fetch_one(self.pool())
            .await?;
        match met.as_str() {
            "begun" => Ok(Met::Begun),
            "skipped" => Ok(Met::Skipped),
            "met" => Ok(Met::Before),
            other => Err(Error::Row(format!("a tick came to {other:?}"))),
        }
    }

    /// Forgets ticks that were met long ago. Returns how many.
    pub async fn expire_ticks(&self) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM host.cron_tick WHERE met_at < now() - make_interval(days => $1)
                 AND EXISTS (SELECT FROM host.cron_tick AS later WHERE later.component = cron_tick.component
                     AND later.name = cron_tick.name AND later.tick > cron_tick.tick)
                 AND NOT EXISTS (SELECT FROM host.invocation WHERE id = invocation_id
                     AND status NOT IN ('completed', 'failed', 'cancelled'))",
        )
        .bind(RETENTION_DAYS)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected())
    }
}
