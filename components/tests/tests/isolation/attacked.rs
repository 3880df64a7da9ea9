//! The host under attack: what is asked of it, and what can be seen of it from outside.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use component_tests::{Answer, Audit, Client, Edited, Nexus, NexusOptions};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Relative to the workspace.
const MANIFEST: &str = "components/tests/hostile/spin.toml";

/// The hostile module and its neighbour, served.
pub(crate) struct Attacked {
    pub(crate) nexus: Nexus,
    pub(crate) client: Client,
    pub(crate) audit: Audit,
    /// Of its manifest, when that is not the one in the sources.
    _edited: Option<Edited>,
}

/// What one statement came to.
#[derive(Debug)]
pub(crate) enum Told {
    Rows(Vec<Vec<String>>),
    Refused { code: String, message: String },
}

impl Attacked {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_application(Path::new(MANIFEST), None).await
    }

    /// With its manifest as it is but for `change`.
    pub(crate) async fn start_with(change: impl FnOnce(&str) -> String) -> Result<Self> {
        let edited = Edited::application(Path::new(MANIFEST), change)?;
        Self::start_application(&edited.manifest(), Some(edited)).await
    }

    /// With guests that may compute for longer than a test lasts.
    pub(crate) async fn start_without_time_limit() -> Result<Self> {
        let limit = "time_limit_ms = 1_000\n";
        let attacked = Self::start_with(|manifest| {
            assert_eq!(manifest.matches(limit).count(), 1, "the manifest has another shape");
            manifest.replace(limit, "time_limit_ms = 600_000\n")
        });
        attacked.await
    }

    async fn start_application(manifest: &Path, edited: Option<Edited>) -> Result<Self> {
        let nexus = Nexus::start_application(manifest, NexusOptions::default()).await?;
        let client = nexus.client();
        let audit = Audit::open(nexus.database_url()).await?;
        Ok(Self {
            nexus,
            client,
            audit,
            _edited: edited,
        })
    }

    /// Statements by one of the guest's ways: `query`, `execute` or `transaction`.
    pub(crate) async fn statements(&self, way: &str, statements: &[&str]) -> Result<Vec<Told>> {
        let answer = self.attempt(way, statements).await?;
        ensure!(
            answer.status == 200,
            "{way} {statements:?}: {} {}",
            answer.status,
            answer.json
        );
        let outcomes = answer.json.as_array().context("a list of outcomes")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        outcomes
            .iter()
            .map(|outcome| match &outcome["rows"] {
                Value::Null => Ok(Told::Refused {
                    code: text(&outcome["code"]),
                    message: text(&outcome["message"]),
                }),
                rows => Ok(Told::Rows(serde_json::from_value(rows.clone())?)),
            })
            .collect()
    }

    /// The same, where the request itself may fail.
    pub(crate) async fn attempt(&self, way: &str, statements: &[&str]) -> Result<Answer> {
        self.client.post(&format!("/hostile/{way}"), json!(statements)).await
    }

    /// A misdeed of an invocation that has written nothing.
    pub(crate) async fn misdeed(&self, name: &str) -> Result<Answer> {
        self.client.post(&format!("/hostile/do/{name}"), Value::Null).await
    }

    /// A misdeed of an invocation that is durable already.
    pub(crate) async fn misdeed_after_append(&self, name: &str) -> Result<Answer> {
        let path = format!("/hostile/do/{name}?after=append");
        self.client.post(&path, Value::Null).await
    }

    /// What the host has logged about the invocation that an answer names.
    pub(crate) fn logged(&self, answer: &Answer) -> Result<String> {
        self.logged_of(&invocation(answer)?)
    }

    /// The lines of the host's log that hold this text.
    pub(crate) fn logged_of(&self, text: &str) -> Result<String> {
        let log = self.nexus.log()?;
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(text)).collect();
        Ok(lines.join("\n"))
    }

    /// No bug of the host's own was met, whatever was done to it.
    pub(crate) fn never_panicked(&self) -> Result<()> {
        let log = self.nexus.log()?;
        let panics: Vec<&str> = log.lines().filter(|line| line.contains("panicked at")).collect();
        ensure!(panics.is_empty(), "the host panicked: {panics:#?}");
        Ok(())
    }

    /// Forgets the most memory the process ever had, so that [`Attacked::peak_mib`] tells of what comes now.
    pub(crate) fn forget_peak(&self) -> Result<u64> {
        std::fs::write(format!("/proc/{}/clear_refs", self.nexus.pid()), "5")?;
        self.peak_mib()
    }

    /// The most memory the process had, MiB.
    pub(crate) fn peak_mib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.nexus.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .context("VmHWM")?
            .parse()?;
        Ok(kib / 1024)
    }
}

/// Asks this host for a guest that computes without end, in an invocation that is durable already.
pub(crate) fn begin_loop(nexus: &Nexus) -> JoinHandle<Result<Answer>> {
    let client = nexus.client();
    tokio::spawn(async move { client.post("/hostile/do/loop?after=append", Value::Null).await })
}

/// Which invocation an answer is about.
pub(crate) fn invocation(answer: &Answer) -> Result<String> {
    let id = answer
        .headers
        .get("x-invocation-id")
        .context("every answer names its invocation")?;
    Ok(id.to_str()?.to_owned())
}
