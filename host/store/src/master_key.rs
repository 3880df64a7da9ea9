//! Master keys. One wraps every other key; a rotation replaces it while nodes with the old one still run.

use host_types::Rng;
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use sqlx::{Connection, PgConnection};

use crate::data_keys::{KeyRing, aes_key};
use crate::store::{derived_bytes, derived_key};
use crate::{Error, Result, Store};

/// A master key, as far as it wraps others.
pub(crate) struct Master {
    key: [u8; 32],
    fingerprint: [u8; 32],
    wrapping: LessSafeKey,
}

impl Master {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let wrapping = ring::hmac::sign(&derived_key(key, b"data keys"), b"wrap");
        Self {
            key: *key,
            fingerprint: derived_bytes(key, b"fingerprint"),
            wrapping: aes_key(wrapping.as_ref()),
        }
    }

    pub(crate) fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }

    pub(crate) fn wrap(&self, rng: &dyn Rng, key: &[u8]) -> Vec<u8> {
        let mut sealed = key.to_vec();
        let nonce: [u8; NONCE_LEN] = rng.bytes();
        let tag = self
            .wrapping
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .unwrap_or_else(|_| unreachable!("32 bytes are within what AES-GCM seals"));
        [&nonce[..], &sealed, tag.as_ref()].concat()
    }

    pub(crate) fn unwrap(&self, wrapped: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = wrapped.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let length = self
            .wrapping
            .open_in_place(nonce, Aad::empty(), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(length);
        Some(sealed)
    }
}

impl Store {
    /// Begins to replace the master key by `new`, which nodes may start with from now on. Those that run go on with the old one; when the last
    /// of them has gone, an upkeep wraps everything anew, and the old one opens nothing any more. Repeated with the same key it does nothing.
    pub async fn rotate_master_key(&self, new: &[u8; 32]) -> Result<()> {
        let keys = &self.inner.keys;
        let new = Master::new(new);
        let mut session = self.exclusive_session().await?;
        let mut transaction = session.begin().await?;
        keys.load(&mut transaction).await?;
        let links: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT successor FROM host.master_key WHERE successor IS NOT NULL ORDER BY created_at")
                .fetch_all(&mut *transaction)
                .await?;
        if links.iter().any(|successor| successor == new.fingerprint()) {
            return Ok(());
        }
        if !links.is_empty() {
            return Err(Error::RotationUnderWay);
        }
        sqlx::query("INSERT INTO host.master_key (fingerprint) VALUES ($1)")
            .bind(new.fingerprint())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE host.master_key SET successor = $2, wrapped = $3 WHERE fingerprint = $1")
            .bind(keys.master().fingerprint())
            .bind(new.fingerprint())
            .bind(new.wrap(&*keys.rng, &keys.master().key))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        session.close().await?;
        Ok(())
    }

    /// Ends a rotation of the master key, if no live node works with the old one. Whether it did.
    pub(crate) async fn finish_rotation(&self) -> Result<bool> {
        let keys = &self.inner.keys;
        if !keys.replaces_another() {
            return Ok(false);
        }
        let mut session = self.exclusive_session().await?;
        let mut transaction = session.begin().await?;
        keys.load(&mut transaction).await?;
        // Registrations wait: a node with the old key either counts below, or finds it gone.
        sqlx::query("LOCK TABLE host.node IN SHARE UPDATE EXCLUSIVE MODE")
            .execute(&mut *transaction)
            .await?;
        let due: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM host.master_key WHERE successor = $1)
                 AND NOT EXISTS (SELECT FROM host.node WHERE gone_at IS NULL AND master_key IS DISTINCT FROM $1)",
        )
        .bind(keys.master().fingerprint())
        .fetch_one(&mut *transaction)
        .await?;
        if !due {
            return Ok(false);
        }
        let data_keys: Vec<(i32, Vec<u8>)> = sqlx::query_as("SELECT id, wrapped FROM host.data_key")
            .fetch_all(&mut *transaction)
            .await?;
        for (id, wrapped) in data_keys {
            let anew = keys.rewrap(&wrapped).ok_or(Error::MasterKey { id })?;
            sqlx::query("UPDATE host.data_key SET wrapped = $2 WHERE id = $1")
                .bind(id)
                .bind(anew)
                .execute(&mut *transaction)
                .await?;
        }
        let secrets: Vec<(String, i32, Vec<u8>)> = sqlx::query_as("SELECT purpose, version, wrapped FROM host.secret")
            .fetch_all(&mut *transaction)
            .await?;
        for (purpose, version, wrapped) in secrets {
            let anew = keys.rewrap(&wrapped).ok_or(Error::WrongMasterKey)?;
            sqlx::query("UPDATE host.secret SET wrapped = $3 WHERE purpose = $1 AND version = $2")
                .bind(purpose)
                .bind(version)
                .bind(anew)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("DELETE FROM host.master_key WHERE successor IS NOT NULL")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        keys.load(&mut session).await?;
        session.close().await?;
        tracing::info!("the master key is replaced: the old one opens nothing any more");
        Ok(true)
    }
}

impl KeyRing {
    /// Loads the master keys that ours is to replace, the newest first. They open what we cannot.
    pub(crate) async fn load_older(&self, session: &mut PgConnection) -> Result<Vec<Master>> {
        let links: Vec<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("SELECT successor, wrapped FROM host.master_key WHERE successor IS NOT NULL")
                .fetch_all(session)
                .await?;
        let mut older: Vec<Master> = Vec::new();
        while older.len() < links.len() {
            let newest = older.last().unwrap_or(self.master());
            let link = links.iter().find(|(successor, _)| successor == newest.fingerprint());
            let Some((_, wrapped)) = link else { break };
            let key = newest.unwrap(wrapped).and_then(|key| <[u8; 32]>::try_from(key).ok());
            older.push(Master::new(&key.ok_or(Error::WrongMasterKey)?));
        }
        Ok(older)
    }

    /// Takes note of the first master key of a database, and refuses one that is none of it. What there is to open was opened before.
    pub(crate) async fn ensure_master(&self, session: &mut PgConnection) -> Result<()> {
        sqlx::query(
            "INSERT INTO host.master_key (fingerprint) SELECT $1 WHERE NOT EXISTS (SELECT FROM host.master_key)
             ON CONFLICT DO NOTHING",
        )
        .bind(self.master().fingerprint())
        .execute(&mut *session)
        .await?;
        self.check_master(session).await
    }

    /// Refuses a master key that was replaced, or is another database's.
    async fn check_master(&self, session: &mut PgConnection) -> Result<()> {
        let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM host.master_key WHERE fingerprint = $1)")
            .bind(self.master().fingerprint())
            .fetch_one(session)
            .await?;
        if known { Ok(()) } else { Err(Error::WrongMasterKey) }
    }
}
