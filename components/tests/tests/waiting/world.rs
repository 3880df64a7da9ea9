//! A module that waits, in a real host.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use component_tests::{Answer, Audit, Edited, Nexus, NexusOptions};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Relative to the workspace.
pub(crate) const MANIFEST: &str = "components/tests/waiting/spin.toml";

/// How long a host that was started again may take to finish what the last one left.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) nexus: Nexus,
    pub(crate) audit: Audit,
    edited: Option<Edited>,
}

impl World {
    /// With the manifest as it is: an instance is kept for five seconds.
    pub(crate) async fn start() -> Result<Self> {
        Self::start_application(Path::new(MANIFEST), None).await
    }

    /// No instance is kept: every wait suspends.
    pub(crate) async fn start_without_patience() -> Result<Self> {
        Self::start_with("wait_hold_ms = 0\nrequest_timeout_ms = 15_000").await
    }

    /// With these lines in the place of how long a caller waits.
    pub(crate) async fn start_with(lines: &str) -> Result<Self> {
        let edited = Edited::application(Path::new(MANIFEST), |manifest| {
            let patience = "request_timeout_ms = 15_000";
            assert!(manifest.contains(patience), "the manifest has another shape");
            manifest.replace(patience, lines)
        })?;
        Self::start_application(&edited.manifest(), Some(edited)).await
    }

    /// The application of a manifest that is changed later.
    pub(crate) async fn start_edited(edited: Edited) -> Result<Self> {
        Self::start_application(&edited.manifest(), Some(edited)).await
    }

    /// Hosts that start from here on have another manifest.
    pub(crate) fn change(&self, change: impl FnOnce(&str) -> String) -> Result<()> {
        self.edited.as_ref().context("a manifest of its own")?.change(change)
    }

    async fn start_application(manifest: &Path, edited: Option<Edited>) -> Result<Self> {
        let nexus = Nexus::start_application(manifest, NexusOptions::default()).await?;
        let audit = Audit::open(nexus.database_url()).await?;
        Ok(Self { nexus, audit, edited })
    }

    /// What one request came to.
    pub(crate) async fn ask(&self, path: &str, body: Value) -> Result<String> {
        let answer = self.nexus.client().post(&format!("/waiter/{path}"), body).await?;
        Ok(told(&answer))
    }

    /// Sends a request whose answer may take its time.
    pub(crate) fn begin(&self, path: &str, body: Value) -> JoinHandle<Result<Answer>> {
        let client = self.nexus.client().keyed(&key(path, &body));
        let path = format!("/waiter/{path}");
        tokio::spawn(async move { client.post(&path, body).await })
    }

    /// The same request again, until there is an answer.
    pub(crate) async fn answered(&self, path: &str, body: &Value) -> Result<String> {
        let client = self.nexus.client().keyed(&key(path, body));
        let answer = client
            .post_until_answered(&format!("/waiter/{path}"), body, PATIENCE)
            .await?;
        Ok(told(&answer))
    }

    /// The promise that was handed out under this name, once it was.
    pub(crate) async fn promise(&self, ticket: &str) -> Result<String> {
        let handed_out = format!("SELECT count(*) FROM waiter.ticket WHERE name = '{ticket}'");
        self.audit.becomes(&handed_out, 1).await?;
        let promises = format!("SELECT promise FROM waiter.ticket WHERE name = '{ticket}'");
        self.audit.texts(&promises).await?.pop().context("a promise")
    }

    pub(crate) async fn complete(&self, promise: &str, value: &str) -> Result<String> {
        self.ask("complete", json!({ "promise": promise, "value": value }))
            .await
    }

    /// What was noted under a name, in the order of the alphabet.
    pub(crate) async fn notes(&self, ticket: &str) -> Result<Vec<String>> {
        let notes = format!("SELECT what FROM waiter.note WHERE ticket = '{ticket}' ORDER BY what");
        self.audit.texts(&notes).await
    }

    pub(crate) async fn restart(&mut self, further: &[(&str, String)]) -> Result<()> {
        self.nexus.restart(NexusOptions::with(further)).await
    }

    /// Nothing is left of any wait.
    pub(crate) async fn nothing_is_left(&self) -> Result<()> {
        let open = "SELECT count(*) FROM host.invocation WHERE status <> 'completed'";
        self.audit.becomes(open, 0).await?;
        let left = "SELECT (SELECT count(*) FROM host.promise_waiter) + (SELECT count(*) FROM host.wakeup)";
        self.audit.becomes(left, 0).await
    }
}

#[track_caller]
pub(crate) fn told(answer: &Answer) -> String {
    answer.data(200)["told"].as_str().unwrap_or_default().to_owned()
}

/// What a request of this ticket is known by.
fn key(path: &str, body: &Value) -> String {
    format!("{path}-{}", body["ticket"].as_str().unwrap_or_default())
}
