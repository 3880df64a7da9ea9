//! How many waits keep their instances at once: each holds a turn as well, of which most must remain.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::world::{World, told};

/// As many as a node holds.
const HOLDS: usize = 64;

impl World {
    /// Waits that keep their instances now.
    async fn held(&self) -> Result<f64> {
        let (_, samples) = self.nexus.scrape().await?;
        samples.get("nexus_waits_held").copied().context("nexus_waits_held")
    }

    /// Returns when so many waits keep their instances.
    async fn holds(&self, count: usize) -> Result<()> {
        let holds = async {
            while self.held().await? != count as f64 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        };
        let held = tokio::time::timeout(crate::world::PATIENCE, holds).await;
        held.with_context(|| format!("{count} waits are not held"))?
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_waits_keep_their_instances_and_one_more_is_suspended_at_once() -> Result<()> {
    // Nobody gives an instance up for want of patience as long as this lasts.
    let world = World::start_with("wait_hold_ms = 60_000\nrequest_timeout_ms = 60_000").await?;
    let wait = |ticket: &str| world.begin("wait", json!({ "ticket": ticket, "timeout_ms": null }));
    let mut tickets: Vec<_> = (0..HOLDS).map(|number| format!("held-{number}")).collect();
    let mut waiting: Vec<_> = tickets.iter().map(|ticket| wait(ticket)).collect();
    world.holds(HOLDS).await?;
    let suspended = "SELECT count(*) FROM host.invocation WHERE status = 'suspended'";
    ensure!(world.audit.count(suspended).await? == 0, "there is room for {HOLDS}");

    tickets.push("one-more".to_owned());
    waiting.push(wait("one-more"));
    world.audit.suspended(1).await?;
    ensure!(world.held().await? == HOLDS as f64);

    // One that ends gives its place away.
    let promise = world.promise(&tickets[0]).await?;
    ensure!(world.complete(&promise, "ended").await? == "completed");
    ensure!(told(&waiting.remove(0).await??) == "value ended");
    waiting.push(wait("in-its-place"));
    tickets.push("in-its-place".to_owned());
    world.holds(HOLDS).await?;
    ensure!(world.audit.count(suspended).await? == 1, "the one that was");

    for ticket in &tickets[1..] {
        let promise = world.promise(ticket).await?;
        ensure!(world.complete(&promise, ticket).await? == "completed");
    }
    for (waiting, ticket) in waiting.into_iter().zip(&tickets[1..]) {
        ensure!(told(&waiting.await??) == format!("value {ticket}"));
    }
    world.nothing_is_left().await
}
