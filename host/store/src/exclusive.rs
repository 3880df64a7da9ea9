//! Places in the queues of exclusive keys.

use host_journal::KeyId;
use host_types::InvocationId;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::{Result, Store};

/// Where an invocation stands in a key's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// It has none.
    None,
    /// Others stand before it.
    Waits,
    /// It is the first, and holds the key.
    Holds,
    /// Its wait would have closed a cycle.
    Refused,
}

/// A key that an invocation waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedKey {
    /// The function that runs one at a time.
    pub function: String,
    /// Who holds the key.
    pub holder: InvocationId,
}

impl Store {
    /// Where the invocation stands.
    pub async fn key_place(&self, key: KeyId, invocation: InvocationId) -> Result<KeyPlace> {
        let place: Option<(bool, bool)> = sqlx::query_as(
            "SELECT refused, EXISTS (
                 SELECT FROM host.exclusive_place AS before
                 WHERE before.key = place.key AND before.number < place.number AND NOT before.refused)
             FROM host.exclusive_place AS place WHERE key = $1 AND invocation_id = $2",
        )
        .bind(key.0)
        .bind(invocation.0)
        .fetch_optional(self.pool())
        .await?;
        Ok(match place {
            None => KeyPlace::None,
            Some((true, _)) => KeyPlace::Refused,
            Some((false, true)) => KeyPlace::Waits,
            Some((false, false)) => KeyPlace::Holds,
        })
    }

    /// The keys that an invocation waits for, with who holds each.
    pub async fn awaited_keys(&self, invocation: InvocationId) -> Result<Vec<AwaitedKey>> {
        let rows: Vec<(String, Uuid)> = sqlx::query_as(
            "SELECT mine.function, holder.invocation_id FROM host.exclusive_place AS mine
             JOIN LATERAL (
                 SELECT invocation_id FROM host.exclusive_place AS before
                 WHERE before.key = mine.key AND before.number < mine.number AND NOT before.refused
                 ORDER BY number LIMIT 1
             ) AS holder ON true
             WHERE mine.invocation_id = $1 AND NOT mine.refused ORDER BY mine.number",
        )
        .bind(invocation.0)
        .fetch_all(self.pool())
        .await?;
        let awaited = |(function, holder)| AwaitedKey {
            function,
            holder: InvocationId(holder),
        };
        Ok(rows.into_iter().map(awaited).collect())
    }

    /// The keys that an invocation has a place for, whether it holds them, waits for them or was refused.
    pub async fn places(&self, invocation: InvocationId) -> Result<Vec<KeyId>> {
        let keys: Vec<Uuid> = sqlx::query_scalar("SELECT key FROM host.exclusive_place WHERE invocation_id = $1")
            .bind(invocation.0)
            .fetch_all(self.pool())
            .await?;
        Ok(keys.into_iter().map(KeyId).collect())
    }

    /// Gives up what the invocation holds or waits for: some keys, or without them everything.
    pub(crate) async fn give_up_places(
        &self,
        connection: &mut PgConnection,
        invocation: InvocationId,
        keys: Option<&[KeyId]>,
    ) -> Result<(), sqlx::Error> {
        let node = &self.inner.node;
        let named: Vec<Uuid> = keys.unwrap_or_default().iter().map(|key| key.0).collect();
        sqlx::query("SELECT host.give_up_places($1, $2, $3, $4, $5)")
            .bind(node.id.0)
            .bind(&node.token[..])
            .bind(invocation.0)
            .bind(named)
            .bind(keys.is_none())
            .execute(connection)
            .await
            .map(drop)
    }

    /// Gives up what invocations hold that have ended, or are not there: nothing should be left of those, and a key must not be held by
    /// nobody. Returns how many there were.
    pub async fn give_up_strays(&self) -> Result<u64> {
        let ended: Vec<Uuid> = sqlx::query_scalar(
            "SELECT DISTINCT place.invocation_id FROM host.exclusive_place AS place
             LEFT JOIN host.invocation ON invocation.id = place.invocation_id
             WHERE invocation.id IS NULL OR invocation.status IN ('completed', 'failed', 'cancelled')",
        )
        .fetch_all(self.pool())
        .await?;
        for invocation in &ended {
            let mut connection = self.pool().acquire().await?;
            self.give_up_places(&mut connection, InvocationId(*invocation), None)
                .await?;
        }
        Ok(ended.len() as u64)
    }
}
