//! A server for a while: for tests and benchmarks, and to try on it what must not be tried on one that somebody uses.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::data_dir::DataDir;
use crate::error::{Attempting, Result};
use crate::{Options, Programs, Server, Settings, random};

/// A server in a folder of its own, both gone when this is dropped or its process ends by any cause.
#[derive(Debug)]
pub struct TemporaryServer {
    server: Server,
    programs: Programs,
    options: Options,
    // Held until the server has ended: `reap.sh` waits for it.
    dir: DataDir,
}

impl TemporaryServer {
    /// Starts a server with `settings` in the folder for temporary files.
    pub async fn start(programs: &Programs, settings: Settings) -> Result<Self> {
        let dir = DataDir::lock(env::temp_dir().join(format!("nexus-temporary-{}", random::hex::<6>()?)))?;
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

    /// Starts again where it was, and is told these settings from then on besides those it began with.
    pub(crate) async fn restart_with<const N: usize>(&mut self, settings: [(&str, String); N]) -> Result<()> {
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        self.options.settings.extra.extend(settings);
        self.restart(false).await
    }

    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its folder, which goes with it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The URL of its database `nexus` for the superuser.
    pub fn url(&self) -> String {
        self.server.connection().url()
    }
}

impl Drop for TemporaryServer {
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
            tracing::warn!(%error, path = %self.dir.path().display(), "a temporary server left something behind");
        }
    }
}

/// Stops `server` and removes `data_dir` once nobody has held the file `lock` for `linger_s` seconds. A process of its
/// own does that, since the ones that hold the lock may be killed.
pub(crate) fn reap_after(lock: &Path, linger_s: u32, server: &Server, data_dir: &Path) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let home = server.home();
    let mut sh = Command::new("sh");
    sh.args(["-c", include_str!("temporary/reap.sh"), "reap"]);
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
