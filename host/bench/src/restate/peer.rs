//! Restate beside the work it calls: its server and the service, started and introduced to each other.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::load::Client;
use crate::native::DATABASE_URL;
use crate::nexus::free_address;

/// What is started.
#[derive(Debug, Clone, Copy)]
pub(super) struct RestateOptions<'a> {
    pub(super) server: &'a Path,
    /// As it comes when there is none.
    pub(super) config: Option<&'a Path>,
    /// For the server alone.
    pub(super) data_dir: &'a Path,
    pub(super) service: &'a Path,
    /// Where the service finds its tables.
    pub(super) database_url: &'a str,
}

/// Both processes, which end with this value.
pub(super) struct Restate {
    server: Child,
    service: Child,
    pub(super) ingress: SocketAddr,
    metrics: SocketAddr,
    pub(super) server_pid: u32,
    pub(super) service_pid: u32,
}

/// It makes its stores and elects itself first.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Between two attempts to reach a process that does not serve yet.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// Of every store, how often its log was flushed to the disk.
const WAL_SYNCED: &str = "restate_rocksdb_wal_synced_total{";

impl Restate {
    pub(super) async fn start(options: &RestateOptions<'_>) -> Result<Self> {
        let (service, service_address) = start_service(options.service, options.database_url).await?;
        let [ingress, admin, metrics] = [free_address()?, free_address()?, free_address()?];
        let log_path = options.data_dir.with_extension("log");
        let log = std::fs::File::create(&log_path).with_context(|| log_path.display().to_string())?;
        let mut command = Command::new(options.server);
        if let Some(config) = options.config {
            command.arg("--config-file").arg(config);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RESTATE_") {
                command.env_remove(name);
            }
        }
        // Everything that is not said here is as it comes: how it stores, how many partitions, what memory it may take.
        let server = command
            .args(["--no-logo", "--listen-mode", "tcp", "--base-dir"])
            .arg(options.data_dir)
            .env("RESTATE_INGRESS__BIND_ADDRESS", ingress.to_string())
            .env("RESTATE_ADMIN__BIND_ADDRESS", admin.to_string())
            .env("RESTATE_BIND_ADDRESS", metrics.to_string())
            .env("RESTATE_DISABLE_TELEMETRY", "true")
            .env("RESTATE_LOG_FILTER", "warn")
            .env("RESTATE_LOG_DISABLE_ANSI_CODES", "true")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", options.server.display()))?;
        let mut restate = Self {
            server_pid: server.id().context("a process that runs has a pid")?,
            service_pid: service.id().context("a process that runs has a pid")?,
            server,
            service,
            ingress,
            metrics,
        };
        let ready = tokio::time::timeout(START_TIMEOUT, restate.introduce(admin, service_address)).await;
        let tail = || {
            let text = std::fs::read_to_string(&log_path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(20)..].join("\n")
        };
        ready
            .with_context(|| format!("Restate did not serve within {START_TIMEOUT:?}\n{}", tail()))?
            .with_context(tail)?;
        Ok(restate)
    }

    /// Registers the service, and waits until a call of it is answered.
    async fn introduce(&mut self, admin: SocketAddr, service: SocketAddr) -> Result<()> {
        let deployment = format!(r#"{{"uri":"http://{service}"}}"#);
        self.until_answered(admin, "/deployments", &deployment).await?;
        self.until_answered(self.ingress, "/restate/call/Empty/call", "7").await
    }

    /// The server refuses what it is not ready for.
    async fn until_answered(&mut self, address: SocketAddr, path: &str, json: &str) -> Result<()> {
        loop {
            if let Ok(mut client) = Client::connect(address).await
                && client.post(path, json.to_owned()).await.is_ok()
            {
                return Ok(());
            }
            if let Some(status) = self.server.try_wait()? {
                bail!("restate-server ended with {status} before it served");
            }
            ensure!(self.service.try_wait()?.is_none(), "the service ended before it served");
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// How often its stores flushed their logs to the disk so far.
    pub(super) async fn wal_syncs(&self) -> Result<u64> {
        let metrics = Client::connect(self.metrics).await?.get("/metrics").await?;
        wal_syncs(&String::from_utf8_lossy(&metrics))
    }

    /// Ends both. What the server has stored is thrown away with its folder, so it need not tidy up.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.server.kill().await?;
        drop(self.service.stdin.take());
        self.service.wait().await?;
        Ok(())
    }
}

async fn start_service(program: &Path, database_url: &str) -> Result<(Child, SocketAddr)> {
    let mut child = Command::new(program)
        .env(DATABASE_URL, database_url)
        // It ends when this end is closed, by whatever.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let stdout = child.stdout.take().context("its output is a pipe")?;
    let mut address = String::new();
    BufReader::new(stdout).read_line(&mut address).await?;
    let address = address.trim().parse().context("the service ended before it served")?;
    Ok((child, address))
}

fn wal_syncs(metrics: &str) -> Result<u64> {
    let counts = metrics.lines().filter(|line| line.starts_with(WAL_SYNCED));
    let counts: Vec<u64> = counts
        .map(|line| {
            let (_, count) = line.rsplit_once(' ').context("a metric has a value")?;
            Ok(count.parse()?)
        })
        .collect::<Result<_>>()?;
    ensure!(
        !counts.is_empty(),
        "Restate's metrics do not tell how often it flushed its logs"
    );
    Ok(counts.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_of_all_stores_are_counted() {
        let metrics = "# TYPE restate_rocksdb_wal_synced_total counter\n\
            restate_rocksdb_wal_synced_total{node_name=\"a b\",db=\"log-server\"} 49\n\
            restate_rocksdb_wal_synced_total{node_name=\"a b\",db=\"metadata\"} 3\n\
            restate_rocksdb_wal_bytes_total{db=\"log-server\"} 29748\n";
        assert_eq!(wal_syncs(metrics).unwrap(), 52);
        assert!(wal_syncs("").is_err());
    }
}
