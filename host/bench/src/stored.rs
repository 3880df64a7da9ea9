//! What an invocation costs when ten million are stored, and what a hundred thousand suspended ones cost while they wait: the same load on an
//! empty database and on a full one, one after the other in one run.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use host_postgres::test_support::TestServer;
use host_postgres::{Programs, Settings};
use serde::Serialize;

use crate::database::Database;
use crate::load::{self, Load, Sample, Until, Work};
use crate::nexus::{Nexus, NexusOptions};
use crate::statistics::median;
use crate::workspace::{IS_OPTIMISED, Workspace};
use crate::{machine, progress, scratch};

/// Measures posts with and without millions of stored invocations, and what suspended ones cost.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Completed invocations, one entry each.
    #[arg(long, default_value_t = 10_000_000)]
    invocations: u64,
    /// Suspended ones that wait for a promise.
    #[arg(long, default_value_t = 100_000)]
    suspended: u64,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    /// Measure what was built last.
    #[arg(long)]
    no_build: bool,
}

const ROUNDS: usize = 5;
const TURN: Duration = Duration::from_secs(3);
const MANY_CLIENTS: usize = 32;
/// How long an idle host is watched.
const IDLE: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize)]
struct Report {
    is_optimised: bool,
    invocations: u64,
    suspended: u64,
    posts: Vec<Posts>,
    idle: Vec<Idle>,
}

/// Posts of so many clients.
#[derive(Debug, Serialize)]
struct Posts {
    clients: usize,
    per_second_empty: f64,
    per_second_full: f64,
    p50_us_empty: f64,
    p50_us_full: f64,
    throughput_ratio: f64,
}

/// A host that nobody asks for anything.
#[derive(Debug, Serialize)]
struct Idle {
    suspended: u64,
    resident_mib: f64,
    host_cpu_ms_per_s: f64,
    database_cpu_ms_per_s: f64,
    commits_per_s: f64,
}

/// The result as text.
pub(crate) async fn run(arguments: &Arguments) -> Result<String> {
    let report = measure(arguments).await?;
    if arguments.json {
        return Ok(serde_json::to_string_pretty(&report)?);
    }
    let mut text = format!(
        "{} invocations stored, optimised: {}\n",
        report.invocations, report.is_optimised
    );
    for posts in &report.posts {
        text += &format!(
            "posts, {:>2} clients   empty {:>7.0}/s p50 {:>7.0} us   full {:>7.0}/s p50 {:>7.0} us   ratio {:.2}\n",
            posts.clients,
            posts.per_second_empty,
            posts.p50_us_empty,
            posts.per_second_full,
            posts.p50_us_full,
            posts.throughput_ratio
        );
    }
    for idle in &report.idle {
        text += &format!(
            "idle, {:>6} suspended   {:>6.1} MiB   {:.1} ms of processor per s, PostgreSQL {:.1}   {:.1} commits per s\n",
            idle.suspended, idle.resident_mib, idle.host_cpu_ms_per_s, idle.database_cpu_ms_per_s, idle.commits_per_s
        );
    }
    Ok(text)
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let workspace = Workspace::find()?;
    if !arguments.no_build {
        progress("building nexus and the components");
        workspace.build().await?;
    }
    progress("starting PostgreSQL and nexus");
    let programs = Programs::find_or_install(&mut |line| progress(line)).await?;
    let server = TestServer::start(&programs, Settings::default()).await?;
    let database = Database::open(&server.url()).await?;
    ensure!(database.is_durable().await?, "PostgreSQL does not wait for the disk");
    let scratch = scratch()?;
    let url = server.url();
    let options = NexusOptions {
        binary: &workspace.nexus(),
        manifest: &workspace.bench_app(),
        data_dir: &scratch.path().join("stored"),
        target_dir: workspace.target_dir(),
        database_url: Some(&url),
        probe: "/bench/item/1",
    };
    let nexus = Nexus::start(&options).await?;
    progress("posts on an empty database");
    let empty = posts(&nexus, &database).await?;
    progress(&format!("storing {} invocations", arguments.invocations));
    database.store_completed(arguments.invocations).await?;
    database.tidy().await?;
    progress("posts on a full one");
    let full = posts(&nexus, &database).await?;
    nexus.stop()?;

    let mut idle = Vec::new();
    for suspended in [0, arguments.suspended] {
        progress(&format!("an idle host beside {suspended} suspended invocations"));
        database.store_suspended(suspended).await?;
        database.tidy().await?;
        let nexus = Nexus::start(&options).await?;
        let database_pid = server.server().pid().context("PostgreSQL runs")?;
        idle.push(watch(&nexus, (&database, database_pid), suspended).await?);
        nexus.stop()?;
    }
    let posts = empty.into_iter().zip(full).map(|((clients, empty), (_, full))| Posts {
        clients,
        per_second_empty: empty.0,
        per_second_full: full.0,
        p50_us_empty: empty.1,
        p50_us_full: full.1,
        throughput_ratio: full.0 / empty.0,
    });
    Ok(Report {
        is_optimised: IS_OPTIMISED,
        invocations: arguments.invocations,
        suspended: arguments.suspended,
        posts: posts.collect(),
        idle,
    })
}

/// Per number of clients: requests per second and the median latency, each the median of the rounds.
async fn posts(nexus: &Nexus, database: &Database) -> Result<Vec<(usize, (f64, f64))>> {
    let turn = async |clients, seed| -> Result<Sample> {
        let work = Load {
            work: Work::Post,
            clients,
            until: Until::Passed(TURN),
            seed,
        };
        load::run(nexus.address, work).await
    };
    // Sessions are opened, statements prepared, pages read.
    turn(MANY_CLIENTS, 0).await?;
    database.tidy().await?;
    let mut measured = Vec::new();
    for clients in [1, MANY_CLIENTS] {
        let mut samples = Vec::new();
        for round in 1..=ROUNDS {
            samples.push(turn(clients, round as u64).await?);
        }
        let per_second = median(samples.iter().map(|sample| sample.per_second));
        let p50_us = median(samples.iter().map(|sample| sample.p50_us));
        measured.push((clients, (per_second.context("a rate")?, p50_us.context("a latency")?)));
    }
    Ok(measured)
}

async fn watch(nexus: &Nexus, (database, database_pid): (&Database, u32), suspended: u64) -> Result<Idle> {
    // The upkeep of a start is over before the statistics are in.
    let before = database.committed().await?;
    let used_us = || anyhow::Ok((machine::cpu_us(nexus.pid)?, machine::cpu_of_family_us(database_pid)?));
    let ((host_us, database_us), began) = (used_us()?, tokio::time::Instant::now());
    tokio::time::sleep(IDLE).await;
    let (host_until_us, database_until_us) = used_us()?;
    let after = database.committed().await?;
    let passed_s = began.elapsed().as_secs_f64();
    Ok(Idle {
        suspended,
        resident_mib: machine::resident_bytes(nexus.pid)? as f64 / f64::from(1 << 20),
        host_cpu_ms_per_s: (host_until_us - host_us) as f64 / 1e3 / passed_s,
        // Less than before, when a session ends during the look.
        database_cpu_ms_per_s: database_until_us.saturating_sub(database_us) as f64 / 1e3 / passed_s,
        commits_per_s: (after.commits - before.commits) as f64 / passed_s,
    })
}
