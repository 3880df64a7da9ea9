//! Another manifest under what waits: it ends as it began, and what was sent and has not begun takes the new one. And what cannot be run at
//! all: it is paused with the reason, once, and a person's `resume` tries again.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Edited, NexusOptions};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::world::{MANIFEST, PATIENCE, World, told};

/// Of every invocation that is not over.
const OPEN: &str = "SELECT id::text FROM host.invocation WHERE ended_at IS NULL ORDER BY id";
const PEERS: &str = r#"["waiter"]"#;

/// A component like the one that is there.
pub(crate) fn peer(name: &str) -> String {
    format!(
        r#"
[component.{name}]
source = "target/wasm32-wasip2/guest/guest_waiter.wasm"
[component.{name}.dependencies]
"test:waiter/jobs@0.1.0" = {{ component = "{name}" }}
[component.{name}.tool.nexus]
schema = "{name}"
providers = {{ "test:waiter/peers@0.1.0" = [] }}
"#
    )
}

/// The manifest with another peer than itself, and no patience: every wait suspends.
fn before(manifest: &str) -> String {
    with_first(&manifest.replace("request_timeout_ms", "wait_hold_ms = 0\nrequest_timeout_ms"))
}

fn with_first(manifest: &str) -> String {
    assert!(manifest.contains(PEERS), "the manifest has another shape");
    manifest.replace(PEERS, r#"["waiter", "first"]"#) + &peer("first")
}

fn without_first(manifest: &str) -> String {
    manifest
        .replace(r#"["waiter", "first"]"#, PEERS)
        .replace(&peer("first"), "")
}

/// The next release: one component and provider more, one provider less, and an eighth of the memory.
fn after(manifest: &str) -> String {
    let listed = manifest.replace(r#"["waiter", "first"]"#, r#"["waiter", "second"]"#);
    let limited = listed.replace("wait_hold_ms", "memory_limit_bytes = 8_388_608\nwait_hold_ms");
    limited + &peer("second")
}

fn review(ticket: &str, ms: u64, mib: usize) -> Value {
    json!({ "ticket": ticket, "ms": ms, "mib": mib })
}

impl World {
    async fn before_a_release() -> Result<Self> {
        Self::start_edited(Edited::application(Path::new(MANIFEST), before)?).await
    }

    /// Schedules a look at the manifest.
    async fn schedule(&self, ticket: &str, delay_ms: u64) -> Result<String> {
        let body = json!({ "ticket": ticket, "what": "review", "delay_ms": delay_ms });
        self.ask("send", body).await
    }

    /// An invocation that sleeps for so long, suspended; its host is killed.
    async fn asleep(&mut self, ticket: &str, ms: u64) -> Result<String> {
        self.begin("review", review(ticket, ms, 16));
        self.audit.suspended(1).await?;
        let invocation = self.audit.texts(OPEN).await?.pop().context("an open invocation")?;
        self.nexus.kill()?;
        Ok(invocation)
    }

    async fn entries(&self, invocation: &str) -> Result<i64> {
        let entries = format!("SELECT count(*) FROM host.journal_entry WHERE invocation_id = '{invocation}'");
        self.audit.count(&entries).await
    }

    /// Returns when the invocation is paused because of this.
    async fn paused(&self, invocation: &str, because: &str) -> Result<()> {
        let paused = format!(
            "SELECT count(*) FROM host.invocation
             WHERE id = '{invocation}' AND status = 'paused' AND cause LIKE 'it cannot be run: {because}'"
        );
        self.audit.becomes(&paused, 1).await
    }

    fn listed_as_paused(&self) -> Result<String> {
        self.nexus.run(&["invocations", "list", "--status", "paused"])
    }

    /// Makes the second entry of a journal unreadable. What it was is kept for [`World::repair`].
    async fn spoil(&self, invocation: &str) -> Result<()> {
        let entry = format!("WHERE invocation_id = '{invocation}' AND entry_index = 1");
        let keep = format!("CREATE TEMPORARY TABLE truth AS SELECT body FROM host.journal_entry {entry}");
        self.audit.change(&keep).await?;
        let spoil = format!(r"UPDATE host.journal_entry SET body = '\x00' {entry}");
        ensure!(self.audit.change(&spoil).await? == 1);
        Ok(())
    }

    async fn repair(&self, invocation: &str) -> Result<()> {
        let repair = format!(
            "UPDATE host.journal_entry SET body = (SELECT body FROM truth) WHERE invocation_id = '{invocation}' AND entry_index = 1"
        );
        ensure!(self.audit.change(&repair).await? == 1);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_ends_on_the_manifest_it_began_with() -> Result<()> {
    let mut world = World::before_a_release().await?;
    world.schedule("timer", 5_000).await?;
    world.asleep("open", 5_000).await?;
    world.change(after)?;
    world.restart(&[]).await?;

    let new = world.ask("review", review("new", 1, 0)).await?;
    ensure!(new == "waiter and second with 0 MiB", "{new}");
    world.begin("review", review("greedy", 1, 16));
    let exceeded = "SELECT count(*) FROM host.invocation
        WHERE status = 'paused' AND cause LIKE '%memory limit of 8388608 bytes exceeded%'";
    // So does the timer, which was sent before and begins now: what has not begun takes what stands, its limits too.
    world.audit.becomes(exceeded, 2).await?;

    let open = world.answered("review", &review("open", 5_000, 16)).await?;
    ensure!(open == "waiter and first with 16 MiB", "{open}");
    ensure!(
        world.notes("open").await?
            == [
                "before: waiter and first with 0 MiB",
                "then: waiter and first with 16 MiB"
            ]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_calls_a_component_that_is_gone_is_paused_until_it_is_back() -> Result<()> {
    let mut world = World::before_a_release().await?;
    let invocation = world.asleep("calls", 3_000).await?;
    world.change(without_first)?;
    world.restart(&[]).await?;
    ensure!(world.ask("review", review("new", 1, 0)).await? == "waiter with 0 MiB");
    let paused = format!(
        "SELECT count(*) FROM host.invocation WHERE id = '{invocation}' AND status = 'paused'
             AND cause LIKE 'the manifest of this node has no component first, %'"
    );
    world.audit.becomes(&paused, 1).await?;

    world.nexus.kill()?;
    world.change(with_first)?;
    world.restart(&[]).await?;
    world.nexus.run(&["invocations", "resume", &invocation])?;
    let answer = world.answered("review", &review("calls", 3_000, 16)).await?;
    ensure!(answer == "waiter and first with 16 MiB", "{answer}");
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pinned_to_a_deployment_that_cannot_be_built_is_paused_until_it_can() -> Result<()> {
    let mut world = World::before_a_release().await?;
    let invocation = world.asleep("stuck", 3_000).await?;
    let entries = world.entries(&invocation).await?;
    world
        .audit
        .change("CREATE TEMPORARY TABLE truth AS SELECT number, manifest FROM host.deployment")
        .await?;
    world
        .audit
        .change("UPDATE host.deployment SET manifest = 'no form of it'")
        .await?;
    world.change(after)?;
    world.restart(&[]).await?;

    let because = "deployment %, which it is pinned to, cannot be built: what the deployment keeps of the manifest cannot be read: %";
    world.paused(&invocation, because).await?;
    ensure!(world.listed_as_paused()?.contains(&invocation));
    ensure!(world.entries(&invocation).await? == entries + 1, "the pause alone");
    world.nexus.run(&["invocations", "resume", &invocation])?;
    world.paused(&invocation, because).await?;
    ensure!(
        world.entries(&invocation).await? == entries + 3,
        "the word, and another pause"
    );

    let repair =
        "UPDATE host.deployment SET manifest = truth.manifest FROM truth WHERE truth.number = deployment.number";
    world.audit.change(repair).await?;
    world.nexus.run(&["invocations", "resume", &invocation])?;
    let answer = world.answered("review", &review("stuck", 3_000, 16)).await?;
    ensure!(answer == "waiter and first with 16 MiB", "{answer}");
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_a_journal_that_cannot_be_read_is_paused_once() -> Result<()> {
    let mut world = World::before_a_release().await?;
    let invocation = world.asleep("stuck", 3_000).await?;
    let entries = world.entries(&invocation).await?;
    world.spoil(&invocation).await?;
    world.restart(&[]).await?;
    let because = "its journal cannot be read: a stored entry cannot be read: entry 1 %";
    world.paused(&invocation, because).await?;
    ensure!(world.listed_as_paused()?.contains(&invocation));
    // Another one comes and goes meanwhile.
    world.ask("review", review("other", 2_500, 1)).await?;
    ensure!(world.entries(&invocation).await? == entries + 1, "the pause alone");

    world.repair(&invocation).await?;
    world.nexus.run(&["invocations", "resume", &invocation])?;
    let answer = world.answered("review", &review("stuck", 3_000, 16)).await?;
    ensure!(answer == "waiter and first with 16 MiB", "{answer}");
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_fails_on_such_a_journal_is_paused_too() -> Result<()> {
    let world = World::start().await?;
    // Its instance is kept while it sleeps, and then wants more memory than there is.
    world.begin("review", review("greedy", 2_000, 128));
    let noted = "SELECT count(*) FROM waiter.note WHERE ticket = 'greedy'";
    world.audit.becomes(noted, 1).await?;
    let invocation = world.audit.texts(OPEN).await?.pop().context("an open invocation")?;
    let entries = world.entries(&invocation).await?;
    world.spoil(&invocation).await?;
    world.paused(&invocation, "its journal cannot be read: %").await?;
    ensure!(world.entries(&invocation).await? == entries + 1, "the pause alone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_the_manifest_before_leaves_what_began_on_the_next_to_who_has_it() -> Result<()> {
    let world = World::before_a_release().await?;
    world.change(after)?;
    let next = world.nexus.second_node(NexusOptions::default()).await?;
    let client = next.client().keyed("late");
    let asking = tokio::spawn(async move { client.post("/waiter/review", review("late", 1_000, 0)).await });
    world.audit.suspended(1).await?;
    // For less than its lease: the other node is the only one that could begin it when it is due.
    next.freeze()?;
    let left = async {
        while !world
            .nexus
            .log()?
            .contains("is left to a node whose manifest has all of its deployment")
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    let left = timeout(Duration::from_secs(4), left).await;
    next.thaw()?;
    left.context("nobody was asked to begin it")??;
    let answer = timeout(PATIENCE, asking).await???;
    ensure!(told(&answer) == "waiter and second with 0 MiB");
    Ok(())
}
