//! The built components, and other builds of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::NexusOptions;
use crate::nexus::workspace;

/// A target folder of its own, with every component as it was built but for some.
pub struct Guests {
    target: TempDir,
}

/// Where the manifest's sources lie in a target folder.
const FOLDER: &str = "wasm32-wasip2/guest";

impl Guests {
    /// The components as they were built.
    pub fn built() -> Result<Self> {
        let built = match std::env::var_os("NEXUS_COMPONENTS_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => {
                let target = std::env::var_os("CARGO_TARGET_DIR");
                target
                    .map_or_else(|| workspace().join("target"), PathBuf::from)
                    .join(FOLDER)
            }
        };
        let target = TempDir::new()?;
        let folder = target.path().join(FOLDER);
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(built)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm")
                && let Some(name) = path.file_name()
            {
                std::fs::copy(&path, folder.join(name))?;
            }
        }
        Ok(Self { target })
    }

    /// Makes of a component another build, which differs by a constant: by this text, wherever it stands.
    pub fn differ(&self, component: &str, constant: &str, other: &str) -> Result<()> {
        let path = self.path(component);
        let wasm = other_build(std::fs::read(&path)?, constant, other).with_context(|| path.display().to_string())?;
        Ok(std::fs::write(path, wasm)?)
    }

    /// A host started like this serves these.
    pub fn options(&self) -> NexusOptions {
        let target = self.target.path().display().to_string();
        NexusOptions {
            environment: vec![("CARGO_TARGET_DIR".into(), target)],
            ..NexusOptions::default()
        }
    }

    /// Where the bytes of a component are, or of a guest: `guest-waiter`.
    pub fn path(&self, component: &str) -> PathBuf {
        let name = match component.starts_with("guest-") {
            true => component.to_owned(),
            false => format!("component_{component}"),
        };
        let name = format!("{}.wasm", name.replace('-', "_"));
        Path::new(self.target.path()).join(FOLDER).join(name)
    }
}

/// Another build of these bytes, which differs by a constant: by this text, wherever it stands.
pub fn other_build(mut wasm: Vec<u8>, constant: &str, other: &str) -> Result<Vec<u8>> {
    ensure!(
        constant.len() == other.len(),
        "{constant:?} and {other:?} differ in length"
    );
    let places: Vec<usize> = wasm
        .windows(constant.len())
        .enumerate()
        .filter(|(_, window)| *window == constant.as_bytes())
        .map(|(place, _)| place)
        .collect();
    ensure!(!places.is_empty(), "{constant:?} is not in there");
    for place in places {
        wasm[place..place + other.len()].copy_from_slice(other.as_bytes());
    }
    Ok(wasm)
}
