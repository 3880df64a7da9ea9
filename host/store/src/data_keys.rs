//! The keys that seal payloads. Each lies in the database wrapped by a master key; here they are open, and cached.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use host_types::Rng;
use parking_lot::RwLock;
use ring::aead::{AES_256_GCM, LessSafeKey, NONCE_LEN, UnboundKey};
use ring::hkdf;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::master_key::Master;
use crate::{Error, Result, Store};

/// All data keys, and which of them seals.
pub(crate) struct KeyRing {
    master: Master,
    /// Those it is to replace, the newest first.
    older: RwLock<Vec<Master>>,
    pub(crate) rng: Arc<dyn Rng>,
    keys: RwLock<Keys>,
}

/// A data key as operators see it. Times are milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataKeyRow {
    /// Which.
    pub id: i32,
    /// When it was made.
    pub created_ms: i64,
    /// Since when it seals nothing new.
    pub retired_ms: Option<i64>,
}

#[derive(Default)]
struct Keys {
    by_id: HashMap<i32, hkdf::Prk>,
    current: Option<i32>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing(..)")
    }
}

impl Store {
    /// From now on payloads are sealed with a new key; older ones still open, and are dropped when nothing is left that they sealed. Other
    /// nodes follow when they next meet a payload sealed with it, or with [`Store::refresh_keys`].
    pub async fn rotate_data_key(&self) -> Result<()> {
        let mut session = self.exclusive_session().await?;
        let mut transaction = session.begin().await?;
        sqlx::query("UPDATE host.data_key SET retired_at = now() WHERE retired_at IS NULL")
            .execute(&mut *transaction)
            .await?;
        self.inner.keys.load(&mut transaction).await?;
        self.inner.keys.create(&mut transaction).await?;
        transaction.commit().await?;
        self.inner.keys.load(&mut session).await?;
        session.close().await?;
        Ok(())
    }

    /// Loads the keys that others may have made, and says which this node works with. Every few seconds.
    pub async fn refresh_keys(&self) -> Result<()> {
        let keys = &self.inner.keys;
        let mut session = self.pool().acquire().await?;
        keys.load(&mut session).await?;
        sqlx::query(
            "UPDATE host.node SET data_key = $2, master_key = $3
             WHERE id = $1 AND (data_key IS DISTINCT FROM $2 OR master_key IS DISTINCT FROM $3)",
        )
        .bind(self.node().0)
        .bind(keys.current())
        .bind(keys.master().fingerprint())
        .execute(&mut *session)
        .await?;
        Ok(())
    }

    /// All data keys, the newest first.
    pub async fn data_keys(&self) -> Result<Vec<DataKeyRow>> {
        let rows: Vec<(i32, i64, Option<i64>)> = sqlx::query_as(
            "SELECT id, (extract(epoch FROM created_at) * 1000)::bigint, (extract(epoch FROM retired_at) * 1000)::bigint
             FROM host.data_key ORDER BY id DESC",
        )
        .fetch_all(self.pool())
        .await?;
        let row = |(id, created_ms, retired_ms)| DataKeyRow {
            id,
            created_ms,
            retired_ms,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Drops retired keys that sealed nothing which is left. What a key sealed lies with invocations that began, and events that were
    /// published, while a node still sealed with it, so it can go with the last of these. Returns how many went.
    pub(crate) async fn drop_data_keys(&self) -> Result<u64> {
        sqlx::query(
            "UPDATE host.data_key SET unused_since = clock_timestamp()
             WHERE retired_at IS NOT NULL AND unused_since IS NULL AND NOT EXISTS (SELECT FROM host.node
                 WHERE gone_at IS NULL AND (node.data_key IS NULL OR node.data_key = data_key.id))",
        )
        .execute(self.pool())
        .await?;
        // Ids are dated by the clocks of nodes, which differ by a second at most.
        let dropped = sqlx::query(
            "DELETE FROM host.data_key WHERE unused_since IS NOT NULL
                 AND NOT EXISTS (SELECT FROM host.invocation
                     WHERE id < host.time_boundary(data_key.unused_since + interval '1 minute'))
                 AND NOT EXISTS (SELECT FROM host.event
                     WHERE id < host.time_boundary(data_key.unused_since + interval '1 minute'))",
        )
        .execute(self.pool())
        .await?;
        Ok(dropped.rows_affected())
    }
}

impl KeyRing {
    pub(crate) fn new(master_key: &[u8; 32], rng: Arc<dyn Rng>) -> Self {
        Self {
            master: Master::new(master_key),
            older: RwLock::default(),
            rng,
            keys: RwLock::default(),
        }
    }

    /// Loads the keys, and makes one if there is none that seals. The session holds the lock of this database's schema.
    pub(crate) async fn ensure(&self, session: &mut PgConnection) -> Result<()> {
        if self.load(session).await? {
            return Ok(());
        }
        self.create(session).await?;
        self.load(session).await?;
        Ok(())
    }

    /// Loads the keys; says whether one of them seals.
    pub(crate) async fn load(&self, session: &mut PgConnection) -> Result<bool> {
        let older = self.load_older(session).await?;
        *self.older.write() = older;
        let rows: Vec<(i32, Vec<u8>, bool)> =
            sqlx::query_as("SELECT id, wrapped, retired_at IS NULL FROM host.data_key ORDER BY id")
                .fetch_all(session)
                .await?;
        let mut keys = Keys::default();
        for (id, wrapped, seals) in rows {
            let opened = self.unwrap(&wrapped).ok_or(Error::MasterKey { id })?;
            keys.by_id.insert(
                id,
                hkdf::Salt::new(hkdf::HKDF_SHA256, b"nexus payloads").extract(&opened),
            );
            if seals {
                keys.current = Some(id);
            }
        }
        let seals = keys.current.is_some();
        let mut loaded = self.keys.write();
        // One that was dropped may still be an attempt's under way.
        for (id, key) in std::mem::take(&mut loaded.by_id) {
            keys.by_id.entry(id).or_insert(key);
        }
        *loaded = keys;
        Ok(seals)
    }

    /// The id of the key that seals.
    pub(crate) fn current(&self) -> Option<i32> {
        self.keys.read().current
    }

    /// The key of one invocation's payloads.
    pub(crate) fn payload_key(&self, id: i32, invocation: &[u8], salt: &[u8]) -> Option<LessSafeKey> {
        let keys = self.keys.read();
        let info = [b"payload", invocation, salt];
        let mut key = [0; 32];
        let derived = keys.by_id.get(&id)?.expand(&info, &AES_256_GCM);
        derived.and_then(|okm| okm.fill(&mut key)).ok()?;
        Some(aes_key(&key))
    }

    /// A nonce: random, since several attempts may seal under one key without knowing of each other.
    pub(crate) fn nonce(&self) -> [u8; NONCE_LEN] {
        self.rng.bytes()
    }

    /// The master key of this process.
    pub(crate) fn master(&self) -> &Master {
        &self.master
    }

    /// Whether our master key is on its way to replace another, as far as is known here.
    pub(crate) fn replaces_another(&self) -> bool {
        !self.older.read().is_empty()
    }

    /// For whoever has to open it: while a master key is being replaced, nodes with the old one.
    pub(crate) fn wrap(&self, key: &[u8]) -> Vec<u8> {
        let older = self.older.read();
        older.last().unwrap_or(&self.master).wrap(&*self.rng, key)
    }

    pub(crate) fn unwrap(&self, wrapped: &[u8]) -> Option<Vec<u8>> {
        let older = self.older.read();
        let mut masters = std::iter::once(&self.master).chain(older.iter());
        masters.find_map(|master| master.unwrap(wrapped))
    }

    /// The same key, wrapped by our own master key.
    pub(crate) fn rewrap(&self, wrapped: &[u8]) -> Option<Vec<u8>> {
        Some(self.master.wrap(&*self.rng, &self.unwrap(wrapped)?))
    }

    async fn create(&self, session: &mut PgConnection) -> Result<()> {
        let key: [u8; 32] = self.rng.bytes();
        sqlx::query("INSERT INTO host.data_key (wrapped) VALUES ($1)")
            .bind(self.wrap(&key))
            .execute(session)
            .await?;
        Ok(())
    }
}

pub(crate) fn aes_key(bytes: &[u8]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, bytes).unwrap_or_else(|_| unreachable!("an AES-256 key has 32 bytes"));
    LessSafeKey::new(key)
}
