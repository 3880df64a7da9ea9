//! A `nexus` process: started, waited for until it answers, stopped.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use host_admin::AdminClient;
use host_types::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::load::Client;

/// What is started.
#[derive(Debug, Clone)]
pub(crate) struct NexusOptions<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) manifest: &'a Path,
    pub(crate) data_dir: &'a Path,
    /// Where cargo put the components.
    pub(crate) target_dir: &'a Path,
    /// The private PostgreSQL of the data directory when there is none.
    pub(crate) database_url: Option<&'a str>,
    /// What is asked for until it is answered.
    pub(crate) probe: &'a str,
}

/// A process that has answered.
pub(crate) struct Nexus {
    child: Child,
    has_private_server: bool,
    data_dir: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    /// From the start of the process to its first answer.
    pub(crate) first_answer_ms: f64,
}

/// What it writes of itself once it serves.
#[derive(Deserialize)]
struct Ready {
    admin_url: String,
    admin_token: String,
}

/// A first start compiles every component, and may create a database cluster.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// Between two attempts to connect to a process that does not listen yet. It is the error of the figure.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

impl Nexus {
    pub(crate) async fn start(options: &NexusOptions<'_>) -> Result<Self> {
        let address = free_address()?;
        let log = Log {
            path: options.data_dir.with_extension("log"),
        };
        let mut command = Command::new(options.binary);
        command
            .args([
                "up",
                "--no-build",
                "--admin",
                "127.0.0.1:0",
                "--listen",
                &address.to_string(),
                "--manifest",
            ])
            .arg(options.manifest)
            .arg("--data-dir")
            .arg(options.data_dir)
            .env("CARGO_TARGET_DIR", options.target_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.append()?);
        match options.database_url {
            Some(url) => command.env("NEXUS_DATABASE_URL", url),
            None => command.env_remove("NEXUS_DATABASE_URL"),
        };
        let began = SystemClock.boot_ns();
        let child = command
            .spawn()
            .with_context(|| format!("start {}", options.binary.display()))?;
        let has_private_server = options.database_url.is_none();
        let pid = child.id();
        let mut nexus = Self {
            child,
            has_private_server,
            data_dir: options.data_dir.to_owned(),
            address,
            pid,
            first_answer_ms: 0.0,
        };
        let answered = tokio::time::timeout(START_TIMEOUT, nexus.answers(options.probe, &log)).await;
        answered.with_context(|| format!("nexus did not answer within {START_TIMEOUT:?}\n{}", log.tail()))??;
        nexus.first_answer_ms = (SystemClock.boot_ns() - began) as f64 / 1e6;
        Ok(nexus)
    }

    async fn answers(&mut self, probe: &str, log: &Log) -> Result<()> {
        loop {
            if let Ok(mut client) = Client::connect(self.address).await {
                client.get(probe).await.with_context(|| log.tail())?;
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("nexus ended with {status} before it served:\n{}", log.tail());
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// A client of its admin port.
    pub(crate) async fn admin(&self) -> Result<AdminClient> {
        let path = self.data_dir.join("ready.json");
        let written = async {
            // It may have answered before it has written where its operators come in.
            while !path.exists() {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        };
        let written = tokio::time::timeout(START_TIMEOUT, written).await;
        written.with_context(|| format!("{} was not written within {START_TIMEOUT:?}", path.display()))?;
        let ready: Ready = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        Ok(AdminClient::new(&ready.admin_url, &ready.admin_token)?)
    }

    /// The data directory of another node on the same database: it has the same key.
    pub(crate) fn second_data_dir(&self, path: &Path) -> Result<()> {
        const KEY: &str = "master.key";
        std::fs::create_dir_all(path)?;
        std::fs::copy(self.data_dir.join(KEY), path.join(KEY))?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has; a private PostgreSQL stops with it.
    pub(crate) fn stop(mut self) -> Result<()> {
        terminate(&self.child)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("nexus ended with {status} when asked to stop");
        }
        Ok(())
    }

    /// SIGKILL; a private PostgreSQL goes on.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.has_private_server = false;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Nexus {
    fn drop(&mut self) {
        // Nothing is left to report to. A private server would outlive a killed process.
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = if self.has_private_server {
            terminate(&self.child)
        } else {
            self.child.kill().map_err(Into::into)
        };
        let _ = self.child.wait();
    }
}

struct Log {
    path: PathBuf,
}

impl Log {
    fn append(&self) -> Result<std::fs::File> {
        let file = std::fs::File::options().create(true).append(true).open(&self.path);
        file.with_context(|| self.path.display().to_string())
    }

    /// The last lines, for an error.
    fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn terminate(child: &Child) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(child.id())?).context("a process has a pid")?;
    Ok(kill_process(pid, Signal::TERM)?)
}

/// Known beforehand, so that the first attempt to connect need not wait for the process to say where it listens.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
