//! For tests and benchmarks: a server that vanishes with its process, and a fresh database per test.
//!
//! `cargo xtask test` starts one server for the whole run and names it in [`DATABASE_URL`]. Without it, all tests that
//! run at the same time share a server that the first of them starts and that goes away after the last.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::data_dir::DataDir;
use crate::error::{Attempting, Result};
use crate::{Options, Programs, Server, Settings, random};

mod database;
mod shared;

pub use database::{TestDatabase, fresh_database};
pub use shared::shared_test_server;

/// The environment variable with the URL of a superuser on the server that all tests use.
pub const DATABASE_URL: &str = "NEXUS_TEST_DATABASE_URL";

/// A server in a folder of its own, both gone when this is dropped or its process ends by any cause.
#[derive(Debug)]
pub struct TestServer {
    server: Server,
    programs: Programs,
    options: Options,
    // Held until the server has ended: `reap.sh` waits for it.
    dir: DataDir,
}

impl TestServer {
    /// Starts a server with `settings` in the folder for temporary files.
    pub async fn start(programs: &Programs, settings: Settings) -> Result<Self> {
        let dir = DataDir::lock(env::temp_dir().join(format!("nexus-test-{}", random::hex::<6>()?)))?;
        let options = Options {
            settings,
            ..Options::default()
        };
        let server = match Server::start(programs, &dir, &options).await {
            Ok(server) => server,
            Err(error) => {
                // The error holds all there is to know; that nothing can be removed would only hide it.
                let _ = fs::remove_dir_all(dir.path());
                return Err(error);
            }
        };
        reap_after(&dir.path().join("lock"), 0, &server, dir.path())?;
        Ok(Self {
            server,
            programs: programs.clone(),
            options,
            dir,
        })
    }

    /// Ends every connection and starts again where it was, under the same address. `crash`: without writing out anything
    /// first, so that it recovers from its log as after a power cut.
    pub async fn restart(&mut self, crash: bool) -> Result<()> {
        let mode = if crash { "immediate" } else { "fast" };
        self.server.pg_ctl_stop(mode).await?;
        self.server = Server::start(&self.programs, &self.dir, &self.options).await?;
        Ok(())
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The URL of its database `nexus` for the superuser.
    pub fn url(&self) -> String {
        self.server.connection().url()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // Nothing in it is worth a checkpoint.
        let stopped = self
            .server
            .stop_command("immediate")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let home = self.server.home();
        home.remove_socket_dir();
        let removed = fs::remove_dir_all(&home.base).and_then(|()| fs::remove_dir_all(self.dir.path()));
        if let (Err(error), _) | (_, Err(error)) = (stopped, removed) {
            tracing::warn!(%error, path = %self.dir.path().display(), "a test server left something behind");
        }
    }
}

/// Stops `server` and removes `data_dir` once nobody has held the file `lock` for `linger_s` seconds. A process of its
/// own does that, since the ones that hold the lock may be killed.
fn reap_after(lock: &Path, linger_s: u32, server: &Server, data_dir: &Path) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let home = server.home();
    let mut sh = Command::new("sh");
    sh.args(["-c", include_str!("test_support/reap.sh"), "reap"]);
    sh.arg(lock)
        .arg(linger_s.to_string())
        .arg(&home.data)
        .args([data_dir, &home.base, &home.socket_dir]);
    sh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Not in our process group: what ends that must not end this.
    sh.current_dir("/")
        .process_group(0)
        .spawn()
        .map(drop)
        .attempting("run", "sh")
}

/// The folder cargo builds into, found from the running test program; the folder for temporary files without one.
fn target_dir() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    target.map_or_else(env::temp_dir, Path::to_owned)
}
