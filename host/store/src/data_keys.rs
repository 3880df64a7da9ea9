//! The keys that seal payloads. Each lies in the database wrapped by the master key; here they are open, and cached.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use host_types::Rng;
use parking_lot::RwLock;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::store::derived_key;
use crate::{Error, Result, Store};

/// All data keys, and which of them seals.
pub(crate) struct KeyRing {
    wrapping: LessSafeKey,
    rng: Arc<dyn Rng>,
    keys: RwLock<Keys>,
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
    /// From now on payloads are sealed with a new key; older ones still open. Other nodes follow when they next meet a payload
    /// sealed with it, or start.
    pub async fn rotate_data_key(&self) -> Result<()> {
        let mut session = self.exclusive_session().await?;
        let mut transaction = session.begin().await?;
        sqlx::query("UPDATE host.data_key SET retired_at = now() WHERE retired_at IS NULL")
            .execute(&mut *transaction)
            .await?;
        self.inner.keys.create(&mut transaction).await?;
        transaction.commit().await?;
        self.inner.keys.load(&mut session).await?;
        session.close().await?;
        Ok(())
    }
}

impl KeyRing {
    pub(crate) fn new(master_key: &[u8; 32], rng: Arc<dyn Rng>) -> Self {
        let wrapping = ring::hmac::sign(&derived_key(master_key, b"data keys"), b"wrap");
        Self {
            wrapping: aes_key(wrapping.as_ref()),
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
        let rows: Vec<(i32, Vec<u8>, bool)> =
            sqlx::query_as("SELECT id, wrapped, retired_at IS NULL FROM host.data_key ORDER BY id")
                .fetch_all(session)
                .await?;
        let mut keys = Keys::default();
        for (id, mut wrapped, seals) in rows {
            let opened = self.unwrap(&mut wrapped).ok_or(Error::MasterKey { id })?;
            keys.by_id.insert(
                id,
                hkdf::Salt::new(hkdf::HKDF_SHA256, b"nexus payloads").extract(opened),
            );
            if seals {
                keys.current = Some(id);
            }
        }
        let seals = keys.current.is_some();
        *self.keys.write() = keys;
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

    async fn create(&self, session: &mut PgConnection) -> Result<()> {
        let mut sealed: Vec<u8> = self.rng.bytes::<32>().to_vec();
        let nonce = self.nonce();
        let tag = self
            .wrapping
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .unwrap_or_else(|_| unreachable!("32 bytes are within what AES-GCM seals"));
        let wrapped = [&nonce[..], &sealed, tag.as_ref()].concat();
        sqlx::query("INSERT INTO host.data_key (wrapped) VALUES ($1)")
            .bind(wrapped)
            .execute(session)
            .await?;
        Ok(())
    }

    fn unwrap<'a>(&self, wrapped: &'a mut [u8]) -> Option<&'a [u8]> {
        let (nonce, sealed) = wrapped.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.wrapping
            .open_in_place(nonce, Aad::empty(), sealed)
            .ok()
            .map(|opened| &*opened)
    }
}

pub(crate) fn aes_key(bytes: &[u8]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, bytes).unwrap_or_else(|_| unreachable!("an AES-256 key has 32 bytes"));
    LessSafeKey::new(key)
}
