//! The superuser's password: random, in a file of the data directory that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Attempting, Error, Result};
use crate::random;
use crate::user::User;

/// Where the password of the cluster that belongs to `data_dir` is kept.
pub(crate) fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres.password")
}

/// The password of the cluster in `data`.
pub(crate) fn read(file: &Path, data: &Path) -> Result<String> {
    match fs::read_to_string(file) {
        Ok(password) => Ok(password.trim_end().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::PasswordMissing {
            file: file.to_owned(),
            data: data.to_owned(),
        }),
        Err(error) => Err(error).attempting("read", file),
    }
}

/// Makes a new password and keeps it in `file`, in place of any other. It is on disk before a cluster relies on it.
pub(crate) fn create(file: &Path) -> Result<String> {
    let password = random::hex::<24>()?;
    write(file, &password)?;
    Ok(password)
}

/// The password as a file that `user` can read, for `initdb`. Removed when dropped.
pub(crate) struct Handover(PathBuf);

impl Handover {
    pub(crate) fn new(path: PathBuf, password: &str, user: &User) -> Result<Self> {
        write(&path, password)?;
        let handover = Self(path);
        user.own(&handover.0)?;
        Ok(handover)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a copy of the database password was left behind");
        }
    }
}

fn write(file: &Path, password: &str) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).attempting("remove", file),
        _ => {}
    }
    let write = |mut file: File| writeln!(file, "{password}").and_then(|()| file.sync_all());
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(write)
        .attempting("write", file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_password_is_long_new_each_time_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path());
        let first = create(&file).unwrap();
        let second = create(&file).unwrap();
        assert_eq!(second.len(), 48);
        assert_ne!(first, second);
        assert_eq!(read(&file, dir.path()).unwrap(), second);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_missing_password_names_both_ways_out() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(&file(dir.path()), &dir.path().join("postgres/data")).unwrap_err();
        assert!(error.to_string().contains("postgres.password is missing"), "{error}");
        assert!(error.to_string().contains("remove that folder"), "{error}");
    }
}
