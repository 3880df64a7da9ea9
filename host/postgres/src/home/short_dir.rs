//! A folder for the socket. Its path must be short, because a socket's name has room for about a hundred bytes, and
//! plain, because settings and messages quote it in many ways.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::connection::PORT;
use crate::error::{Attempting, Error, Result};
use crate::home::{make_private_dir, short_hash};
use crate::user::User;

/// How long a socket's path can be, without the zero that ends it.
const LIMIT_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The folder for the socket of the cluster in `base`, made if it does not exist.
pub(crate) fn socket_dir(base: &Path, user: &User) -> Result<PathBuf> {
    let inside = base.join("run");
    if fits(&inside) {
        make_private_dir(&inside, user)?;
        return Ok(inside);
    }
    // Everybody can write to /tmp, so somebody else may have been there first.
    let outside = PathBuf::from(format!("/tmp/nexus-{}-{}", user.uid(), short_hash(base)));
    if !outside.exists() {
        make_private_dir(&outside, user)?;
    }
    let found = fs::symlink_metadata(&outside).attempting("look at", &outside)?;
    if !found.is_dir() || found.uid() != user.uid() || found.mode() & 0o077 != 0 {
        return Err(Error::UnsafeSocketDir {
            path: outside,
            uid: user.uid(),
        });
    }
    Ok(outside)
}

fn fits(dir: &Path) -> bool {
    let path = dir.join(format!(".s.PGSQL.{PORT}"));
    let path = path.as_os_str().as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    path.len() <= LIMIT_BYTES && path.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_path_that_is_too_long_or_needs_quoting_does_not_fit() {
        assert!(fits(Path::new("/srv/shop/.nexus/postgres/run")));
        assert!(!fits(Path::new("/srv/my shop/.nexus/postgres/run")));
        let room = LIMIT_BYTES - "/.s.PGSQL.5432".len();
        assert!(fits(Path::new(&format!("/{}", "a".repeat(room - 1)))));
        assert!(!fits(Path::new(&format!("/{}", "a".repeat(room)))));
    }

    #[test]
    fn somebody_elses_folder_is_not_used() {
        let user = User::suitable().unwrap();
        let base = tempfile::tempdir().unwrap().path().join("a folder with spaces");
        let dir = socket_dir(&base, &user).unwrap();
        assert_eq!(socket_dir(&base, &user).unwrap(), dir, "the same one again");

        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(socket_dir(&base, &user), Err(Error::UnsafeSocketDir { .. })));
        fs::remove_dir(&dir).unwrap();

        let target = tempfile::tempdir().unwrap();
        symlink(target.path(), &dir).unwrap();
        assert!(matches!(socket_dir(&base, &user), Err(Error::UnsafeSocketDir { .. })));
        fs::remove_file(&dir).unwrap();
    }
}
