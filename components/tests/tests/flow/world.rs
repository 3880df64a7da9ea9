//! A module that runs workflows, and one that starts them, in a real host.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Answer, Audit, Nexus, NexusOptions};
use serde_json::Value;
use tokio::task::JoinHandle;

/// Relative to the workspace.
const MANIFEST: &str = "components/tests/flow/spin.toml";

/// How long a host that was started again may take to finish what the last one left.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) nexus: Nexus,
    pub(crate) audit: Audit,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let nexus = Nexus::start_application(Path::new(MANIFEST), NexusOptions::default()).await?;
        let audit = Audit::open(nexus.database_url()).await?;
        Ok(Self { nexus, audit })
    }

    /// What one request (`flow/start`) came to.
    pub(crate) async fn ask(&self, path: &str, body: Value) -> Result<String> {
        let answer = self.nexus.client().post(&format!("/{path}"), body).await?;
        told(&answer)
    }

    /// Sends a request whose answer may take its time.
    pub(crate) fn begin(&self, path: &str, key: &str, body: Value) -> JoinHandle<Result<Answer>> {
        let client = self.nexus.client().keyed(key);
        let path = format!("/{path}");
        tokio::spawn(async move { client.post(&path, body).await })
    }

    /// The request of this key, until there is an answer.
    pub(crate) async fn answered(&self, path: &str, key: &str, body: &Value) -> Result<String> {
        let client = self.nexus.client().keyed(key);
        told(&client.post_until_answered(&format!("/{path}"), body, PATIENCE).await?)
    }

    /// What was noted under a name by a component, in the order of the alphabet.
    pub(crate) async fn notes(&self, component: &str, ticket: &str) -> Result<Vec<String>> {
        let notes = format!("SELECT what FROM {component}.note WHERE ticket = '{ticket}' ORDER BY what");
        self.audit.texts(&notes).await
    }

    pub(crate) async fn restart(&mut self, further: &[(&str, String)]) -> Result<()> {
        self.nexus.restart(NexusOptions::with(further)).await
    }

    /// Everything has ended, and nothing is left of any wait.
    pub(crate) async fn nothing_is_left(&self) -> Result<()> {
        let open = "SELECT count(*) FROM host.invocation WHERE status NOT IN ('completed', 'cancelled')";
        self.audit.becomes(open, 0).await?;
        // What an operator ended while it waited is swept with the upkeep.
        let left = "SELECT (SELECT count(*) FROM host.wakeup) + (
            SELECT count(*) FROM host.promise_waiter JOIN host.invocation ON id = invocation_id WHERE status <> 'cancelled')";
        self.audit.becomes(left, 0).await
    }
}

pub(crate) fn told(answer: &Answer) -> Result<String> {
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.json);
    let told = answer.json["data"]["told"].as_str();
    Ok(told.context("an answer tells something")?.to_owned())
}
