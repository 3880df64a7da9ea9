//! Developer tasks. `cargo xtask test` is all a contributor has to type: it installs what it needs, starts a PostgreSQL
//! of its own, builds the guests, and runs every check and test.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use host_postgres::test_support::{DATABASE_URL, TestServer};
use host_postgres::{Programs, Settings};

mod step;
mod toolchain;
mod workspace;

use step::{Steps, Stopped};
use workspace::Workspace;

/// Where the tests find the built guests.
const COMPONENTS_DIR: &str = "NEXUS_COMPONENTS_DIR";
/// The host that the marketplace's tests start.
const NEXUS_BINARY: &str = "NEXUS_BINARY";
/// The host that a release replaces.
const NEXUS_BINARY_BEFORE: &str = "NEXUS_BINARY_BEFORE";
/// Packages whose documentation has examples that are compiled.
const WITH_EXAMPLES: [&str; 3] = ["host-postgres", "host-testing", "sdk"];
/// What their dependencies have in the whole workspace, and would not have without these.
const EXAMPLE_FEATURES: &str = "sdk/outbound,sdk/webhook";
/// What nextest is told: how many tests may run at once.
const TEST_THREADS: &str = "NEXTEST_TEST_THREADS";
/// What the chaos test is told: how long, and the seed of its faults.
const CHAOS_SECONDS: &str = "NEXUS_TEST_CHAOS_SECONDS";
const CHAOS_SEED: &str = "NEXUS_TEST_CHAOS_SEED";

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Format check, clippy and all tests, with everything they need
    Test(TestArguments),
    /// The same with the output of a build machine
    Ci(TestArguments),
    /// Format the whole workspace
    Fmt,
    /// Build the components and test guests to WebAssembly
    Guests,
    /// A release under load: nodes of another revision are replaced, one after the other, by nodes of this one
    Upgrade(UpgradeArguments),
    /// Two hosts on one database while people trade, killed, frozen and their database crashed at random; then the books are checked
    Chaos(ChaosArguments),
}

#[derive(Args)]
struct ChaosArguments {
    /// How long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=15))]
    minutes: u64,
    /// The seed that a failure printed
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Args)]
struct UpgradeArguments {
    /// What git knows the version before as
    #[arg(long)]
    from: String,
}

#[derive(Args)]
struct TestArguments {
    /// Only tests whose name contains one of these
    filters: Vec<OsString>,
    /// Skip the format check and clippy
    #[arg(long)]
    no_lint: bool,
    /// Arguments for nextest itself, such as `-- -p host-journal`
    #[arg(last = true)]
    nextest: Vec<OsString>,
}

fn main() -> ExitCode {
    let task = Arguments::parse().task;
    // The runtime ends before the process does, and with it everything that cleans up after itself.
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")
        .and_then(|runtime| runtime.block_on(run(task)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Stopped>() {
            // The program has said what is wrong, and its words should be the last.
            Some(stopped) => ExitCode::from(stopped.code()),
            None => {
                step::complain(&error);
                ExitCode::FAILURE
            }
        },
    }
}

async fn run(task: Task) -> anyhow::Result<()> {
    let mut steps = Steps::begin()?;
    let workspace = Workspace::load(&mut steps).await?;
    match task {
        Task::Test(arguments) => test(&mut steps, &workspace, arguments, "default").await,
        Task::Ci(arguments) => test(&mut steps, &workspace, arguments, "ci").await,
        Task::Fmt => steps.run("format", workspace.cargo(["fmt", "--all"])).await,
        Task::Guests => {
            toolchain::check(&mut steps, &workspace).await?;
            build_guests(&mut steps, &workspace).await
        }
        Task::Upgrade(arguments) => upgrade(&mut steps, &workspace, &arguments).await,
        Task::Chaos(arguments) => chaos(&mut steps, &workspace, &arguments).await,
    }
}

async fn test(steps: &mut Steps, workspace: &Workspace, arguments: TestArguments, profile: &str) -> anyhow::Result<()> {
    toolchain::check(steps, workspace).await?;
    toolchain::nextest(steps, workspace).await?;
    // Cheap and often the reason: first.
    if !arguments.no_lint {
        steps
            .run("format check", workspace.cargo(["fmt", "--all", "--check"]))
            .await?;
    }
    let server = start_server(steps).await?;
    build_guests(steps, workspace).await?;
    if !arguments.no_lint {
        let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        steps.run("clippy", workspace.cargo(clippy)).await?;
    }

    let binary = build_nexus(steps, workspace).await?;
    // Who chooses tests means nextest's.
    if arguments.filters.is_empty() && arguments.nextest.is_empty() {
        test_examples(steps, workspace).await?;
    }
    let mut nextest = workspace.cargo(["nextest", "run", "--profile", profile]);
    // Beside it, `--package` would choose nothing: every test of the workspace would be built.
    let chooses = |argument: &OsString| argument == "-p" || argument == "--package";
    if !arguments.nextest.iter().any(chooses) {
        nextest.arg("--workspace");
    }
    nextest.args(arguments.nextest).args(arguments.filters);
    if std::env::var_os(TEST_THREADS).is_none() {
        nextest.env(TEST_THREADS, test_threads().to_string());
    }
    nextest
        .env(DATABASE_URL, server.url())
        .env(COMPONENTS_DIR, workspace.guests_dir())
        .env(NEXUS_BINARY, binary);
    let outcome = steps.run("tests", nextest).await;
    drop(server);
    outcome
}

/// The examples in documentation, which nextest leaves out.
async fn test_examples(steps: &mut Steps, workspace: &Workspace) -> anyhow::Result<()> {
    // The host has no library and so no examples. It and the features are there so that dependencies are those that the tests have: none is built
    // twice. Not `--workspace`: told `--doc`, cargo tests the components as well, whatever their `doctest` says.
    let mut test = workspace.cargo(["test", "--doc", "--quiet", "--package", "host-cli"]);
    test.args(["--features", EXAMPLE_FEATURES]);
    for package in WITH_EXAMPLES {
        test.args(["--package", package]);
    }
    steps.run("examples in documentation", test).await
}

/// How many tests run side by side: half as many more than there are processors, since most wait for a database half of their time. Those that would
/// disturb each other say so in `.config/nextest.toml`.
fn test_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors * 3).div_ceil(2)
}

/// The test of that name, for longer than with all the others. Its database is its own.
async fn chaos(steps: &mut Steps, workspace: &Workspace, arguments: &ChaosArguments) -> anyhow::Result<()> {
    toolchain::check(steps, workspace).await?;
    toolchain::nextest(steps, workspace).await?;
    Programs::find_or_install(&mut step::echo).await?;
    build_guests(steps, workspace).await?;
    let binary = build_nexus(steps, workspace).await?;
    let mut nextest = workspace.cargo(["nextest", "run", "--workspace", "--test", "chaos"]);
    nextest
        .arg("--no-capture")
        .env(COMPONENTS_DIR, workspace.guests_dir())
        .env(NEXUS_BINARY, binary)
        .env(CHAOS_SECONDS, (arguments.minutes * 60).to_string());
    if let Some(seed) = arguments.seed {
        nextest.env(CHAOS_SEED, seed.to_string());
    }
    steps
        .run(&format!("chaos, {} minutes", arguments.minutes), nextest)
        .await
}

/// The test of rolling restarts, with another version before.
async fn upgrade(steps: &mut Steps, workspace: &Workspace, arguments: &UpgradeArguments) -> anyhow::Result<()> {
    toolchain::check(steps, workspace).await?;
    toolchain::nextest(steps, workspace).await?;
    Programs::find_or_install(&mut step::echo).await?;
    let before = build_before(steps, workspace, &arguments.from).await?;
    build_guests(steps, workspace).await?;
    let binary = build_nexus(steps, workspace).await?;
    let mut nextest = workspace.cargo([
        "nextest",
        "run",
        "--workspace",
        "--test",
        "bounds",
        "--no-capture",
        "rolling",
    ]);
    nextest
        .env(COMPONENTS_DIR, workspace.guests_dir())
        .env(NEXUS_BINARY, binary)
        .env(NEXUS_BINARY_BEFORE, before);
    steps.run(&format!("from {} to this", arguments.from), nextest).await
}

/// Builds the host of another revision, in a work tree that is removed again. It shares the dependencies that were built for this one.
async fn build_before(steps: &mut Steps, workspace: &Workspace, revision: &str) -> anyhow::Result<PathBuf> {
    let tree = workspace.target_dir().join("before");
    let path = tree.to_str().context("the target folder's name is UTF-8")?;
    // What an interrupted run left; there is none otherwise, and git says so.
    let _ = steps
        .output(workspace.program("git", ["worktree", "remove", "--force", path]))
        .await;
    let add = workspace.program("git", ["worktree", "add", "--detach", path, revision]);
    steps.run(&format!("{revision} into a work tree"), add).await?;
    let mut build = workspace.cargo(["build", "--workspace", "--bin", "nexus"]);
    build.current_dir(&tree).env("CARGO_TARGET_DIR", workspace.target_dir());
    let built = steps.run(&format!("the host of {revision}"), build).await;
    let aside = workspace.target_dir().join("debug/nexus-before");
    let kept = built.and_then(|()| {
        let built = workspace.target_dir().join("debug/nexus");
        std::fs::copy(&built, &aside).with_context(|| format!("copy {} to {}", built.display(), aside.display()))
    });
    steps
        .run(
            "the work tree goes",
            workspace.program("git", ["worktree", "remove", "--force", path]),
        )
        .await?;
    kept.map(|_| aside)
}

/// Builds the host with the points at which a test may end it. Put aside, since a later build of the host without them would replace it.
async fn build_nexus(steps: &mut Steps, workspace: &Workspace) -> anyhow::Result<PathBuf> {
    // Of the whole workspace, so that dependencies have the features that the tests have them with and are not built twice.
    let build = workspace.cargo([
        "build",
        "--workspace",
        "--bin",
        "nexus",
        "--features",
        "host-cli/crash-points",
    ]);
    steps.run("the host, with its crash points", build).await?;
    let built = workspace.target_dir().join("debug/nexus");
    let aside = workspace.target_dir().join("debug/nexus-under-test");
    std::fs::copy(&built, &aside).with_context(|| format!("copy {} to {}", built.display(), aside.display()))?;
    Ok(aside)
}

/// Finds or installs PostgreSQL and starts a server for this run.
async fn start_server(steps: &mut Steps) -> anyhow::Result<TestServer> {
    steps.announce("PostgreSQL for the tests");
    let starting = async {
        let programs = Programs::find_or_install(&mut step::echo).await?;
        TestServer::start(&programs, Settings::test()).await
    };
    steps
        .unless_interrupted(starting)
        .await?
        .context("start PostgreSQL for the tests")
}

async fn build_guests(steps: &mut Steps, workspace: &Workspace) -> anyhow::Result<()> {
    let guests = workspace.guests();
    if guests.is_empty() {
        anyhow::bail!("the workspace has no guests");
    }
    let mut build = workspace.cargo(["build", "--profile", "guest", "--target", workspace::GUEST_TARGET]);
    for guest in guests {
        build.args(["--package", guest]);
    }
    steps
        .run(&format!("guests to WebAssembly ({})", guests.len()), build)
        .await
}
