//! The pairs of key-value stores. Who may open which is decided before; here a store is a name.

use crate::{Result, Store};

/// Keys of one store, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// At most as many as were asked for.
    pub keys: Vec<String>,
    /// The mark of the last one, to go on after; none when no more keys follow.
    pub last_mark: Option<i64>,
}

impl Store {
    /// The value under a key.
    pub async fn key_value(&self, store: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let value = sqlx::query_scalar("SELECT value FROM host.key_value WHERE store = $1 AND key = $2")
            .bind(store)
            .bind(key)
            .fetch_optional(self.pool())
            .await?;
        Ok(value)
    }

    /// Whether there is a value under a key.
    pub async fn key_value_exists(&self, store: &str, key: &str) -> Result<bool> {
        let exists = sqlx::query_scalar("SELECT EXISTS (SELECT FROM host.key_value WHERE store = $1 AND key = $2)")
            .bind(store)
            .bind(key)
            .fetch_one(self.pool())
            .await?;
        Ok(exists)
    }

    /// Puts a value under a key, in place of an earlier one. [`crate::Error::NodeGone`] when others have taken over.
    pub async fn set_key_value(&self, store: &str, key: &str, value: &[u8]) -> Result<()> {
        let node = &self.inner.node;
        sqlx::query("SELECT host.set_key_value($1, $2, $3, $4, $5)")
            .bind(node.id.0)
            .bind(&node.token[..])
            .bind(store)
            .bind(key)
            .bind(value)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Removes a key, if it is there. [`crate::Error::NodeGone`] when others have taken over.
    pub async fn delete_key_value(&self, store: &str, key: &str) -> Result<()> {
        let node = &self.inner.node;
        sqlx::query("SELECT host.delete_key_value($1, $2, $3, $4)")
            .bind(node.id.0)
            .bind(&node.token[..])
            .bind(store)
            .bind(key)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Up to `limit` keys after the one with this mark, from the first without. A key that stays while the pages are read is in
    /// exactly one of them.
    pub async fn key_page(&self, store: &str, after_mark: Option<i64>, limit: u32) -> Result<KeyPage> {
        let limit = limit as usize;
        let mut rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT key, mark FROM host.key_value WHERE store = $1 AND mark > $2 ORDER BY mark LIMIT $3",
        )
        .bind(store)
        .bind(after_mark.unwrap_or(0))
        // One more than wanted says whether any follow.
        .bind(limit as i64 + 1)
        .fetch_all(self.pool())
        .await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        Ok(KeyPage {
            last_mark: rows.last().filter(|_| more).map(|(_, mark)| *mark),
            keys: rows.into_iter().map(|(key, _)| key).collect(),
        })
    }
}
