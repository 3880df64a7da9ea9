//! What else is secret of an installation: wrapped by the master key, in the database, and so the same on all nodes and after a rotation of
//! that key.

use sqlx::PgConnection;

use crate::{Error, Result, Store};

/// A new version is used when every node has had the time to load it.
const SETTLES_AFTER_S: f64 = 30.0;
/// What a retired version signed is good for as long.
const OVERLAP_DAYS: i32 = 31;

/// Which secret. Its value at first is given with [`crate::StoreOptions::secrets`].
pub type Purpose = &'static str;

impl Store {
    /// The versions of a secret that are good for something, the one in use first.
    pub async fn secret(&self, purpose: Purpose) -> Result<Vec<[u8; 32]>> {
        let rows: Vec<(Vec<u8>, bool)> = sqlx::query_as(
            "SELECT wrapped, created_at < clock_timestamp() - make_interval(secs => $2) FROM host.secret
             WHERE purpose = $1 ORDER BY version DESC",
        )
        .bind(purpose)
        .bind(SETTLES_AFTER_S)
        .fetch_all(self.pool())
        .await?;
        let in_use = rows.iter().position(|(_, settled)| *settled);
        let in_use = in_use.unwrap_or(rows.len().saturating_sub(1));
        let mut versions = Vec::with_capacity(rows.len());
        for (wrapped, _) in &rows {
            let opened = self.inner.keys.unwrap(wrapped).and_then(|key| key.try_into().ok());
            versions.push(opened.ok_or(Error::WrongMasterKey)?);
        }
        if !versions.is_empty() {
            versions[..=in_use].rotate_right(1);
        }
        Ok(versions)
    }

    /// Makes a new version of a secret. The ones before are good for 31 days more.
    pub async fn rotate_secret(&self, purpose: Purpose) -> Result<()> {
        let mut session = self.exclusive_session().await?;
        self.inner.keys.load(&mut session).await?;
        let new: [u8; 32] = self.inner.keys.rng.bytes();
        sqlx::query(
            "WITH retired AS (
                 UPDATE host.secret SET retired_at = now() WHERE purpose = $1 AND retired_at IS NULL
             )
             INSERT INTO host.secret (purpose, version, wrapped)
             SELECT $1, coalesce(max(version), 0) + 1, $2 FROM host.secret WHERE purpose = $1",
        )
        .bind(purpose)
        .bind(self.inner.keys.wrap(&new))
        .execute(&mut session)
        .await?;
        Ok(())
    }

    /// Gives secrets that the database does not hold yet their first values. They count as settled at once.
    pub(crate) async fn ensure_secrets(&self, session: &mut PgConnection) -> Result<()> {
        for (purpose, first) in &self.inner.first_secrets {
            sqlx::query(
                "INSERT INTO host.secret (purpose, version, wrapped, created_at) SELECT $1, 1, $2, '-infinity'
                 WHERE NOT EXISTS (SELECT FROM host.secret WHERE purpose = $1) ON CONFLICT DO NOTHING",
            )
            .bind(*purpose)
            .bind(self.inner.keys.wrap(first))
            .execute(&mut *session)
            .await?;
        }
        Ok(())
    }

    /// Forgets versions whose time is over. Returns how many.
    pub(crate) async fn expire_secrets(&self) -> Result<u64> {
        let expired = sqlx::query("DELETE FROM host.secret WHERE retired_at < now() - make_interval(days => $1)")
            .bind(OVERLAP_DAYS)
            .execute(self.pool())
            .await?;
        Ok(expired.rows_affected())
    }
}
