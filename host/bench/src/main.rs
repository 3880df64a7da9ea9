//! Benchmarks against native code, `cargo run --release -p host-bench`, and against Restate, with `-- restate`.

mod database;
mod load;
mod machine;
mod measure;
mod native;
mod nexus;
mod report;
mod restate;
mod statistics;
mod stored;
mod workspace;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use host_postgres::test_support::TestServer;
use host_postgres::{Programs, Settings};
use tempfile::TempDir;

use database::Database;
use load::Work;
use measure::Extent;
use measure::compare::{Bench, MANY_CLIENTS, Server};
use native::{Driver, Native};
use nexus::{Nexus, NexusOptions};
use report::{Conditions, Peer, Report};
use workspace::{IS_OPTIMISED, Workspace};

/// Measures the platform against native code, and prints ratios.
#[derive(Debug, Parser)]
#[command(name = "host-bench", max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Few and short rounds: does it work, and about how fast.
    #[arg(long)]
    quick: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure these alone.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Measure what was built last.
    #[arg(long)]
    no_build: bool,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// What the benchmark starts as the server to compare with.
    #[command(hide = true)]
    ServeNative {
        driver: Driver,
        #[arg(long, env = native::DATABASE_URL, hide_env_values = true)]
        database_url: String,
    },
    /// The same work on Restate and on us.
    Restate(restate::Arguments),
    /// The same work with and without millions of stored invocations.
    Stored(stored::Arguments),
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A durable POST with one transaction.
    Posts,
    /// A GET with one SELECT.
    Gets,
    /// Calls from component to component.
    Calls,
    /// Start to first answer, and memory.
    Starts,
    /// Another revision of a module, activated under load.
    Swaps,
    /// Open invocations of a host that is killed.
    Takeovers,
}

impl Arguments {
    fn includes(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The runtime ends before the process does, and with it everything that cleans up after itself.
    let outcome = match &arguments.role {
        Some(Role::ServeNative { driver, database_url }) => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("start the runtime")
            .and_then(|runtime| runtime.block_on(native::serve(*driver, database_url))),
        // One thread for all clients: they wake nobody but themselves.
        None | Some(Role::Restate(_) | Role::Stored(_)) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the runtime")
            .and_then(|runtime| runtime.block_on(run(&arguments))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let found = async {
        match &arguments.role {
            Some(Role::Restate(arguments)) => Ok((restate::run(arguments).await?, Vec::new())),
            Some(Role::Stored(arguments)) => Ok((stored::run(arguments).await?, Vec::new())),
            _ => against_native(arguments).await,
        }
    };
    let (text, failed) = tokio::select! {
        found = found => found?,
        // Dropping the measurement stops what it started.
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };
    writeln!(std::io::stdout(), "{}", text.trim_end())?;
    ensure!(failed.is_empty(), "not measured: {}", failed.join("; "));
    Ok(())
}

/// The result as text, and which parts failed.
async fn against_native(arguments: &Arguments) -> Result<(String, Vec<String>)> {
    let report = measure(arguments).await?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&report)?
    } else {
        report::render(&report)?
    };
    Ok((text, report.failed))
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let extent = if arguments.quick { Extent::QUICK } else { Extent::FULL };
    let workspace = Workspace::find()?;
    if !arguments.no_build {
        progress("building nexus and the components");
        workspace.build().await?;
    }
    progress("starting PostgreSQL");
    let programs = Programs::find_or_install(&mut |line| progress(line)).await?;
    let server = TestServer::start(&programs, Settings::default()).await?;
    let database = Database::open(&server.url()).await?;
    let scratch = scratch()?;
    let mut report = Report {
        conditions: Conditions {
            processor: machine::processor(),
            cores: machine::cores(),
            postgres: database.version().await?,
            is_durable: database.is_durable().await?,
            is_optimised: IS_OPTIMISED,
            rounds: extent.rounds,
            turn_s: extent.turn.as_secs_f64(),
            sessions: host_sql::Options::default().per_role,
        },
        comparisons: Vec::new(),
        counts: Vec::new(),
        calls: None,
        starts: Vec::new(),
        swaps: None,
        takeovers: None,
        verdicts: Vec::new(),
        failed: Vec::new(),
    };
    let url = server.url();
    if [Part::Posts, Part::Gets, Part::Calls]
        .iter()
        .any(|part| arguments.includes(*part))
    {
        let measured = side_by_side(arguments, &workspace, &server, &database, &scratch, extent, &mut report).await;
        report.keep("side by side", measured);
    }
    if arguments.includes(Part::Starts) {
        let measured = measure::starts::measure(&workspace, &url, scratch.path(), extent, &progress).await;
        report.starts = report.keep("starts", measured).unwrap_or_default();
    }
    if arguments.includes(Part::Swaps) {
        let measured = measure::swaps::measure(&workspace, &url, scratch.path(), extent, &progress).await;
        report.swaps = report.keep("swaps", measured);
    }
    if arguments.includes(Part::Takeovers) {
        let measured = measure::takeovers::measure(&workspace, &url, scratch.path(), extent, &progress).await;
        report.takeovers = report.keep("takeovers", measured);
    }
    report.judge();
    Ok(report)
}

/// What needs the servers beside one another.
async fn side_by_side(
    arguments: &Arguments,
    workspace: &Workspace,
    server: &TestServer,
    database: &Database,
    scratch: &TempDir,
    extent: Extent,
    report: &mut Report,
) -> Result<()> {
    progress("starting the servers");
    let url = server.url();
    database.create_native().await?;
    let nexus = Nexus::start(&NexusOptions {
        binary: &workspace.nexus(),
        manifest: &workspace.bench_app(),
        data_dir: &scratch.path().join("compared"),
        target_dir: workspace.target_dir(),
        database_url: Some(&url),
        probe: "/bench/item/1",
    })
    .await?;
    let with_tokio_postgres = Native::start(Driver::TokioPostgres, &url).await?;
    let with_sqlx = Native::start(Driver::Sqlx, &url).await?;
    let mut bench = Bench {
        database,
        postgres_pid: server.server().pid().context("PostgreSQL runs")?,
        servers: vec![
            Server {
                peer: Peer::Nexus,
                address: nexus.address,
                pid: nexus.pid,
            },
            native(Peer::TokioPostgres, &with_tokio_postgres),
            native(Peer::Sqlx, &with_sqlx),
        ],
        extent,
        our_orders: 0,
        native_orders: 0,
    };
    bench.check_answers().await?;
    for (part, work) in [(Part::Posts, Work::Post), (Part::Gets, Work::Get)] {
        if !arguments.includes(part) {
            continue;
        }
        for clients in [1, MANY_CLIENTS] {
            report.comparisons.push(bench.compare(work, clients, &progress).await?);
        }
        if extent.counted_requests > 0 {
            report.counts.extend(bench.count(work, &progress).await?);
        }
    }
    if arguments.includes(Part::Calls) {
        let callee = workspace.guest("guest_bench_callee.wasm");
        report.calls = Some(measure::calls::measure(nexus.address, &callee, extent, &progress).await?);
    }
    progress("checking the books");
    bench.check_books().await?;
    with_tokio_postgres.stop().await?;
    with_sqlx.stop().await?;
    nexus.stop()
}

fn native(peer: Peer, native: &Native) -> Server {
    Server {
        peer,
        address: native.address,
        pid: native.pid,
    }
}

/// A folder for data directories. A PostgreSQL that runs as another user has to pass through it.
fn scratch() -> Result<TempDir> {
    use std::os::unix::fs::PermissionsExt;

    let permissions = std::fs::Permissions::from_mode(0o711);
    tempfile::Builder::new()
        .prefix("nexus-bench-")
        .permissions(permissions)
        .tempdir()
        .context("make a temporary folder")
}

/// A line for whoever waits; standard output is for the result alone.
fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
