//! What the tests share: folders, a process to kill, a look into the database.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use host_postgres::{Connection, DataDir, Error, Options, Programs, Server, Settings};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// A folder that the server's user may pass through.
pub(crate) fn open_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

/// Starts a small server on `path`.
pub(crate) async fn start(path: impl AsRef<Path>) -> Result<(DataDir, Server), Error> {
    start_with(path, Settings::test()).await
}

/// Starts a server with `settings` on `path`.
pub(crate) async fn start_with(path: impl AsRef<Path>, settings: Settings) -> Result<(DataDir, Server), Error> {
    let dir = DataDir::lock(path)?;
    let programs = Programs::find().await?;
    let server = Server::start(
        &programs,
        &dir,
        &Options {
            settings,
            ..Options::default()
        },
    )
    .await?;
    Ok((dir, server))
}

/// Connects with tokio-postgres.
pub(crate) async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A setting of the server, or any other text that one row of SQL gives.
pub(crate) async fn text(connection: &Connection, sql: &str) -> String {
    client(&connection.url())
        .await
        .query_one(sql, &[])
        .await
        .unwrap()
        .get(0)
}

/// Leaves a trace in the database that has to survive.
pub(crate) async fn leave_a_trace(url: &str) {
    client(url)
        .await
        .batch_execute("CREATE TABLE trace (word text); INSERT INTO trace VALUES ('kept')")
        .await
        .unwrap();
}

/// The trace that [`leave_a_trace`] left.
pub(crate) async fn trace(connection: &Connection) -> String {
    text(connection, "SELECT word FROM trace").await
}

/// The example `serve`, a process to kill.
pub(crate) struct Serve {
    pub(crate) process: Child,
    pub(crate) url: String,
}

impl Serve {
    /// Starts it with `args`, as `user` when given, and waits for its URL.
    pub(crate) fn start<I: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = I>,
        user: Option<(u32, u32)>,
    ) -> Self {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        let mut process = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut url)
            .unwrap();
        Self {
            process,
            url: url.trim_end().to_owned(),
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Where cargo put the example `serve`.
pub(crate) fn serve() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples/serve")
}

/// Whether the tests run as root, which decides as whom the server runs.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
