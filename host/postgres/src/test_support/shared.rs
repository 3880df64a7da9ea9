//! One server for all test processes that run at the same time, when nobody provides one.

use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::{env, io};

use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::{DATABASE_URL, target_dir};
use crate::data_dir::DataDir;
use crate::error::{Attempting, Result};
use crate::temporary::reap_after;
use crate::{Options, Programs, Server, Settings};

/// How long the server waits for another user. Test processes follow each other within less.
const LINGER_S: u32 = 10;

/// A use of the shared server: it stays as long as one process holds one.
struct Use {
    url: String,
    _lock: Option<File>,
}

/// The URL of the superuser on the server that all tests share: the one in [`DATABASE_URL`], else one that the first test
/// process starts.
pub async fn shared_test_server() -> Result<&'static str> {
    static USE: OnceCell<Use> = OnceCell::const_new();
    let shared = USE.get_or_try_init(|| async {
        match env::var(DATABASE_URL) {
            Ok(url) if !url.is_empty() => Ok(Use { url, _lock: None }),
            _ => join(&target_dir()).await,
        }
    });
    Ok(&shared.await?.url)
}

/// Joins the users of the server that belongs to `target`, starting it for the first.
async fn join(target: &Path) -> Result<Use> {
    let programs = Programs::find().await?;
    // First come, first served: one process at a time looks whether there is a server.
    let turn = lock(&target.join("test-postgres.turn"), File::lock).await?;
    let users_file = target.join("test-postgres.users");
    let users = lock(&users_file, File::lock_shared).await?;

    let name = hex::encode(&Sha256::digest(target.as_os_str().as_bytes())[..6]);
    let uid = rustix::process::geteuid().as_raw();
    let dir = DataDir::lock(env::temp_dir().join(format!("nexus-tests-{uid}-{name}")))?;
    let options = Options {
        settings: Settings::test(),
        ..Options::default()
    };
    let server = Server::start(&programs, &dir, &options).await?;
    if !server.is_adopted() {
        reap_after(&users_file, LINGER_S, &server, dir.path())?;
    }
    drop((dir, turn));
    Ok(Use {
        url: server.connection().url(),
        _lock: Some(users),
    })
}

/// Opens `path` and waits for a lock on it, which ends with this process.
async fn lock(path: &Path, take: fn(&File) -> io::Result<()>) -> Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).attempting("create", parent)?;
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .attempting("open", path)?;
    let taken = tokio::task::spawn_blocking(move || take(&file).map(|()| file)).await;
    taken
        .map_err(io::Error::other)
        .and_then(|it| it)
        .attempting("lock", path)
}
