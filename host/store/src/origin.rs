//! Whether the database is where, and at least as late as, it was when nodes last worked on it; or was restored from a backup.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::Ordering;

use crate::journal::bigint;
use crate::{Result, Store};

/// How late a process saw it to be in a database. Kept in the data directory as text, it tells a later process how late it was already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSeen {
    /// The last heartbeat, milliseconds since 1970-01-01 UTC by the database's clock.
    pub heartbeat_ms: u64,
    /// Which database that was. Earlier programs did not say: then it is taken for the one that is compared.
    pub database: Option<String>,
}

impl fmt::Display for LastSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.heartbeat_ms)?;
        match &self.database {
            Some(database) => write!(f, " {database}"),
            None => Ok(()),
        }
    }
}

impl FromStr for LastSeen {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_whitespace();
        Ok(Self {
            heartbeat_ms: words.next().unwrap_or_default().parse()?,
            database: words.next().map(str::to_owned),
        })
    }
}

/// A restore that was noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// How.
    pub why: String,
    /// Invocations that were open, and are paused now.
    pub paused: u64,
}

impl Store {
    /// Pauses whatever is open in a database that was restored from a backup. For every start, after [`Store::migrate_host`] and before
    /// [`Store::register_node`]. `seen` is what [`Store::last_seen`] said last to an earlier process of this data directory; of another
    /// database it says nothing about this one. `is_restored` is an operator's word for what cannot be noticed.
    pub async fn check_origin(&self, seen: Option<&LastSeen>, is_restored: bool) -> Result<Option<Restored>> {
        // The server's data as initdb made it, and the database in it: both stay the same through a recovery to an earlier moment.
        let here: String = sqlx::query_scalar(
            "SELECT system_identifier || '/' || oid FROM pg_control_system(), pg_database WHERE datname = current_database()",
        )
        .fetch_one(self.pool())
        .await?;
        let seen = seen.filter(|seen| seen.database.as_ref().is_none_or(|database| *database == here));
        let seen_ms = seen.map_or(0, |seen| seen.heartbeat_ms);
        self.inner.identity.get_or_init(|| here);
        let restored: Option<(String, i64)> = sqlx::query_as("SELECT why, paused FROM host.check_origin($1, $2)")
            .bind(bigint(seen_ms))
            .bind(is_restored)
            .fetch_optional(self.pool())
            .await?;
        Ok(restored.map(|(why, paused)| Restored {
            why,
            paused: paused.unsigned_abs(),
        }))
    }

    /// When this node last gave a sign of life, and in which database; `None` before it registered.
    pub fn last_seen(&self) -> Option<LastSeen> {
        let heartbeat_ms = self.last_heartbeat_ms();
        (heartbeat_ms > 0).then(|| LastSeen {
            heartbeat_ms,
            database: self.inner.identity.get().cloned(),
        })
    }

    /// When this node last gave a sign of life, by the database's clock; 0 before it registered.
    pub fn last_heartbeat_ms(&self) -> u64 {
        self.inner.last_heartbeat_ms.load(Ordering::Relaxed)
    }
}
