//! Payloads, unreadable to whoever has only the database.
//!
//! Stored as `[format, data key id (4, big endian), nonce (12), ciphertext, tag (16)]`. Format 1 is AES-256-GCM under a key
//! derived from the data key and the invocation's id; in format 2 the invocation's salt is part of that derivation, so that
//! dropping the salt erases the payloads. The entry's index is authenticated: a payload opens in its own place only.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use host_journal::{Seal, SealError};
use host_types::InvocationId;
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use crate::data_keys::KeyRing;
use crate::{Result, Store};

const PLAIN: u8 = 1;
const SALTED: u8 = 2;
const HEAD_LEN: usize = 1 + 4 + NONCE_LEN;

impl Store {
    pub(crate) fn invocation_seal(&self, invocation: InvocationId, salt: Option<[u8; 32]>) -> InvocationSeal {
        let keys = self.inner.keys.clone();
        // A process that sealed without a key would write what nobody can read.
        let current = keys.current().expect("migrate_host ran before the first invocation");
        InvocationSeal {
            keys,
            invocation,
            salt,
            current,
            key: OnceLock::new(),
            lacked_key: AtomicBool::new(false),
        }
    }
}

pub(crate) struct InvocationSeal {
    keys: Arc<KeyRing>,
    invocation: InvocationId,
    salt: Option<[u8; 32]>,
    /// The data key that seals.
    current: i32,
    /// The key derived from it, at first use.
    key: OnceLock<LessSafeKey>,
    lacked_key: AtomicBool,
}

impl fmt::Debug for InvocationSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvocationSeal({})", self.invocation)
    }
}

impl InvocationSeal {
    fn derive(&self, data_key: i32) -> Option<LessSafeKey> {
        let salt = self.salt.as_ref().map_or(&[][..], |salt| salt);
        self.keys.payload_key(data_key, self.invocation.0.as_bytes(), salt)
    }

    fn current_key(&self) -> &LessSafeKey {
        // Keys are never removed from the ring while the process lives.
        self.key.get_or_init(|| {
            self.derive(self.current)
                .unwrap_or_else(|| unreachable!("the current data key is loaded"))
        })
    }

    /// A payload was met whose data key this process has not loaded, or that is gone.
    pub(crate) fn lacked_key(&self) -> bool {
        self.lacked_key.load(Ordering::Relaxed)
    }
}

fn data_key(sealed: &[u8]) -> Option<i32> {
    sealed.get(1..5)?.try_into().ok().map(i32::from_be_bytes)
}

impl Seal for InvocationSeal {
    fn seal(&self, index: u32, payload: &[u8]) -> Vec<u8> {
        let nonce = self.keys.nonce();
        let mut sealed = Vec::with_capacity(HEAD_LEN + payload.len() + 16);
        sealed.push(if self.salt.is_some() { SALTED } else { PLAIN });
        sealed.extend_from_slice(&self.current.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(payload);
        let tag = self
            .current_key()
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(index.to_be_bytes()),
                &mut sealed[HEAD_LEN..],
            )
            .unwrap_or_else(|_| unreachable!("an entry is far smaller than what AES-GCM seals"));
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    fn open(&self, index: u32, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let unreadable = |reason: &str| SealError::Unreadable(reason.to_owned());
        let (head, sealed) = sealed
            .split_at_checked(HEAD_LEN)
            .ok_or_else(|| unreadable("too short"))?;
        match (head[0], self.salt) {
            (PLAIN, None) | (SALTED, Some(_)) => {}
            (SALTED, None) => return Err(SealError::Erased),
            (PLAIN, Some(_)) => return Err(unreadable("sealed without the salt its invocation has")),
            (format, _) => return Err(unreadable(&format!("unknown format {format}"))),
        }
        let id = data_key(head).ok_or_else(|| unreadable("too short"))?;
        let derived;
        let key = if id == self.current {
            self.current_key()
        } else {
            // A data key that is gone from the database was dropped to erase what it sealed.
            derived = self.derive(id).ok_or_else(|| {
                self.lacked_key.store(true, Ordering::Relaxed);
                SealError::Erased
            })?;
            &derived
        };
        let nonce = Nonce::try_assume_unique_for_key(&head[5..]).map_err(|_| unreadable("no nonce"))?;
        let mut opened = sealed.to_vec();
        let length = key
            .open_in_place(nonce, Aad::from(index.to_be_bytes()), &mut opened)
            .map_err(|_| unreadable("changed, or from another place"))?
            .len();
        opened.truncate(length);
        Ok(opened)
    }
}
