//! Where the cluster lies: in the data directory, unless the server's user cannot get there.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::data_dir::DataDir;
use crate::error::{Attempting, Result};
use crate::random;
use crate::user::User;

mod short_dir;

/// For the clusters of data directories that the server's user cannot reach. Only root needs it, so it may be here.
const ELSEWHERE: &str = "/var/lib/nexus";

/// The folders and files of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// Belongs to the server's user; holds the two folders below.
    pub(crate) base: PathBuf,
    /// The cluster.
    pub(crate) data: PathBuf,
    /// The folder of the socket; in `base`, or a shorter path.
    pub(crate) socket_dir: PathBuf,
    /// What the server prints; in the data directory.
    pub(crate) log: PathBuf,
    /// The superuser's password; in the data directory.
    pub(crate) password: PathBuf,
}

impl Home {
    /// Finds the cluster's place, or makes it. The cluster itself need not exist.
    pub(crate) fn locate(dir: &DataDir, user: &User) -> Result<Self> {
        let pointer = dir.path().join("postgres.location");
        let base = match fs::read_to_string(&pointer) {
            Ok(location) => PathBuf::from(location.trim_end()),
            Err(error) if error.kind() == ErrorKind::NotFound => dir.path().join("postgres"),
            Err(error) => return Err(error).attempting("read", pointer),
        };
        let base = if base.join("data").exists() {
            base
        } else {
            make_base(base, &pointer, dir.path(), user)?
        };
        let socket_dir = short_dir::socket_dir(&base, user)?;
        Ok(Self {
            data: base.join("data"),
            base,
            socket_dir,
            log: dir.path().join("postgres.log"),
            password: crate::password::file(dir.path()),
        })
    }

    /// Removes the folder of the socket when it lies outside of `base`. The server must have ended.
    pub(crate) fn remove_socket_dir(&self) {
        // Not empty means that a server still uses it; then it has to stay.
        if !self.socket_dir.starts_with(&self.base) && fs::remove_dir(&self.socket_dir).is_err() {
            tracing::debug!(path = %self.socket_dir.display(), "the socket's folder is still in use");
        }
    }
}

/// Makes the folder for a new cluster: `wanted`, or one elsewhere when `user` cannot reach that.
fn make_base(wanted: PathBuf, pointer: &Path, data_dir: &Path, user: &User) -> Result<PathBuf> {
    make_private_dir(&wanted, user)?;
    if user.can_enter(&wanted)? {
        return Ok(wanted);
    }
    fs::remove_dir(&wanted).attempting("remove", &wanted)?;
    let base = elsewhere(data_dir)?;
    // The pointer first: a cluster that nothing points to would never be found again.
    fs::write(pointer, format!("{}\n", base.display())).attempting("write", pointer)?;
    make_private_dir(&base, user)?;
    tracing::info!(
        data_dir = %data_dir.display(), location = %base.display(),
        "the database server's user cannot reach the data directory, so the database is kept elsewhere"
    );
    Ok(base)
}

/// A new path below [`ELSEWHERE`]. It never names an earlier cluster: if the data directory was removed, so was the
/// password to that one.
fn elsewhere(data_dir: &Path) -> Result<PathBuf> {
    let parent = Path::new(ELSEWHERE);
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(parent)
        .attempting("create", parent)?;
    let prefix = format!("{}-", short_hash(data_dir));
    for entry in fs::read_dir(parent).attempting("read", parent)? {
        let entry = entry.attempting("read", parent)?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            tracing::warn!(
                location = %entry.path().display(), data_dir = %data_dir.display(),
                "a database of an earlier data directory at the same path is left here, and can be removed"
            );
        }
    }
    Ok(parent.join(format!("{prefix}{}", random::hex::<4>()?)))
}

/// Makes a folder that only `user` can use, if it does not exist.
pub(crate) fn make_private_dir(path: &Path, user: &User) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => user.own(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => user.own(path),
        Err(error) => Err(error).attempting("create", path),
    }
}

/// A name for `path` that is short and the same every time.
fn short_hash(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    hex::encode(&Sha256::digest(path.as_os_str().as_bytes())[..8])
}
