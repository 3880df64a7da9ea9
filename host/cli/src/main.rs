//! The `nexus` binary: arguments, environment, wiring.

mod application;
mod args;
mod background;
mod build;
mod database;
mod event_log;
mod host;
mod key_values;
mod keys;
mod metrics;
mod operate;
mod patience;
mod request_counter;
mod sockets;
mod statements;
mod stop;
mod target;
mod traces;
mod up;
mod verbs;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use args::{Cli, Verb};
use clap::Parser;

/// A request allocates on one thread what another frees: the C library's allocator makes them wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log(cli.json);
    raise_descriptors();
    #[cfg(feature = "crash-points")]
    arm();
    let json = cli.json;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if json {
                let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
                print_line(&serde_json::json!({ "error": chain.join(": ") }).to_string());
            } else {
                let _ = writeln!(std::io::stderr(), "error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(cli: Cli) -> Result<()> {
    let json = cli.json;
    match cli.verb {
        Verb::Up(args) => up::up(args, json).await,
        Verb::Build(args) => build::build(&application::Application::load(&args.manifest)?, json),
        Verb::Check(args) => verbs::check::check(args, json).await,
        Verb::Migrate(args) => verbs::migrate::migrate(args, json).await,
        Verb::Seed(args) => verbs::seed::seed(&up::Ready::of(&args.data_dir)?, json).await,
        Verb::Deploy(args) => verbs::deploy::deploy(args, json).await,
        Verb::Rollback(args) => verbs::deploy::rollback(args, json).await,
        Verb::Components(args) => verbs::components::list(args, json).await,
        Verb::Nodes(args) => verbs::nodes::list(args, json).await,
        Verb::Invocations(args) => verbs::invocations::invocations(args, json).await,
        Verb::Replay(args) => verbs::replay::replay(args, json).await,
        Verb::Events(args) => verbs::events::events(args, json).await,
        Verb::Promises(args) => verbs::promises::promises(args, json).await,
        Verb::Audit(args) => verbs::audit::audit(args, json).await,
        Verb::Keys(args) => verbs::keys::keys(args, json).await,
        Verb::Doctor(args) => verbs::doctor::doctor(args, json).await,
    }
}

/// `NEXUS_DIE_AT` and `NEXUS_FREEZE_AT` name the point, counted from 1 among all or among those of a kind, at which a test wants that to happen.
#[cfg(feature = "crash-points")]
fn arm() {
    use host_recorder::crash::{At, What, arm};

    for (variable, what) in [("NEXUS_DIE_AT", What::Die), ("NEXUS_FREEZE_AT", What::Freeze)] {
        if let Some(at) = std::env::var(variable).ok().and_then(|text| At::parse(&text)) {
            arm(what, at);
        }
    }
}

/// A stream to a client is a connection, and many systems begin a process with 1024 descriptors of all that it may have.
fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // As it was will do for a while.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Structured lines on standard error; `NEXUS_LOG` chooses what is logged, as `tracing` filters are written.
fn log(json: bool) {
    let filter = std::env::var("NEXUS_LOG").unwrap_or_else(|_| "info,sqlx::postgres::notice=warn".into());
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        subscriber.json().init()
    } else {
        subscriber.compact().init()
    }
}

/// A line on standard output; a closed pipe is the reader's choice, not an error.
fn print_line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
