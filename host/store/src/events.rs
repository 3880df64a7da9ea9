//! Events as they are kept, and what streams of them read.

use host_journal::Seal;
use host_types::{ComponentId, EventId, InvocationId};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{Error, Result, Store};

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Of one key, in the order of the commits.
    pub number: i64,
    /// Its id.
    pub event: EventId,
    /// Its topic.
    pub topic: String,
    /// Its key.
    pub key: String,
    /// What the payload is.
    pub content_type: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// Who published it.
    pub component: ComponentId,
    /// In which invocation.
    pub invocation: InvocationId,
    /// When, by the publisher's clock, milliseconds since 1970-01-01 UTC.
    pub published_ms: i64,
    /// The W3C `traceparent` of its publication; empty without one.
    pub trace_parent: String,
}

/// What is new, key by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Each key with the number of its newest event. May hold what an earlier look held.
    pub keys: Vec<(String, i64)>,
    /// What the next look goes on from.
    pub from: u64,
}

/// `SELECT` with what comes first, all columns of a [`StoredEvent`] from `host.event`, and what follows.
macro_rules! select_events {
    ($first:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $first,
            "event.number, event.id, event.topic, event.key, event.content_type, event.payload, event.component, \
             event.invocation_id, (extract(epoch FROM event.published_at) * 1000)::bigint AS published_ms, event.trace_parent ",
            $rest
        )
    };
}
pub(crate) use select_events;

/// An event as it is stored.
#[derive(FromRow)]
pub(crate) struct Row {
    number: i64,
    id: Uuid,
    topic: String,
    key: String,
    content_type: String,
    payload: Vec<u8>,
    component: String,
    invocation_id: Uuid,
    published_ms: i64,
    trace_parent: String,
}

impl Store {
    /// What was published since the look that gave this `from`; with none, only where to go on from. Nothing is missed, whatever the order
    /// of the commits: a transaction that was open at the last look is found at the next one that it is not.
    pub async fn news(&self, from: Option<u64>) -> Result<News> {
        // The rows and the snapshot are of one moment. All that was or might still be open then has a transaction id from `xmin` on.
        let rows: Vec<(String, Option<String>, Option<i64>)> = sqlx::query_as(
            "SELECT pg_snapshot_xmin(pg_current_snapshot())::text, key, max(number)
             FROM (SELECT) AS here LEFT JOIN host.event ON xid >= $1::text::xid8
             GROUP BY key",
        )
        .bind(from.map(|from| from.to_string()))
        .fetch_all(self.pool())
        .await?;
        let mut news = News {
            from: from.unwrap_or_default(),
            ..News::default()
        };
        for (xmin, key, number) in rows {
            news.from = xmin.parse().map_err(|_| Error::Row("a transaction id".into()))?;
            news.keys.extend(key.zip(number));
        }
        Ok(news)
    }

    /// Of each of these keys up to `limit` events after the number, oldest first, whatever their topic.
    pub async fn events_after(&self, places: &[(String, i64)], limit: u32) -> Result<Vec<StoredEvent>> {
        let select = select_events!(
            "",
            "FROM unnest($1::text[], $2::bigint[]) AS place (key, number)
                 CROSS JOIN LATERAL (SELECT * FROM host.event WHERE event.key = place.key AND event.number > place.number
                     ORDER BY event.number LIMIT $3) AS event
             ORDER BY event.number"
        );
        let (keys, numbers): (Vec<_>, Vec<_>) = places.iter().map(|(key, number)| (key.as_str(), *number)).unzip();
        let rows: Vec<Row> = sqlx::query_as(select)
            .bind(keys)
            .bind(numbers)
            .bind(i64::from(limit))
            .fetch_all(self.pool())
            .await?;
        self.open_events(rows).await
    }

    /// The number of the newest event of a key; 0 before the first. Whatever is published under it from now on has a greater one.
    pub async fn newest_event(&self, key: &str) -> Result<i64> {
        let newest: Option<i64> = sqlx::query_scalar("SELECT max(number) FROM host.event WHERE key = $1")
            .bind(key)
            .fetch_one(self.pool())
            .await?;
        Ok(newest.unwrap_or(0))
    }

    /// The number of an event of this key, if it is still kept.
    pub async fn event_number(&self, event: EventId, key: &str) -> Result<Option<i64>> {
        let number = sqlx::query_scalar("SELECT number FROM host.event WHERE id = $1 AND key = $2");
        Ok(number.bind(event.0).bind(key).fetch_optional(self.pool()).await?)
    }

    /// Forgets events that are past their time and delivered. Returns how many.
    pub async fn expire_events(&self) -> Result<u64> {
        self.delete_in_parts(
            "DELETE FROM host.event WHERE number IN (SELECT number FROM host.event
                 WHERE expires_at <= now() AND NOT EXISTS (SELECT FROM host.delivery WHERE delivery.event = event.number)
                 ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
        )
        .await
    }

    async fn open_events(&self, rows: Vec<Row>) -> Result<Vec<StoredEvent>> {
        let mut opened = Vec::with_capacity(rows.len());
        for row in rows {
            opened.push(self.open_event(row).await?);
        }
        Ok(opened)
    }

    pub(crate) async fn open_event(&self, row: Row) -> Result<StoredEvent> {
        let seal = self.invocation_seal(InvocationId(row.id), None);
        let payload = match seal.open(0, &row.payload) {
            Err(_) if seal.lacked_key() => {
                // Perhaps another node sealed it with a key that is newer than what is loaded here.
                self.inner.keys.load(&mut *self.pool().acquire().await?).await?;
                seal.open(0, &row.payload)
            }
            opened => opened,
        };
        let payload = payload.map_err(|error| Error::Row(format!("event {}: {error}", row.id)))?;
        Ok(StoredEvent {
            number: row.number,
            event: EventId(row.id),
            topic: row.topic,
            key: row.key,
            content_type: row.content_type,
            payload,
            component: row.component.into(),
            invocation: InvocationId(row.invocation_id),
            published_ms: row.published_ms,
            trace_parent: row.trace_parent,
        })
    }
}
