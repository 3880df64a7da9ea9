//! The private PostgreSQL ends with the command that started it, whatever ends that one but `kill -9`; and it is not started for what cannot
//! be built or served.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Edited, binary, data_dir, target_dir, until_ready, workspace};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// An application of one module, with a schema.
const APPLICATION: &str = "components/tests/waiting/spin.toml";
/// Between two looks at what another process does.
const LOOK: Duration = Duration::from_millis(5);

/// A data directory of its own, and the commands that are given to it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Result<Self> {
        let folder = data_dir()?;
        // Root's database server runs as somebody else, who has to reach it.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// There as long as the server runs.
    fn server(&self) -> PathBuf {
        self.path("postgres/data/postmaster.pid")
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.path("nexus.log"))?)
    }

    fn spawn(&self, manifest: &Path, arguments: &[&str]) -> Result<Child> {
        let child = Command::new(binary()?)
            .current_dir(workspace())
            .args(arguments)
            .arg("--manifest")
            .arg(manifest)
            .arg("--data-dir")
            .arg(self.0.path())
            .env("CARGO_TARGET_DIR", target_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.path("nexus.log"))?)
            .spawn()?;
        Ok(child)
    }

    fn up(&self, manifest: &Path, listen: &str) -> Result<Child> {
        self.spawn(
            manifest,
            &["up", "--no-build", "--listen", listen, "--admin", "127.0.0.1:0"],
        )
    }

    /// Where the server takes its superuser's connections.
    fn database_url(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.server())?;
        let socket_dir = text.lines().nth(4).context("a server that listens says where")?;
        let connection = host_postgres::Connection {
            socket_dir: socket_dir.into(),
            port: 5432,
            user: "nexus".to_owned(),
            password: std::fs::read_to_string(self.path("postgres.password"))?
                .trim()
                .to_owned(),
            database: "nexus".to_owned(),
        };
        Ok(connection.url())
    }

    /// Nothing runs, and nothing says that something did.
    fn is_left_alone(&self) -> Result<()> {
        ensure!(!self.server().exists(), "PostgreSQL still runs:\n{}", self.log()?);
        ensure!(!self.path("ready.json").exists(), "ready.json lies there");
        Ok(())
    }
}

async fn ended(mut child: Child) -> Result<ExitStatus> {
    tokio::task::spawn_blocking(move || Ok(child.wait()?)).await?
}

fn terminate(child: &Child) -> Result<()> {
    let pid = Pid::from_raw(child.id() as i32).context("a process has a pid")?;
    Ok(kill_process(pid, Signal::TERM)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_after_the_server_has_started_stops_it() -> Result<()> {
    let application = Edited::application(Path::new(APPLICATION), str::to_owned)?;
    let _broken =
        application.add_migration("waiter", "9999_broken.sql", "SELECT no_such_column FROM no_such_table;")?;
    let folder = Folder::new()?;
    let manifest = application.manifest();
    for is_served in [false, true] {
        let child = match is_served {
            false => folder.spawn(&manifest, &["migrate"])?,
            true => folder.up(&manifest, "127.0.0.1:0")?,
        };
        let status = ended(child).await?;
        ensure!(
            !status.success() && folder.log()?.contains("9999_broken"),
            "{status}: {}",
            folder.log()?
        );
        folder.is_left_alone()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_known_before_the_server_starts() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let folder = Folder::new()?;
    let status = ended(folder.up(Path::new(APPLICATION), &taken.local_addr()?.to_string())?).await?;
    ensure!(!status.success() && folder.log()?.contains("--listen"), "{status}");
    ensure!(!folder.path("postgres").exists(), "a server was made for nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_cannot_be_served_is_refused_with_its_line_before_the_server_starts() -> Result<()> {
    /// What stands in the manifest, what in its place, the line that is named then, and what is said of it.
    const MISTAKES: [(&str, &str, &str, &str); 3] = [
        (
            "initial_ms = 10\n",
            "initial_ms = 10\natempts = 3\n",
            "atempts = 3",
            "unknown key `atempts`",
        ),
        (
            "schema = \"waiter\"\n",
            "",
            "[component.waiter]",
            "`waiter` imports `nexus:sql/sql@0.1.0` without the grant for it",
        ),
        (
            "\"test:waiter/jobs@0.1.0\" = { component = \"waiter\" }\n",
            "",
            "[component.waiter]",
            "`waiter` imports `test:waiter/jobs",
        ),
    ];
    for (given, changed, named, said) in MISTAKES {
        let application = Edited::application(Path::new(APPLICATION), |manifest| {
            assert_eq!(manifest.matches(given).count(), 1, "the manifest has another shape");
            manifest.replace(given, changed)
        })?;
        let manifest = std::fs::read_to_string(application.manifest())?;
        let above = manifest.lines().position(|line| line == named).context(named)?;
        let folder = Folder::new()?;
        let status = ended(folder.up(&application.manifest(), "127.0.0.1:0")?).await?;
        let log = folder.log()?;
        let place = format!("spin.toml:{}:", above + 1);
        ensure!(
            !status.success() && log.contains(&place) && log.contains(said),
            "{named}: {status}: {log}"
        );
        ensure!(!folder.path("postgres").exists(), "a server was made for nothing");
        folder.is_left_alone()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn components_are_built_before_they_are_served_unless_that_is_not_asked_for() -> Result<()> {
    const BUILD: &str = "cargo build --profile guest --target wasm32-wasip2 -p guest-waiter";
    const SERVE: [&str; 5] = ["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    // A build of a moment, which can be counted. What it is to make was made before.
    let (build, broken) = ("echo built >> builds", "echo no compiler >&2; exit 1");
    let application = Edited::application(Path::new(APPLICATION), |manifest| {
        assert_eq!(manifest.matches(BUILD).count(), 1, "the manifest has another shape");
        manifest.replace(BUILD, build)
    })?;
    let manifest = application.manifest();
    let folder = Folder::new()?;
    for (further, expected) in [(vec!["--no-build"], ""), (vec![], "built\n")] {
        let mut child = folder.spawn(&manifest, &[&SERVE[..], &further[..]].concat())?;
        until_ready(&mut child, &folder.path("ready.json"), &folder.path("nexus.log")).await?;
        let served = folder.server().exists();
        terminate(&child)?;
        let status = ended(child).await?;
        ensure!(served && status.success(), "{status}: {}", folder.log()?);
        folder.is_left_alone()?;
        let builds = std::fs::read_to_string(manifest.with_file_name("builds")).unwrap_or_default();
        ensure!(builds == expected, "{further:?}: {builds}");
    }

    application.change(|manifest| manifest.replace(build, broken))?;
    let folder = Folder::new()?;
    let status = ended(folder.spawn(&manifest, &SERVE)?).await?;
    let log = folder.log()?;
    ensure!(
        !status.success() && log.contains("failed:\nno compiler"),
        "{status}: {log}"
    );
    ensure!(!folder.path("postgres").exists(), "a server was made for nothing");
    folder.is_left_alone()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_to_stop_during_the_start_stops_the_server_too() -> Result<()> {
    let folder = Folder::new()?;
    let mut child = folder.up(Path::new(APPLICATION), "127.0.0.1:0")?;
    // Another process's file: looking for it is the only way to wait for it.
    while !folder.server().exists() {
        ensure!(child.try_wait()?.is_none(), "{}", folder.log()?);
        tokio::time::sleep(LOOK).await;
    }
    terminate(&child)?;
    let status = ended(child).await?;
    ensure!(status.success(), "{status}: {}", folder.log()?);
    folder.is_left_alone()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_its_lease_stops_the_server_too() -> Result<()> {
    let folder = Folder::new()?;
    let mut child = folder.up(Path::new(APPLICATION), "127.0.0.1:0")?;
    until_ready(&mut child, &folder.path("ready.json"), &folder.path("nexus.log")).await?;
    let (database, connection) = tokio_postgres::connect(&folder.database_url()?, tokio_postgres::NoTls).await?;
    let driven = tokio::spawn(connection);
    database
        .batch_execute("UPDATE host.node SET gone_at = clock_timestamp()")
        .await?;
    drop(database);
    driven.await??;

    let status = ended(child).await?;
    ensure!(!status.success(), "{status}: {}", folder.log()?);
    folder.is_left_alone()
}
