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
/// An effect is an intent and an outcome, and each append can be died before and after. The output goes with the outcome.
const POINTS: u32 = 4;

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

    /// Dies at the point while it works for a request with this body. `None`: it was answered before that.
    async fn dies_at(&mut self, point: u32, path: &str, body: &Value) -> Result<Option<Value>> {
        let key = format!("point-{point}");
        self.restart(&[("NEXUS_DIE_AT", point.to_string())]).await?;
        let asked = self.nexus.client().keyed(&key).post(path, body.clone()).await;
        if let Ok(answer) = asked {
            answer.data(200);
            return Ok(None);
        }
        self.nexus.ended().await?;
        self.restart(&[]).await?;
        let client = self.nexus.client().keyed(&key);
        let answer = client.post_until_answered(path, body, PATIENCE).await?;
        Ok(Some(answer.data(200).clone()))
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
    let body = post(world.repeated.address, "/held", "1");
    let told = world
        .killed_in_between(&body, async |world| world.repeated.has_seen(1).await)
        .await?;
    assert_eq!(told["response"]["body"], "answer 2");
    let seen = world.repeated.seen();
    assert_eq!((seen.len(), keys(&seen).len()), (2, 1), "{seen:?}");
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
async fn whatever_the_moment_of_death_an_effect_is_seen_at_most_twice_and_under_one_key() -> Result<()> {
    let mut world = World::start().await?;
    // Only between the request and its outcome has the peer seen what the record does not know.
    let expected = [1, 1, 2, 1];
    for (point, expected) in (1..=POINTS).zip(expected) {
        let body = post(world.repeated.address, "/", &point.to_string());
        let told = world.dies_at(point, "/sender/send", &body).await?;
        let told = told.unwrap_or_else(|| panic!("point {point} was not reached"));
        assert_eq!(told["response"]["status"], 200, "point {point}: {told}");
        let seen = world.repeated.seen_with(&point.to_string());
        assert_eq!(
            (seen.len(), keys(&seen).len()),
            (expected, 1),
            "point {point}: {seen:?}"
        );
    }
    let last = post(world.repeated.address, "/", "last");
    assert_eq!(
        world.dies_at(POINTS + 1, "/sender/send", &last).await?,
        None,
        "there are {POINTS} points"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_moment_of_death_a_reported_effect_is_seen_at_most_once() -> Result<()> {
    let mut world = World::start().await?;
    // Whether the guest is told that the outcome is unknown, and how often the peer was asked.
    let expected = [(false, 1), (true, 0), (true, 1), (false, 1)];
    for (point, expected) in (1..=POINTS).zip(expected) {
        let body = post(world.reported.address, "/", &point.to_string());
        let told = world.dies_at(point, "/sender/send", &body).await?;
        let told = told.unwrap_or_else(|| panic!("point {point} was not reached"));
        let unknown = told["error"]
            .as_str()
            .is_some_and(|text| text.contains("outcome-unknown"));
        assert!(unknown || told["response"]["status"] == 200, "point {point}: {told}");
        let seen = world.reported.seen_with(&point.to_string()).len();
        assert_eq!((unknown, seen), expected, "point {point}: {told}");
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_moment_of_death_a_pair_is_written() -> Result<()> {
    /// It rides the append of the output: there is no other.
    const RIDING: u32 = 2;
    let mut world = World::start().await?;
    for point in 1..=RIDING {
        let pair = serde_json::json!({ "store": "seen", "key": format!("key-{point}"), "value": point.to_string() });
        let told = world.dies_at(point, "/sender/set", &pair).await?;
        let told = told.unwrap_or_else(|| panic!("point {point} was not reached"));
        assert_eq!(told["value"], point.to_string(), "point {point}: {told}");
        let read = world.nexus.client().post("/sender/get", pair).await?;
        assert_eq!(read.data(200)["value"], point.to_string(), "point {point}");
    }
    Ok(())
}
