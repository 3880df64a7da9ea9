//! The data directory, held by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Attempting, Error, Result};

/// A data directory this process holds. Dropping it, or the end of the process by any cause, lets it go.
///
/// The lock is the kernel's, on the open file `lock`; the process id in that file only serves the other's error message.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Takes the directory, creating it when missing. [`Error::Locked`] names the process that has it already.
    pub fn lock(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        // As root the server runs as somebody else, who has to pass through to the cluster; what is in here stays private.
        let mode = if rustix::process::geteuid().is_root() {
            0o711
        } else {
            0o700
        };
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
            .attempting("create the data directory", path)?;
        let path = fs::canonicalize(path).attempting("resolve", path)?;

        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&file)
            .attempting("open", &file)?;
        taken(lock.try_lock(), &lock, &path, &file)?;
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .attempting("write", &file)?;
        Ok(Self { path, _lock: lock })
    }

    /// What [`DataDir::lock`] would say, for who only looks: nothing is made, and nothing is written.
    pub fn examine(path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let file = path.join("lock");
        match File::open(&file) {
            // Together with others who look.
            Ok(lock) => taken(lock.try_lock_shared(), &lock, path, &file),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).attempting("open", file),
        }
    }

    /// The directory's absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Who has the lock, when it was not to be had.
fn taken(outcome: std::result::Result<(), TryLockError>, mut lock: &File, path: &Path, file: &Path) -> Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            lock.read_to_string(&mut pid).attempting("read", file)?;
            Err(Error::Locked {
                path: path.to_owned(),
                pid: pid.trim().parse().ok(),
            })
        }
        Err(TryLockError::Error(source)) => Err(source).attempting("lock", file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_the_first_ones_pid() {
        let parent = tempfile::tempdir().unwrap();
        let held = DataDir::lock(parent.path().join("data")).unwrap();
        let refused = DataDir::lock(held.path()).unwrap_err();
        assert!(matches!(refused, Error::Locked { pid: Some(pid), .. } if pid == std::process::id()));
        assert!(
            refused
                .to_string()
                .contains(&format!("in use by process {}", std::process::id())),
            "{refused}"
        );

        let path = held.path().to_owned();
        drop(held);
        DataDir::lock(path).unwrap();
    }

    #[test]
    fn who_looks_makes_nothing_and_takes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        DataDir::examine(&path).unwrap();
        assert!(!path.exists());
        let held = DataDir::lock(&path).unwrap();
        let found = DataDir::examine(&path).unwrap_err();
        assert!(matches!(found, Error::Locked { pid: Some(pid), .. } if pid == std::process::id()));
        drop(held);
        DataDir::examine(&path).unwrap();
        DataDir::lock(&path).unwrap();
    }
}
