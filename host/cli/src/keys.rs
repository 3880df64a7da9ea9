//! The master key, and everything derived from it. Who has this key can read every payload and sign every token; it never
//! enters the database.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use host_types::Rng;
use ring::hkdf;

/// 256 bits from which everything secret of an installation is derived.
pub(crate) struct InstallationKey([u8; 32]);

impl InstallationKey {
    /// From `NEXUS_MASTER_KEY` or the file `NEXUS_MASTER_KEY_FILE` names (64 hex digits; the same on every node of a
    /// database), else from the data directory, where it is made at the first start.
    pub(crate) fn load(data_dir: &Path, rng: &dyn Rng) -> Result<Self> {
        if let Ok(text) = std::env::var("NEXUS_MASTER_KEY") {
            return Self::parse(&text).context("NEXUS_MASTER_KEY");
        }
        if let Ok(path) = std::env::var("NEXUS_MASTER_KEY_FILE") {
            let text = fs::read_to_string(&path).with_context(|| format!("NEXUS_MASTER_KEY_FILE names {path}"))?;
            return Self::parse(&text).with_context(|| path.clone());
        }
        let path = data_dir.join("master.key");
        Self::load_or_make(&path, rng)
    }

    /// From a file, which is made when it is not there.
    pub(crate) fn load_or_make(path: &Path, rng: &dyn Rng) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let mode = fs::metadata(path)?.permissions().mode();
                if mode & 0o077 != 0 {
                    bail!("{} can be read by others: run `chmod 600 {0}`", path.display());
                }
                Self::parse(&text).with_context(|| path.display().to_string())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key: [u8; 32] = rng.bytes();
                // Complete or absent: a half-written key would lock the installation out of its own data.
                let temporary = path.with_extension("made");
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&temporary)?;
                writeln!(file, "{}", hex::encode(key))?;
                file.sync_all()?;
                fs::rename(&temporary, path)?;
                Ok(Self(key))
            }
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).context("a master key is 64 hexadecimal digits")?;
        Ok(Self(key))
    }

    /// A key for one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        let pseudo_random = hkdf::Salt::new(hkdf::HKDF_SHA256, b"nexus").extract(&self.0);
        pseudo_random
            .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|output| output.fill(&mut key))
            .expect("32 bytes are less than HKDF's bound");
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_has_its_own_key() {
        let key = InstallationKey::parse(&"ab".repeat(32)).unwrap();
        assert_eq!(key.derive("store"), key.derive("store"));
        assert_ne!(key.derive("store"), key.derive("tokens"));
        assert!(InstallationKey::parse("ab").is_err());
    }
}
