//! `nexus up`: toolchain, PostgreSQL, build, migrate, serve, stop.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use host_postgres::DataDir;
use serde::{Deserialize, Serialize};

use crate::application::Application;
use crate::args::UpArgs;
use crate::build;
use crate::database::Database;
use crate::host::{Host, HostOptions};
use crate::patience;
use crate::sockets::Sockets;
use crate::stop::{Asked, StopSignals};
use crate::verbs::seed;

/// The file of the data directory that says where its host is reached.
const READY: &str = "ready.json";

/// Where a running host is reached: the ready file's contents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) url: String,
    pub(crate) admin_url: String,
    pub(crate) admin_token: String,
    pub(crate) pid: u32,
}

impl Ready {
    /// Of the host on this data directory.
    pub(crate) fn of(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(READY);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "no host is running on {}: start one with `nexus up`, or name its folder with --data-dir",
                data_dir.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    fn write(&self, path: &Path) -> Result<()> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;

        // Whoever waits for the file must never read half of it; it holds a token, so it is for its owner alone.
        let temporary = path.with_extension("tmp");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        writeln!(file, "{}", serde_json::to_string(self)?)?;
        std::fs::rename(&temporary, path).with_context(|| path.display().to_string())
    }
}

/// Serves until SIGTERM or SIGINT; a second one ends the process at once.
pub(crate) async fn up(args: UpArgs, json: bool) -> Result<()> {
    raise_descriptor_limit();
    let application = Application::load(&args.application.manifest)?;
    let lease = Duration::from_secs(args.lease_seconds);
    patience::check(&application.app, lease)?;
    let named = args.database.url()?;
    let data_dir = DataDir::lock(&args.application.data_dir)?;
    let ready_path = data_dir.path().join(READY);
    // Left behind by a host that was killed: nobody listens there.
    let _ = std::fs::remove_file(&ready_path);

    if !args.no_build {
        build::build(&application, json)?;
    }
    // Before there is a database: what cannot be served starts and migrates nothing.
    let checked = application.check(data_dir.path()).await?;
    let sockets = Sockets::reserve(args.listen, args.admin)?;
    let stop = StopSignals::listen()?;
    let database = Database::open(named, &data_dir, &stop, json).await?;
    let database_url = database.url();
    let options = HostOptions {
        application: &application,
        checked,
        data_dir: data_dir.path(),
        database_url: &database_url,
        sockets,
        trusted_proxies: args.trusted_proxies.iter().copied().collect(),
        lease,
        retention: Duration::from_secs(args.retention_hours * 3_600),
        is_restored: args.restored,
    };
    let served = serve(options, &args, &stop, json).await;
    let _ = std::fs::remove_file(&ready_path);
    database.close(served).await
}

/// From a database to the host's end.
async fn serve(options: HostOptions<'_>, args: &UpArgs, stop: &StopSignals, json: bool) -> Result<()> {
    let ready_path = options.data_dir.join(READY);
    // Given up in the middle it has begun nothing for anybody: that it runs as a node is seen by others when its lease ends.
    let host = tokio::select! {
        host = Host::start(options) => host?,
        _ = stop.asked() => {
            tracing::info!("stopping before anything was served");
            return Ok(());
        }
    };
    let ready = Ready {
        url: host.url.clone(),
        admin_url: host.admin_url.clone(),
        admin_token: host.admin_token.clone(),
        pid: std::process::id(),
    };
    ready.write(&ready_path)?;
    if let Some(path) = &args.ready_file {
        ready.write(path)?;
    }
    let grace = tokio::select! {
        asked = stop.asked() => match asked {
            Asked::Terminate => Duration::from_millis(args.drain_grace_ms),
            // Nobody sends requests here who would have to hear of it.
            Asked::Interrupt => Duration::ZERO,
        },
        failed = until_it_fails(&host, &ready, args.seed, json) => return failed,
    };
    tracing::info!("stopping: no new requests, finishing what has begun");
    let _ = std::fs::remove_file(&ready_path);
    host.stop(grace).await
}

/// Connections are bounded by the host; where a shell allows fewer files than that, accepting them would fail instead.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the number of open files stays as it is");
    }
}

/// Ends only in failure.
async fn until_it_fails(host: &Host, ready: &Ready, seeds: bool, json: bool) -> Result<()> {
    if seeds {
        seed::seed(ready, json).await?;
    }
    announce(ready, json);
    host.lease_lost().await;
    anyhow::bail!("another node has taken over from this one, which was silent for too long: start it again")
}

fn announce(ready: &Ready, json: bool) {
    if json {
        crate::print_line(
            &serde_json::json!({ "url": ready.url, "admin_url": ready.admin_url, "pid": ready.pid }).to_string(),
        );
    } else {
        crate::print_line(&format!(
            "\n  the marketplace   {}\n  operators         {}\n",
            ready.url, ready.admin_url
        ));
        crate::print_line("  try: nexus seed, then nexus invocations list; Ctrl-C stops\n");
    }
}
