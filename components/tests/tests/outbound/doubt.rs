//! The host ends, or is frozen, between the intent of an effect and its outcome.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::peer::Seen;
use crate::world::{World, error, post};

/// How long a host that was started again may take to finish what the last one left.
const PATIENCE: Duration = Duration::from_secs(30);
/// The lease, and what a takeover takes on a busy machine.
const TAKEOVER: Duration = Duration::from_secs(5 + 10);

impl World {
    /// Sends the request, is killed by SIGKILL while the peer has it and has not answered, and asks again after a new start.
    async fn killed_in_between(
        &mut self,
        body: &Value,
        arrived: impl AsyncFnOnce(&Self) -> Result<()>,
    ) -> Result<Value> {
        let client = self.nexus.client().keyed("in-doubt");
        let asked = tokio::spawn({
            let (client, body) = (client.clone(), body.clone());
            async move { client.post("/sender/send", body).await }
        });
        arrived(self).await?;
        self.nexus.kill()?;
        ensure!(asked.await?.is_err(), "the host answered although it was dead");
        self.reported.release();
        self.repeated.release();
        self.restart(&[]).await?;
        let client = client.at(self.nexus.url());
        let answer = client.post_until_answered("/sender/send", body, PATIENCE).await?;
        Ok(answer.data(200).clone())
    }
}

fn keys(seen: &[Seen]) -> Vec<&str> {
    let mut keys: Vec<_> = seen.iter().filter_map(|seen| seen.key.as_deref()).collect();
    assert_eq!(keys.len(), seen.len(), "each request carries a key: {seen:?}");
    keys.dedup();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_doubt_is_repeated_under_its_key_where_the_peer_knows_keys() -> Result<()> {
    let mut world = World::start().await?;
    let mut body = post(world.repeated.address, "/held", "the key is ");
    body["tells_key"] = true.into();
    let told = world
        .killed_in_between(&body, async |world| world.repeated.has_seen(1).await)
        .await?;
    assert_eq!(told["response"]["body"], "answer 2");
    let seen = world.repeated.seen();
    assert_eq!((seen.len(), keys(&seen).len()), (2, 1), "{seen:?}");
    for Seen { key, body, .. } in &seen {
        let key = key.as_deref().unwrap_or_default();
        assert_eq!(*body, format!("the key is {key}"), "the component knew it before");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_doubt_is_reported_to_the_guest_where_it_does_not() -> Result<()> {
    let mut world = World::start().await?;
    let body = post(world.reported.address, "/held", "1");
    let told = world
        .killed_in_between(&body, async |world| world.reported.has_seen(1).await)
        .await?;
    let told = told["error"].as_str().unwrap_or_default();
    assert!(told.contains("outcome-unknown"), "{told}");
    assert_eq!(world.reported.seen().len(), 1, "nothing is sent twice");
    // It is an answer like any other: asked again, the same is said.
    let client = world.nexus.client().keyed("in-doubt");
    let again = client.post("/sender/send", body).await?;
    assert!(error(&again).contains("outcome-unknown"), "{}", again.json);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_frozen_before_its_request_does_not_send_it_once_another_has_taken_over() -> Result<()> {
    /// The intent is durable, the request not sent.
    const AFTER_INTENT: u32 = 2;
    let mut world = World::start().await?;
    world.restart(&[("NEXUS_FREEZE_AT", AFTER_INTENT.to_string())]).await?;
    let body = post(world.repeated.address, "/", "1");
    let asked = tokio::spawn({
        let (client, body) = (world.nexus.client().keyed("once"), body.clone());
        async move { client.post("/sender/send", body).await }
    });
    world.nexus.frozen().await?;
    let second = world.nexus.second_node(world.options(&[])).await?;
    let client = second.client().keyed("once");
    let answer = client.post_until_answered("/sender/send", &body, TAKEOVER).await?;
    assert_eq!(answer.data(200)["response"]["body"], "answer 1");
    world.nexus.thaw()?;
    // It finds that its lease is over and that others go on with its work; so it ends.
    world.nexus.ended().await?;
    drop(asked.await?);
    let seen = world.repeated.seen();
    assert_eq!((seen.len(), keys(&seen).len()), (1, 1), "{seen:?}");
    Ok(())
}
