//! Values derived from the invocation's secret seed and a position: a replay draws the same, and nobody else can.

use std::fmt;

use host_types::{InvocationId, Position, Scope};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use ring::hmac;
use uuid::Uuid;

use crate::ArgumentHash;

/// 256 random bits drawn at the start, stored sealed, never shown.
#[derive(Clone)]
pub struct Seed {
    bytes: [u8; 32],
    key: hmac::Key,
}

impl Seed {
    /// Takes the bits.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self {
            bytes,
            key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
        }
    }

    /// The bits, for storing.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.bytes
    }

    /// A keyed hash of a command's arguments.
    pub fn hash(&self, arguments: &[u8]) -> ArgumentHash {
        ArgumentHash(self.digest(b"arguments", &[arguments]))
    }

    /// Fills the buffer with what belongs to this position.
    pub fn fill(&self, position: &Position, buffer: &mut [u8]) {
        self.stream(b"random", position).fill_bytes(buffer);
    }

    /// A version 7 UUID whose random part belongs to this position.
    pub fn uuid(&self, position: &Position, unix_ms: u64) -> Uuid {
        let mut random = [0; 10];
        self.stream(b"uuid", position).fill_bytes(&mut random);
        uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid()
    }

    /// The seed of the `wasi:random/insecure-seed` of an instance in this scope.
    pub fn instance_seed(&self, scope: &Scope) -> (u64, u64) {
        let bytes = self.digest(b"instance", &[&scope.to_bytes()]);
        let (low, high) = bytes.split_at(8);
        let number = |half: &[u8]| half.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        (number(low), number(high))
    }

    /// The key a foreign system can recognise a repeated request by. Stable over attempts, and no one can guess it.
    pub fn effect_key(&self, invocation: InvocationId, position: &Position) -> String {
        let digest = self.digest(
            b"effect",
            &[
                invocation.0.as_bytes(),
                &position.scope.to_bytes(),
                &position.number.to_be_bytes(),
            ],
        );
        Uuid::from_bytes(digest).to_string()
    }

    /// What the ids of a workflow's promises are derived from.
    pub fn promise_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(hmac::sign(&self.key, b"promises of a workflow").as_ref());
        key
    }

    fn stream(&self, purpose: &[u8], position: &Position) -> ChaCha20Rng {
        let scope = position.scope.to_bytes();
        let mut context = hmac::Context::with_key(&self.key);
        for part in [
            purpose,
            &(scope.len() as u32).to_be_bytes(),
            &scope,
            &position.number.to_be_bytes(),
        ] {
            context.update(part);
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        ChaCha20Rng::from_seed(key)
    }

    fn digest(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(purpose);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&context.sign().as_ref()[..16]);
        digest
    }
}

impl PartialEq for Seed {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u32) -> Position {
        Position {
            scope: Scope::root().child(3),
            number,
        }
    }

    #[test]
    fn the_same_position_draws_the_same_and_another_does_not() {
        let seed = Seed::new([7; 32]);
        let draw = |position: &Position| {
            let mut bytes = [0; 40];
            Seed::new([7; 32]).fill(position, &mut bytes);
            bytes
        };
        assert_eq!(draw(&at(1)), draw(&at(1)));
        assert_ne!(draw(&at(1)), draw(&at(2)));
        assert_ne!(seed.uuid(&at(1), 5), Seed::new([8; 32]).uuid(&at(1), 5));
        assert_eq!(seed.uuid(&at(1), 5).get_version_num(), 7);
    }

    #[test]
    fn an_effect_key_belongs_to_one_position_of_one_invocation() {
        let seed = Seed::new([7; 32]);
        let invocation = InvocationId::new(1, [1; 10]);
        let key = seed.effect_key(invocation, &at(1));
        assert_eq!(key, seed.effect_key(invocation, &at(1)));
        assert_ne!(key, seed.effect_key(invocation, &at(2)));
        assert_ne!(key, seed.effect_key(InvocationId::new(1, [2; 10]), &at(1)));
    }

    #[test]
    fn a_seed_is_never_shown() {
        assert_eq!(format!("{:?}", Seed::new([7; 32])), "Seed(..)");
    }
}
