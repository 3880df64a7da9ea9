//! What is sent takes the revision that is active when it begins, and not the one that its sender ran on.

use anyhow::{Result, ensure};
use component_tests::Nexus;
use serde_json::json;

use crate::world::{World, told, upload};

/// A day: it begins when the test says so.
const DELAY_MS: u64 = 24 * 3_600_000;

impl World {
    /// Something that is sent to begin much later.
    async fn sent(&self, by: &Nexus, ticket: &str) -> Result<String> {
        let body = json!({ "ticket": ticket, "what": "a job", "delay_ms": DELAY_MS, "roll_back": false });
        let answer = by.client().post("/waiter/send", body).await?;
        ensure!(answer.status == 200, "{}", answer.json);
        Ok(told(&answer))
    }

    async fn begins(&self, sent: &str) -> Result<()> {
        let now = format!("UPDATE host.invocation SET due_at = now() WHERE id = '{sent}' AND attempt = 0");
        ensure!(self.audit.change(&now).await? == 1, "{sent} has begun");
        self.stands(sent, "completed").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_takes_the_revision_of_its_first_attempt_unless_what_it_calls_is_gone() -> Result<()> {
    let mut world = World::start().await?;
    let (early, late, last) = (
        world.sent(&world.one, "early").await?,
        world.sent(&world.one, "late").await?,
        world.sent(&world.one, "last").await?,
    );
    let sender = world.deployment_of(&early).await?;
    world.begins(&early).await?;
    assert_eq!(world.deployment_of(&early).await?, sender);

    upload(&world.one, world.loud()?, true).await?;
    let began = world.started_entry(&late).await?;
    world.begins(&late).await?;
    let newer = world.deployment_of(&late).await?;
    assert!(newer > sender, "{newer}");
    assert_eq!(world.started_entry(&late).await?, began, "the record stays as it is");
    assert_eq!(world.deployment_of(&early).await?, sender, "what has begun stays");
    assert_eq!(
        world.deployment_of(&last).await?,
        sender,
        "so does what has not, until it does"
    );

    // A release in which what was sent is called otherwise.
    world.one.kill()?;
    world.two.kill()?;
    world.release("test:waiter/jobs", "test:waiter/work")?;
    world
        .edited
        .change(|manifest| manifest.replace("test:waiter/jobs", "test:waiter/work"))?;
    world.one.restart(world.guests.options()).await?;
    world.begins(&last).await?;
    assert_eq!(world.deployment_of(&last).await?, sender, "only there it can be run");
    let noted = "SELECT count(*) FROM waiter.note WHERE what = 'a job'";
    assert_eq!(world.audit.count(noted).await?, 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_newer_code_sent_stays_on_its_revision_when_a_node_of_the_version_before_takes_it() -> Result<()> {
    let mut world = World::start().await?;
    let old = world.sent(&world.one, "old").await?;
    world.release("already completed", "Already Completed")?;
    world.two.restart(world.guests.options()).await?;
    let new = world.sent(&world.two, "new").await?;
    let (older, newer) = (world.deployment_of(&old).await?, world.deployment_of(&new).await?);
    assert!(newer > older, "{newer}");

    world.two.kill()?;
    world.begins(&new).await?;
    assert_eq!(world.deployment_of(&new).await?, newer);
    Ok(())
}
