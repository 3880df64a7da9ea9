//! The host's master key. Everything else is derived from it, each use under a label of its own.

use std::fmt;

use ring::hkdf;

/// 256 bits from outside, of which no part is ever used directly.
#[derive(Clone)]
pub struct MasterKey(hkdf::Prk);

impl MasterKey {
    /// Takes the bits.
    pub fn new(bytes: &[u8; 32]) -> Self {
        // The key is uniformly random already; the salt only separates this use of it from others.
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, b"nexus").extract(bytes))
    }

    /// The key for one use.
    pub(crate) fn derive<const N: usize>(&self, label: &str) -> [u8; N] {
        let mut key = [0; N];
        let info = [label.as_bytes()];
        let derived = self.0.expand(&info, Length(N)).and_then(|okm| okm.fill(&mut key));
        derived.expect("keys are shorter than 255 blocks of the hash");
        key
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_has_a_key_of_its_own() {
        let master = MasterKey::new(&[1; 32]);
        assert_eq!(
            master.derive::<64>("token:access"),
            MasterKey::new(&[1; 32]).derive("token:access")
        );
        assert_ne!(
            master.derive::<64>("token:access"),
            master.derive::<64>("token:refresh")
        );
        assert_ne!(
            master.derive::<32>("token:access"),
            MasterKey::new(&[2; 32]).derive("token:access")
        );
        assert_eq!(format!("{master:?}"), "MasterKey(..)");
    }

    /// Tokens in the hands of clients depend on this.
    #[test]
    fn derivation_stays_as_it_is() {
        // HKDF-SHA256 of 32 bytes 0x01 with salt "nexus" and info "token:access", computed independently.
        let key: [u8; 16] = MasterKey::new(&[1; 32]).derive("token:access");
        assert_eq!(hex::encode(key), "54e157299df9b15b105cd25f9c4c3f3b");
    }
}
