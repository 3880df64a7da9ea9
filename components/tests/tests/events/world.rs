//! A module that tells and one that listens, in a real host.

use std::time::Duration;

use anyhow::{Result, ensure};
use component_tests::{Answer, Audit, Client, Nexus, NexusOptions};
use serde_json::{Value, json};

/// Relative to the workspace.
pub(crate) const MANIFEST: &str = "components/tests/events/spin.toml";

/// How long a host that was started again may take to finish what the last one left.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) nexus: Nexus,
    pub(crate) audit: Audit,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let nexus = Nexus::start_application(MANIFEST.as_ref(), NexusOptions::default()).await?;
        let audit = Audit::open(nexus.database_url()).await?;
        Ok(Self { nexus, audit })
    }

    pub(crate) async fn restart(&mut self, further: &[(&str, String)]) -> Result<()> {
        self.nexus.restart(NexusOptions::with(further)).await
    }

    /// Publishes the next event of a key; its id.
    pub(crate) async fn tell(&self, topic: &str, key: &str) -> Result<String> {
        tell(&self.nexus.client(), topic, key).await
    }

    /// From now on events of this key are taken like this.
    pub(crate) async fn mood(&self, key: &str, mood: &str) -> Result<()> {
        let sql = format!(
            "INSERT INTO listener.mood (key, mood) VALUES ('{key}', '{mood}') ON CONFLICT (key) DO UPDATE SET mood = excluded.mood"
        );
        self.audit.change(&sql).await?;
        Ok(())
    }

    /// What a subscription was told of a key, in the order in which it was.
    pub(crate) async fn heard(&self, subscription: &str, key: &str) -> Result<Vec<String>> {
        let heard = format!(
            "SELECT content FROM listener.heard WHERE subscription = '{subscription}' AND key = '{key}' ORDER BY number"
        );
        self.audit.texts(&heard).await
    }

    /// Waits until so many deliveries stand there.
    pub(crate) async fn deliveries(&self, state: &str, count: i64) -> Result<()> {
        let deliveries = format!("SELECT count(*) FROM host.delivery WHERE state = '{state}'");
        self.audit.becomes(&deliveries, count).await
    }

    /// Waits until everything is delivered.
    pub(crate) async fn delivered(&self) -> Result<()> {
        self.audit.becomes("SELECT count(*) FROM host.delivery", 0).await?;
        let open = "SELECT count(*) FROM host.invocation WHERE status NOT IN ('completed', 'cancelled')";
        self.audit.becomes(open, 0).await
    }

    /// The invocations of the dead letters, newest first, as the operators' list has them.
    pub(crate) async fn dead_letters(&self) -> Result<Vec<Value>> {
        let answer = self.nexus.admin().get("/v1/dead-letters").await?;
        ensure!(answer.status == 200, "{}", answer.json);
        Ok(answer.json["dead_letters"].as_array().cloned().unwrap_or_default())
    }

    /// What an operator says of a dead letter.
    pub(crate) async fn say(&self, id: &Value, verb: &str) -> Result<Answer> {
        let id = id.as_str().unwrap_or_default();
        let path = format!("/v1/dead-letters/{id}/{verb}");
        self.nexus.admin().post(&path, json!({ "reason": "a test" })).await
    }
}

/// The contents of the first `count` events of a key.
pub(crate) fn counts(count: usize) -> Vec<String> {
    (1..=count).map(|count| format!("{{\"count\":{count}}}")).collect()
}

pub(crate) async fn tell(client: &Client, topic: &str, key: &str) -> Result<String> {
    let answer = client
        .post("/teller/tell", json!({ "topic": topic, "key": key }))
        .await?;
    Ok(answer.data(200).as_str().unwrap_or_default().to_owned())
}
