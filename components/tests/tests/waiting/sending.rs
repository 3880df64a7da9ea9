//! Sending without waiting: now and later, with the sender's commit or not at all, and once.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::world::World;

impl World {
    pub(crate) async fn send(
        &self,
        ticket: &str,
        what: &str,
        delay_ms: Option<u64>,
        roll_back: bool,
    ) -> Result<String> {
        let body = json!({ "ticket": ticket, "what": what, "delay_ms": delay_ms, "roll_back": roll_back });
        self.ask("send", body).await
    }

    /// What an operator sees of an invocation.
    pub(crate) async fn shown(&self, invocation: &str) -> Result<Value> {
        let answer = self.nexus.admin().get(&format!("/v1/invocations/{invocation}")).await?;
        ensure!(answer.status == 200, "{}", answer.json);
        Ok(answer.json)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_runs_once_and_only_if_its_sender_committed() -> Result<()> {
    let world = World::start().await?;
    let sent = world.send("now", "done", None, false).await?;
    let later = world.send("later", "done", Some(1_500), false).await?;
    ensure!(world.send("never", "done", None, true).await? == "rolled back");
    let refused = world.send("refused", "refused", None, false).await?;
    world.nothing_is_left().await?;

    ensure!(world.notes("now").await? == ["done", "sent"]);
    ensure!(world.notes("later").await? == ["done", "sent"]);
    ensure!(world.notes("never").await?.is_empty());
    ensure!(
        world.notes("refused").await? == ["sent"],
        "an error of its WIT is an answer, and final"
    );
    for (id, count) in [(&sent, 1), (&later, 1), (&refused, 1)] {
        let shown = world.shown(id).await?;
        ensure!(
            shown["invocation"]["function"] == "test:waiter/jobs@0.1.0.note",
            "{shown}"
        );
        ensure!(shown["invocation"]["status"] == "completed", "{shown}");
        let parents = format!("SELECT count(*) FROM host.invocation WHERE id = '{id}' AND parent IS NOT NULL");
        ensure!(world.audit.count(&parents).await? == count);
    }
    let waited = format!(
        "SELECT (extract(epoch FROM ended_at - created_at) * 1000)::bigint FROM host.invocation WHERE id = '{later}'"
    );
    let waited_ms = world.audit.count(&waited).await?;
    ensure!((1_400..10_000).contains(&waited_ms), "{waited_ms} ms");
    Ok(())
}
