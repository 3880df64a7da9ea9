//! A host process: started, killed, frozen, started again, on a database of its own.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use host_postgres::test_support::{TestDatabase, fresh_database};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Client, Proxy};

/// How a host is started.
#[derive(Debug, Clone, Default)]
pub struct NexusOptions {
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
    /// Another host than the one under test.
    pub binary: Option<PathBuf>,
}

impl NexusOptions {
    /// With these environment variables besides.
    pub fn with<'a, V: ToString + 'a>(variables: impl IntoIterator<Item = &'a (&'a str, V)>) -> Self {
        let owned = |(name, value): &(&str, V)| ((*name).to_owned(), value.to_string());
        Self {
            environment: variables.into_iter().map(owned).collect(),
            ..Self::default()
        }
    }
}

/// A data directory, the host that runs on it now, and their database, which further hosts may share.
pub struct Nexus {
    database: Arc<TestDatabase>,
    /// The database, when it is a copy of that one.
    elsewhere: Option<String>,
    /// The way to the database, when it is not the direct one.
    proxy: Option<Proxy>,
    data_dir: TempDir,
    manifest: Manifest,
    process: Option<Process>,
}

/// A manifest, with the folder it lies in when that goes with it.
#[derive(Clone)]
struct Manifest {
    path: PathBuf,
    _edited: Option<Arc<Edited>>,
}

impl Manifest {
    fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            _edited: None,
        }
    }

    fn edited(edited: Edited) -> Self {
        Self {
            path: edited.manifest(),
            _edited: Some(Arc::new(edited)),
        }
    }

    fn marketplace() -> Result<Self> {
        Ok(Self::edited(Edited::marketplace(str::to_owned)?))
    }
}

struct Process {
    child: Child,
    ready: Value,
}

/// An application with another manifest than its own, in a folder of its own.
pub struct Edited {
    folder: TempDir,
}

impl Edited {
    /// The marketplace, with its manifest as it is but for `change`, and for the quotas of its rate limits: a test asks for more in a second
    /// than a person does in an hour.
    pub fn marketplace(change: impl FnOnce(&str) -> String) -> Result<Self> {
        Self::application(&workspace().join("spin.toml"), |manifest| {
            change(&with_large_quotas(manifest))
        })
    }

    /// The same of the application of another manifest.
    pub fn application(manifest: &Path, change: impl FnOnce(&str) -> String) -> Result<Self> {
        let manifest = workspace().join(manifest);
        let folder = TempDir::new()?;
        let text = change(&std::fs::read_to_string(&manifest)?);
        std::fs::write(folder.path().join("spin.toml"), text)?;
        let migrations = std::path::absolute(manifest.with_file_name("migrations"))?;
        std::os::unix::fs::symlink(migrations, folder.path().join("migrations"))?;
        Ok(Self { folder })
    }

    /// Its migrations, as a copy to be changed.
    pub fn migrations(&self) -> Result<PathBuf> {
        let (link, copy) = (self.folder.path().join("migrations"), self.folder.path().join("copy"));
        for schema in std::fs::read_dir(&link)?.collect::<Result<Vec<_>, _>>()? {
            if schema.file_type()?.is_dir() {
                let folder = copy.join(schema.file_name());
                std::fs::create_dir_all(&folder)?;
                for file in std::fs::read_dir(schema.path())?.collect::<Result<Vec<_>, _>>()? {
                    std::fs::copy(file.path(), folder.join(file.file_name()))?;
                }
            }
        }
        std::fs::remove_file(&link)?;
        std::fs::rename(copy, &link)?;
        Ok(link)
    }

    /// Changes it once more, for hosts that start from here on.
    pub fn change(&self, change: impl FnOnce(&str) -> String) -> Result<()> {
        let text = change(&std::fs::read_to_string(self.manifest())?);
        Ok(std::fs::write(self.manifest(), text)?)
    }

    /// The manifest.
    pub fn manifest(&self) -> PathBuf {
        self.folder.path().join("spin.toml")
    }

    /// Gives a schema a file of its own among its migrations, for as long as this is kept.
    pub fn add_migration(&self, schema: &str, file: &str, sql: &str) -> Result<AddedMigration> {
        let link = self.folder.path().join("migrations");
        let original = std::fs::read_link(&link)?;
        let folders = TempDir::new_in(self.folder.path())?;
        for entry in std::fs::read_dir(&original)? {
            let entry = entry?;
            let copy = folders.path().join(entry.file_name());
            if entry.file_name() != schema {
                std::os::unix::fs::symlink(entry.path(), copy)?;
                continue;
            }
            std::fs::create_dir(&copy)?;
            for entry in std::fs::read_dir(entry.path())? {
                let entry = entry?;
                std::fs::copy(entry.path(), copy.join(entry.file_name()))?;
            }
        }
        std::fs::write(folders.path().join(schema).join(file), sql)?;
        std::fs::remove_file(&link)?;
        std::os::unix::fs::symlink(folders.path(), &link)?;
        Ok(AddedMigration {
            link,
            original,
            _folders: folders,
        })
    }
}

/// A migration that an application has besides its own.
pub struct AddedMigration {
    link: PathBuf,
    original: PathBuf,
    _folders: TempDir,
}

impl Drop for AddedMigration {
    fn drop(&mut self) {
        // The application may be gone before it.
        if std::fs::remove_file(&self.link).is_ok() {
            let _ = std::os::unix::fs::symlink(&self.original, &self.link);
        }
    }
}

fn with_large_quotas(manifest: &str) -> String {
    const QUOTA: &str = "\nquota = ";
    assert!(manifest.contains(QUOTA), "the manifest has another shape");
    let mut quotas = manifest.split(QUOTA);
    let before = quotas.next().unwrap_or_default().to_owned();
    quotas.fold(before, |text, quota| {
        let rest = quota.trim_start_matches(|c: char| c.is_ascii_digit());
        text + QUOTA + "1000000" + rest
    })
}

/// A start compiles nothing when the cache is warm; a cold one compiles every component on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);

impl Nexus {
    /// A fresh marketplace, serving.
    pub async fn start() -> Result<Self> {
        Self::start_with(NexusOptions::default()).await
    }

    /// A fresh marketplace, serving, with these options.
    pub async fn start_with(options: NexusOptions) -> Result<Self> {
        Self::start_on(Manifest::marketplace()?, fresh_database("shop").await?, None, options).await
    }

    /// The application of another manifest than the marketplace's, serving. Its components must be built.
    pub async fn start_application(manifest: &Path, options: NexusOptions) -> Result<Self> {
        Self::start_on(Manifest::at(manifest), fresh_database("shop").await?, None, options).await
    }

    /// The application of another manifest on this database, which its host reaches by another URL: one with TLS, say.
    pub async fn start_application_by(manifest: &Path, database: TestDatabase, url: &str) -> Result<Self> {
        let mut nexus = Self {
            database: Arc::new(database),
            elsewhere: Some(url.to_owned()),
            proxy: None,
            data_dir: data_dir()?,
            manifest: Manifest::at(manifest),
            process: None,
        };
        nexus.restart(NexusOptions::default()).await?;
        Ok(nexus)
    }

    /// Such an application on this database, which is empty and may lie on a server of its own.
    pub async fn start_application_on(edited: Edited, database: TestDatabase, options: NexusOptions) -> Result<Self> {
        Self::start_on(Manifest::edited(edited), database, None, options).await
    }

    /// A fresh marketplace whose host reaches its database through a proxy.
    pub async fn start_behind_proxy() -> Result<Self> {
        let database = fresh_database("shop").await?;
        let proxy = Proxy::start(database.url()).await?;
        Self::start_on(Manifest::marketplace()?, database, Some(proxy), NexusOptions::default()).await
    }

    /// The application of another manifest, whose host reaches its database through a proxy.
    pub async fn start_application_behind_proxy(manifest: &Path) -> Result<Self> {
        let database = fresh_database("shop").await?;
        let proxy = Proxy::start(database.url()).await?;
        Self::start_on(Manifest::at(manifest), database, Some(proxy), NexusOptions::default()).await
    }

    async fn start_on(
        manifest: Manifest,
        database: TestDatabase,
        proxy: Option<Proxy>,
        options: NexusOptions,
    ) -> Result<Self> {
        let mut nexus = Self {
            database: Arc::new(database),
            elsewhere: None,
            proxy,
            data_dir: data_dir()?,
            manifest,
            process: None,
        };
        nexus.restart(options).await?;
        Ok(nexus)
    }

    /// A second host on the same database, with the same keys, in a data directory of its own.
    pub async fn second_node(&self, options: NexusOptions) -> Result<Self> {
        let mut second = Self {
            database: Arc::clone(&self.database),
            elsewhere: self.elsewhere.clone(),
            proxy: None,
            data_dir: data_dir()?,
            manifest: self.manifest.clone(),
            process: None,
        };
        let key = |nexus: &Self| nexus.data_dir.path().join("master.key");
        std::fs::copy(key(self), key(&second))?;
        second.restart(options).await?;
        Ok(second)
    }

    /// A host with the same keys on another database, in a data directory of its own: what a restore from a backup begins with.
    pub async fn start_elsewhere(&self, database_url: &str) -> Result<Self> {
        let mut other = Self {
            database: Arc::clone(&self.database),
            elsewhere: Some(database_url.to_owned()),
            proxy: None,
            data_dir: data_dir()?,
            manifest: self.manifest.clone(),
            process: None,
        };
        let key = |nexus: &Self| nexus.data_dir.path().join("master.key");
        std::fs::copy(key(self), key(&other))?;
        other.restart(NexusOptions::default()).await?;
        Ok(other)
    }

    /// The folder of keys and of what else a host keeps beside its database.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Starts the host again on what the last one left.
    pub async fn restart(&mut self, options: NexusOptions) -> Result<()> {
        self.process = None;
        let url = self.proxy.as_ref().map_or(self.database_url(), Proxy::url);
        self.process = Some(launch(&self.manifest.path, url, self.data_dir.path(), &options).await?);
        Ok(())
    }

    /// What stands between the host and its database.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("the marketplace was started behind a proxy")
    }

    /// What another `nexus`, called with these arguments on the same data directory, prints.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        if !output.status.success() {
            bail!("nexus {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What such a `nexus` prints, and how it ends.
    pub fn output(&self, arguments: &[&str]) -> Result<Output> {
        Ok(Command::new(binary()?)
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir.path())
            .stdin(Stdio::null())
            .output()?)
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("a host was started and not killed")
    }

    /// Where clients come in.
    pub fn url(&self) -> &str {
        self.process().ready["url"].as_str().unwrap_or_default()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process().child.id()
    }

    /// A client that is nobody yet.
    pub fn client(&self) -> Client {
        Client::new(self.url())
    }

    /// A client of the operators' port.
    pub fn admin(&self) -> Client {
        self.process().admin()
    }

    /// The database, as its superuser.
    pub fn database_url(&self) -> &str {
        self.elsewhere.as_deref().unwrap_or(self.database.url())
    }

    /// What hosts have logged so far.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.data_dir.path().join("nexus.log"))?)
    }

    /// The key that all others of this host come from, as its file holds it.
    pub fn master_key(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.data_dir.path().join("master.key"))?
            .trim()
            .to_owned())
    }

    /// What `/metrics` answers, and every sample in it by its name with labels.
    pub async fn scrape(&self) -> Result<(String, BTreeMap<String, f64>)> {
        let answer = self.client().get("/metrics").await?;
        ensure!(answer.status == 200, "{}", answer.status);
        let text = String::from_utf8(answer.bytes.to_vec())?;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').context("a name and a value")?;
            Ok((name.to_owned(), value.parse()?))
        });
        let samples = samples.collect::<Result<_>>()?;
        Ok((text, samples))
    }

    /// SIGKILL, and gone.
    pub fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => {
                process.child.kill()?;
                process.child.wait()?;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let mut process = self.process.take().context("no host is running")?;
        tokio::task::spawn_blocking(move || Ok(process.child.wait()?)).await?
    }

    /// Whether the process is gone, without waiting.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(match &mut self.process {
            Some(process) => process.child.try_wait()?.is_some(),
            None => true,
        })
    }

    /// Stops it in the middle of whatever it does.
    pub fn freeze(&self) -> Result<()> {
        signal(&self.process().child, Signal::STOP)
    }

    /// Waits until the process has frozen itself. The kernel tells only those who look.
    pub async fn frozen(&self) -> Result<()> {
        let stat = format!("/proc/{}/stat", self.process().child.id());
        loop {
            let text = std::fs::read_to_string(&stat).context("the process ended instead of freezing")?;
            // The state follows the command's name, which stands in parentheses and may hold anything.
            if text
                .rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim_start().starts_with('T'))
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        signal(&self.process().child, Signal::CONT)
    }

    /// Asks it to stop.
    pub fn ask_to_stop(&self) -> Result<()> {
        signal(&self.process().child, Signal::TERM)
    }

    /// Asks it to stop, and waits until it has.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.ask_to_stop()?;
        self.ended().await
    }
}

impl Process {
    fn admin(&self) -> Client {
        let url = self.ready["admin_url"].as_str().unwrap_or_default();
        Client::new(url).signed_in(self.ready["admin_token"].as_str().unwrap_or_default())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A frozen process dies of SIGKILL too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(child.id() as i32).context("a process has a pid")?;
    Ok(kill_process(pid, signal)?)
}

/// What `nexus check` prints about a manifest, and how it ends. `further` arguments: `--json`.
pub fn check_application(manifest: &Path, options: &NexusOptions, further: &[&str]) -> Result<Output> {
    let data_dir = TempDir::new()?;
    let mut command = Command::new(binary()?);
    command.args(["check", "--manifest"]).arg(manifest);
    command.arg("--data-dir").arg(data_dir.path()).args(further);
    for (name, value) in &options.environment {
        command.env(name, value);
    }
    Ok(command.stdin(Stdio::null()).output()?)
}

/// The bytes of a guest: from `NEXUS_COMPONENTS_DIR`, or from where cargo builds it.
pub fn guest(name: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os("NEXUS_COMPONENTS_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => target_dir().join("wasm32-wasip2/guest"),
    };
    let path = folder.join(format!("{}.wasm", name.replace('-', "_")));
    if !path.exists() {
        bail!("{} is missing: run `cargo xtask guests`", path.display());
    }
    Ok(path)
}

async fn launch(manifest: &Path, database_url: &str, data_dir: &Path, options: &NexusOptions) -> Result<Process> {
    let ready_file = data_dir.join("test-ready.json");
    let _ = std::fs::remove_file(&ready_file);
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(data_dir.join("nexus.log"))?;
    let binary = options.binary.clone().map_or_else(binary, Ok)?;
    let mut command = Command::new(binary);
    command
        .args([
            "up",
            "--no-build",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data_dir)
        .arg("--manifest")
        .arg(manifest)
        .args(["--database-url", database_url, "--ready-file"])
        .arg(&ready_file)
        .current_dir(workspace())
        // Below it lie the components, whatever folder the manifest is in.
        .env("CARGO_TARGET_DIR", target_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    for (name, value) in &options.environment {
        command.env(name, value);
    }
    let mut child = command.spawn().context("starting nexus")?;
    match until_ready(&mut child, &ready_file, &data_dir.join("nexus.log")).await {
        Ok(ready) => Ok(Process { child, ready }),
        Err(error) => {
            let _ = child.kill();
            Err(error)
        }
    }
}

/// What a host that was started says once it serves. Of one that does not, the error has its log.
pub async fn until_ready(child: &mut Child, ready_file: &Path, log: &Path) -> Result<Value> {
    let log = || std::fs::read_to_string(log).unwrap_or_default();
    // The file appears whole, by a rename: looking for it is the only way to wait for another process's file here.
    let started = async {
        loop {
            if let Ok(text) = std::fs::read_to_string(ready_file) {
                return Ok(serde_json::from_str(&text)?);
            }
            if let Some(status) = child.try_wait()? {
                bail!("nexus ended with {status} before it served:\n{}", log());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(START_TIMEOUT, started)
        .await
        .unwrap_or_else(|_| bail!("nexus did not serve within {START_TIMEOUT:?}:\n{}", log()))
}

/// A data directory whose compile cache is that of all tests: what one host compiled no other need compile again.
pub fn data_dir() -> Result<TempDir> {
    let cache = target_dir().join("compiled-in-tests");
    // Closed to others, as the host demands.
    DirBuilder::new().recursive(true).mode(0o700).create(&cache)?;
    let data_dir = TempDir::new()?;
    std::os::unix::fs::symlink(std::path::absolute(cache)?, data_dir.path().join("compiled"))?;
    Ok(data_dir)
}

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where cargo builds.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The binary under test: built with its crash points by `cargo xtask test`.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("NEXUS_BINARY") {
        return Ok(path.into());
    }
    let binary = target_dir().join("debug/nexus");
    if !binary.exists() {
        bail!(
            "{} is missing: run `cargo xtask test`, or build it with `cargo build -p host-cli --features crash-points`",
            binary.display()
        );
    }
    Ok(binary)
}
