//! The master key, and everything derived from it. Who has this key can read every payload and sign every token; it never
//! enters the database.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use host_types::Rng;
use ring::hkdf;

/// The key of a data directory.
pub(crate) const OWN: &str = "master.key";
/// What a rotation puts in its place.
pub(crate) const NEXT: &str = "master.key.next";
/// What was in its place before.
pub(crate) const OLD: &str = "master.key.old";

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
        Self::of_data_dir(data_dir, rng)
    }

    /// A new one could open nothing of a database that a rotation's files tell of, so then none is made.
    fn of_data_dir(data_dir: &Path, rng: &dyn Rng) -> Result<Self> {
        let path = data_dir.join(OWN);
        if !path.try_exists()? {
            for left in [NEXT, OLD].map(|name| data_dir.join(name)) {
                if left.try_exists()? {
                    bail!(
                        "there is no {}, but {} is there: a rotation was interrupted, or the key was moved away. Bring it back, or put this \
                         file in its place (`mv {1} {0}`)",
                        path.display(),
                        left.display()
                    );
                }
            }
        }
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
            Err(error) if error.kind() == ErrorKind::NotFound => {
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

/// Puts a new key in the place of a data directory's, and keeps the old one beside it. There is one in its place at every moment.
pub(crate) fn put_in_place(data_dir: &Path, new: &Path) -> Result<()> {
    let (own, old) = (data_dir.join(OWN), data_dir.join(OLD));
    match fs::remove_file(&old) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| old.display().to_string());
        }
        Ok(()) | Err(_) => {}
    }
    fs::hard_link(&own, &old).with_context(|| old.display().to_string())?;
    fs::rename(new, &own).with_context(|| own.display().to_string())
}

#[cfg(test)]
mod tests {
    use host_types::SystemRng;

    use super::*;

    #[test]
    fn a_key_takes_the_place_of_another_from_wherever_a_rotation_was_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let [own, next, old] = [OWN, NEXT, OLD].map(|name| folder.path().join(name));
        let key = |path: &Path| fs::read_to_string(path).unwrap();
        for is_interrupted in [false, true] {
            fs::write(&own, "first").unwrap();
            fs::write(&next, "second").unwrap();
            // Of the rotation before.
            fs::write(&old, "zeroth").unwrap();
            if is_interrupted {
                fs::remove_file(&old).unwrap();
                fs::hard_link(&own, &old).unwrap();
            }
            put_in_place(folder.path(), &next).unwrap();
            assert_eq!((key(&own), key(&old)), ("second".to_owned(), "first".to_owned()));
            assert!(!next.exists());
        }
    }

    #[test]
    fn none_is_made_where_a_rotation_has_left_one() {
        let folder = tempfile::tempdir().unwrap();
        let [own, next, old] = [OWN, NEXT, OLD].map(|name| folder.path().join(name));
        let rng = SystemRng::new();
        let load = || InstallationKey::of_data_dir(folder.path(), &rng);
        load().unwrap();
        // As programs before this one left it.
        fs::rename(&own, &old).unwrap();
        InstallationKey::load_or_make(&next, &rng).unwrap();
        let refused = load().err().unwrap().to_string();
        assert!(
            refused.contains(&format!("mv {} {}", next.display(), own.display())),
            "{refused}"
        );
        assert!(!own.exists());
        let kept = fs::read_to_string(&next).unwrap();
        fs::rename(&next, &own).unwrap();
        load().unwrap();
        assert_eq!(fs::read_to_string(&own).unwrap(), kept);
    }

    #[test]
    fn each_purpose_has_its_own_key() {
        let key = InstallationKey::parse(&"ab".repeat(32)).unwrap();
        assert_eq!(key.derive("store"), key.derive("store"));
        assert_ne!(key.derive("store"), key.derive("tokens"));
        assert!(InstallationKey::parse("ab").is_err());
    }
}
