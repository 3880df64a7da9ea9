//! The comparison with Restate: the same work on both, side by side.

mod install;
mod market;
mod peer;
mod report;
mod rounds;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use host_postgres::test_support::TestServer;
use host_postgres::{Programs, Settings};

use crate::database::Database;
use crate::nexus::{Nexus, NexusOptions};
use crate::workspace::{IS_OPTIMISED, Workspace};
use crate::{machine, progress, scratch};
use market::{Side, Work};
use peer::{Restate, RestateOptions};
use report::{Books, Conditions, Report};
use rounds::{Contestant, Extent};

/// Measures the platform against Restate on the same work, and prints ratios.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Few and short rounds: does it work, and about how fast.
    #[arg(long)]
    quick: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure these alone.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Work>,
    /// How many clients at once, one measurement each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 256])]
    clients: Vec<usize>,
    /// Measure what was built last.
    #[arg(long)]
    no_build: bool,
    /// The program of Restate's server, instead of the one that is installed from npm.
    #[arg(long, value_name = "PATH")]
    restate_server: Option<PathBuf>,
    /// Restate's configuration, instead of how it comes.
    #[arg(long, value_name = "FILE")]
    restate_config: Option<PathBuf>,
}

/// The result as text.
pub(crate) async fn run(arguments: &Arguments) -> Result<String> {
    let report = measure(arguments).await?;
    Ok(match arguments.json {
        true => serde_json::to_string_pretty(&report)?,
        false => table::render(&report)?,
    })
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let extent = if arguments.quick { Extent::QUICK } else { Extent::FULL };
    let works = match arguments.only.as_slice() {
        [] => &[Work::Empty, Work::Chain, Work::Checkout],
        only => only,
    };
    let workspace = Workspace::find()?;
    let program = match &arguments.restate_server {
        Some(program) => program.clone(),
        None => install::program(&workspace.cache_dir(), &progress).await?,
    };
    let restate_version = install::version(&program).await?;
    if !arguments.no_build {
        progress("building nexus, the components, and the service on Restate");
        workspace.build_comparison().await?;
    }
    progress("starting two PostgreSQL, nexus, and Restate");
    let programs = Programs::find_or_install(&mut |line| progress(line)).await?;
    let our_server = TestServer::start(&programs, Settings::default()).await?;
    let their_server = TestServer::start(&programs, Settings::default()).await?;
    let our_database = Database::open(&our_server.url()).await?;
    let their_database = Database::open(&their_server.url()).await?;
    their_database.create_market().await?;
    let scratch = scratch()?;
    let nexus = Nexus::start(&NexusOptions {
        binary: &workspace.nexus(),
        manifest: &workspace.market_app(),
        data_dir: &scratch.path().join("nexus"),
        target_dir: workspace.target_dir(),
        database_url: Some(&our_server.url()),
        probe: "/health",
    })
    .await?;
    let restate = Restate::start(&RestateOptions {
        server: &program,
        config: arguments.restate_config.as_deref(),
        data_dir: &scratch.path().join("restate"),
        service: &workspace.restate_service(),
        database_url: &their_server.url(),
    })
    .await?;
    let mut sides = [
        Contestant {
            side: Side::Nexus,
            address: nexus.address,
            server_pid: nexus.pid,
            service_pid: None,
            postgres_pid: our_server.server().pid().context("PostgreSQL runs")?,
            database: &our_database,
            log: None,
            checkouts: 0,
        },
        Contestant {
            side: Side::Restate,
            address: restate.ingress,
            server_pid: restate.server_pid,
            service_pid: Some(restate.service_pid),
            postgres_pid: their_server.server().pid().context("PostgreSQL runs")?,
            database: &their_database,
            log: Some(&restate),
            checkouts: 0,
        },
    ];
    for side in &mut sides {
        side.check_answers(works).await?;
    }
    let mut compared = Vec::new();
    for &work in works {
        for &clients in &arguments.clients {
            compared.push(rounds::compare(&mut sides, work, clients, extent, &progress).await?);
        }
    }
    progress("checking the books");
    let books = check_books(&sides).await?;
    let conditions = Conditions {
        processor: machine::processor(),
        cores: machine::cores(),
        restate: restate_version,
        is_restate_configured: arguments.restate_config.is_some(),
        postgres: our_database.version().await?,
        is_durable: our_database.is_durable().await? && their_database.is_durable().await?,
        is_optimised: IS_OPTIMISED,
        rounds: extent.rounds,
        turn_s: extent.turn.as_secs_f64(),
    };
    restate.stop().await?;
    nexus.stop()?;
    Ok(Report {
        conditions,
        verdicts: report::verdicts(&compared),
        compared,
        books,
    })
}

/// Every checkout that was answered is in the books of its side: once in ours, at least once in Restate's, which may do a
/// transaction again whose end it did not learn.
async fn check_books(sides: &[Contestant<'_>; 2]) -> Result<Books> {
    let mut repeated_by_restate = 0;
    for side in sides {
        let market = side.database.market().await?;
        ensure!(
            market.taken == 2 * market.reservations,
            "{:?}: {} reservations of two each took {} items",
            side.side,
            market.reservations,
            market.taken
        );
        for done in [market.reservations, market.purchases] {
            let surplus = u64::try_from(done)?.checked_sub(side.checkouts).with_context(|| {
                format!(
                    "{:?}: {} checkouts were answered, and {done} are there",
                    side.side, side.checkouts
                )
            })?;
            match side.side {
                Side::Nexus => ensure!(surplus == 0, "nexus did {surplus} transactions twice"),
                Side::Restate => repeated_by_restate += surplus,
            }
        }
    }
    let [nexus, restate] = sides.each_ref().map(|side| side.checkouts);
    Ok(Books {
        nexus,
        restate,
        repeated_by_restate,
    })
}
