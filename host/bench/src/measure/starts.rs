//! From the start of a process to its first answer, everything built, compiled and migrated; and the memory it then has.

use std::path::Path;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use host_postgres::test_support::TestDatabase;

use super::Extent;
use crate::load::Client;
use crate::machine::resident_bytes;
use crate::nexus::{Nexus, NexusOptions};
use crate::report::Start;
use crate::statistics::median;
use crate::workspace::Workspace;

/// Before its memory is looked at.
const REQUESTS: usize = 1000;
const CLIENTS: usize = 8;

/// The application, as it is called in the report, and a route of it that reads the database.
struct App {
    name: &'static str,
    manifest: std::path::PathBuf,
    /// Asked as often as the host answers: not one that is limited.
    probe: &'static str,
}

/// Both applications, on a database by URL and on a private one that a killed process left behind. `scratch` is removed by the
/// caller.
pub(crate) async fn measure(
    workspace: &Workspace,
    server_url: &str,
    scratch: &Path,
    extent: Extent,
    progress: &dyn Fn(&str),
) -> Result<Vec<Start>> {
    let apps = [
        App {
            name: "marketplace",
            manifest: workspace.marketplace(),
            probe: "/api/v1/catalog/product-sku?spu_id=01900000-0000-7000-8000-000000000001",
        },
        App {
            name: "benchmark",
            manifest: workspace.bench_app(),
            probe: "/bench/item/1",
        },
    ];
    let mut starts = Vec::new();
    for app in &apps {
        let database = TestDatabase::create(server_url, "bench_start").await?;
        for (title, database_url) in [("by URL", Some(database.url())), ("private, adopted", None)] {
            progress(&format!("starting the {} application, database {title}", app.name));
            let data_dir = scratch.join(format!(
                "{}-{}",
                app.name,
                if database_url.is_some() { "url" } else { "private" }
            ));
            let options = NexusOptions {
                binary: &workspace.nexus(),
                manifest: &app.manifest,
                data_dir: &data_dir,
                target_dir: workspace.target_dir(),
                database_url,
                probe: app.probe,
            };
            starts.push(start(app, title, &options, extent).await?);
        }
    }
    Ok(starts)
}

async fn start(app: &App, database: &'static str, options: &NexusOptions<'_>, extent: Extent) -> Result<Start> {
    // Compiles, migrates, makes the cluster.
    let mut nexus = Nexus::start(options).await?;
    let mut first_answers = Vec::new();
    for _ in 0..extent.starts {
        match options.database_url {
            Some(_) => nexus.stop()?,
            // Only a killed process leaves its PostgreSQL running.
            None => nexus.kill()?,
        }
        nexus = Nexus::start(options).await?;
        first_answers.push(nexus.first_answer_ms);
    }
    let resident_idle = resident_bytes(nexus.pid)?;
    try_join_all((0..CLIENTS).map(|_| ask(&nexus, app.probe))).await?;
    let resident = resident_bytes(nexus.pid)?;
    nexus.stop()?;
    Ok(Start {
        application: app.name,
        database,
        slowest_ms: first_answers.iter().copied().fold(0.0, f64::max),
        first_answer_ms: median(first_answers).context("the process was started")?,
        resident_idle_mib: resident_idle as f64 / f64::from(1 << 20),
        resident_mib: resident as f64 / f64::from(1 << 20),
        requests: REQUESTS,
    })
}

async fn ask(nexus: &Nexus, path: &str) -> Result<()> {
    let mut client = Client::connect(nexus.address).await?;
    for _ in 0..REQUESTS / CLIENTS {
        client.get(path).await?;
    }
    Ok(())
}
