//! Events: published with a commit or not at all, told to each subscription once and in order, whatever dies meanwhile.

mod dead_letters;
mod streams;
mod world;

use anyhow::{Result, ensure};
use component_tests::NexusOptions;
use serde_json::json;

use crate::world::{World, counts, tell};

const TRACE_PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_told_once_to_each_subscription_and_in_order() -> Result<()> {
    let world = World::start().await?;
    let client = world.nexus.client().with_header("traceparent", TRACE_PARENT);
    let first = tell(&client, "news.good", "a").await?;
    let body = json!({ "topic": "news.good", "key": "a", "roll_back": true });
    let rolled_back = world.nexus.client().post("/teller/tell", body).await?;
    ensure!(rolled_back.data(200) == "rolled back");
    // Many at once: their counts are in the order of their commits.
    let telling = (0..30).map(|n| {
        let key = ["a", "b", "c"][n % 3];
        world.tell(if n % 2 == 0 { "news.good" } else { "news.bad" }, key)
    });
    futures_util::future::try_join_all(telling).await?;
    // Without a transaction it goes with the answer.
    let bare = json!({ "topic": "news.good", "key": "bare", "bare": true });
    ensure!(world.nexus.client().post("/teller/tell", bare).await?.status == 200);
    world.delivered().await?;

    for (key, count) in [("a", 11), ("b", 10), ("c", 10)] {
        ensure!(world.heard("strict", key).await? == counts(count), "{key}");
    }
    ensure!(world.heard("strict", "bare").await? == world.heard("loose", "bare").await?);
    ensure!(world.heard("strict", "bare").await?.len() == 1);
    let good = "SELECT count(*) FROM host.event WHERE topic = 'news.good'";
    let heard = "SELECT count(*) FROM listener.heard WHERE subscription = 'loose'";
    ensure!(world.audit.count(good).await? == world.audit.count(heard).await?);
    // Each delivery is an invocation of its own, and all of an event have its id.
    let deliveries = format!("SELECT count(*) FROM listener.heard WHERE event = '{first}'");
    ensure!(world.audit.count(&deliveries).await? == 2);
    let traced = format!(
        "SELECT count(*) FROM host_view.journal_entry
         WHERE trace_parent = '{TRACE_PARENT}' AND target LIKE '%:nexus:events/subscriber.handle'"
    );
    ensure!(world.audit.count(&traced).await? == 2, "they are in its trace");
    let children = "SELECT count(*) FROM host.invocation JOIN host.event ON event.invocation_id = parent
        WHERE function = 'nexus:events/subscriber.handle' AND status = 'completed'";
    let heard = world.audit.count("SELECT count(*) FROM listener.heard").await?;
    ensure!(heard == 49 && world.audit.count(children).await? == heard, "{heard}");
    ensure!(world.audit.count("SELECT count(*) FROM teller.heard").await? == 0);
    // Nobody can read in the database what was told.
    let dump = world.audit.dump("host").await?;
    ensure!(!dump.windows(9).any(|window| window == b"{\"count\":"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_not_published() -> Result<()> {
    let world = World::start().await?;
    for body in [
        json!({ "topic": "gossip.old", "key": "a" }),
        json!({ "topic": "News", "key": "a" }),
        json!({ "topic": "news.good", "key": "" }),
        json!({ "topic": "news.good", "key": "k".repeat(256) }),
    ] {
        let refused = world.nexus.client().post("/teller/tell", body.clone()).await?;
        ensure!(refused.status == 500, "{body}: {}", refused.status);
    }
    ensure!(
        world
            .nexus
            .log()?
            .contains("add it to `publishes` in [component.teller.tool.nexus]")
    );
    ensure!(world.audit.count("SELECT count(*) FROM teller.told").await? == 0);
    ensure!(world.audit.count("SELECT count(*) FROM host.event").await? == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_fails_holds_up_itself_alone_on_any_number_of_nodes() -> Result<()> {
    let world = World::start().await?;
    let second = world.nexus.second_node(NexusOptions::default()).await?;
    let clients = [world.nexus.client(), second.client()];
    world.mood("sick", "reject before").await?;
    let telling = (0..40).map(|n| {
        let key = if n % 2 == 0 { "sick" } else { "well" };
        tell(&clients[n % 4 / 2], "news.bad", key)
    });
    futures_util::future::try_join_all(telling).await?;
    let heard = "SELECT count(*) FROM listener.heard WHERE key = 'well'";
    world.audit.becomes(heard, 20).await?;
    world.deliveries("dead", 1).await?;
    world.deliveries("waiting", 19).await?;
    ensure!(world.heard("strict", "sick").await?.is_empty());
    ensure!(world.heard("strict", "well").await? == counts(20));

    world.mood("sick", "").await?;
    let dead = world.dead_letters().await?;
    ensure!(dead.len() == 1 && dead[0]["behind"] == 19, "{dead:?}");
    ensure!(world.say(&dead[0]["id"], "replay").await?.status == 200);
    world.delivered().await?;
    ensure!(world.heard("strict", "sick").await? == counts(20));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_was_delivering_another_one_delivers() -> Result<()> {
    let mut world = World::start().await?;
    let second = world.nexus.second_node(NexusOptions::default()).await?;
    world.mood("a", "retry after").await?;
    // One of the two has it in its hands and tries, until it is dead.
    for _ in 0..10 {
        tell(&second.client(), "news.bad", "a").await?;
    }
    world.audit.becomes("SELECT count(*) FROM listener.heard", 1).await?;
    world.nexus.kill()?;
    world.mood("a", "").await?;
    // Perhaps it was given up meanwhile.
    let admin = second.admin();
    let replay = json!({ "subscription": "strict" });
    while world.audit.count("SELECT count(*) FROM host.delivery").await? > 0 {
        admin.post("/v1/dead-letters/replay", replay.clone()).await?;
    }
    ensure!(world.heard("strict", "a").await? == counts(10));
    Ok(())
}
