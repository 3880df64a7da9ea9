//! As many invocations of a component are open as may be: what would begin another one is refused, and nothing else is.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Client, Edited};
use serde_json::{Value, json};

use crate::world::{MANIFEST, World};

const LIMIT: i64 = 3;
const PATIENCE: Duration = Duration::from_secs(60);
const BEGUN: &str = "SELECT count(*) FROM host.invocation WHERE component = 'crowd'";
const OPEN: &str = "SELECT count(*) FROM host.invocation WHERE component = 'crowd' AND ended_at IS NULL";

/// Suspended for longer than any test lasts.
fn long_nap(ticket: &str) -> Value {
    json!({ "ticket": ticket, "ms": 3_600_000 })
}

/// Waits suspend at once, and few may be open.
fn few(manifest: &str) -> String {
    let schema = "schema = \"crowd\"";
    assert!(manifest.contains(schema), "the manifest has another shape");
    let lines = format!("{schema}\nwait_hold_ms = 0\nopen_limit = {LIMIT}\nopen_limit_except = [\"POST /crowd/note\"]");
    manifest.replace(schema, &lines)
}

/// Asks for what begins nothing, until it is refused. The last count is new then, or the next one begun: after a quiet time the first is let in.
async fn becomes_full(client: &Client) -> Result<()> {
    let refused = async {
        while client.post("/crowd/nap", json!({})).await?.status != 503 {}
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, refused)
        .await
        .context("as many are open as may be, and nobody is refused")?
}

#[tokio::test(flavor = "multi_thread")]
async fn one_more_than_may_be_open_is_refused_until_another_one_has_ended() -> Result<()> {
    let edited = Edited::application(Path::new(MANIFEST), few)?;
    let world = World::start_edited(&edited).await?;
    let client = world.nexus.client();
    let mut callers = Vec::new();
    for number in 0..LIMIT {
        let key = format!("nap-{number}");
        let client = client.keyed(&key);
        // One that has just become durable may be in a count and beside it, too: then its successor comes a moment too early.
        callers.push(tokio::spawn(async move {
            client
                .post_until_answered("/crowd/nap", &long_nap(&key), PATIENCE)
                .await
        }));
        world.audit.suspended(number + 1).await?;
    }
    ensure!(world.audit.count(BEGUN).await? == LIMIT);

    becomes_full(&client).await?;
    let refused = client.post("/crowd/nap", long_nap("one-more")).await?;
    let message = refused.failed(503, "unavailable")["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        message.contains("`crowd`") && message.contains("`open_limit` is 3"),
        "{message}"
    );
    ensure!(refused.headers["retry-after"] == "1", "{:?}", refused.headers);
    ensure!(world.audit.count(BEGUN).await? == LIMIT, "nothing of it is begun");

    // What reads, what the manifest excepts, what was begun before, and who has nothing to do with it.
    ensure!(client.get("/crowd/greeting").await?.status == 200);
    let note = json!({ "ticket": "note", "ms": 0 });
    ensure!(client.post("/crowd/note", note.clone()).await?.data(200)["told"] == "noted");
    ensure!(client.post("/neighbour/note", note).await?.data(200)["told"] == "noted");
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    let again = client.keyed("nap-0").post("/crowd/nap", long_nap("nap-0")).await?;
    again.failed(409, "idempotency_key_in_use");

    let suspended =
        "SELECT id::text FROM host.invocation WHERE component = 'crowd' AND status = 'suspended' ORDER BY id";
    let first = world.audit.texts(suspended).await?.into_iter().next();
    world
        .nexus
        .run(&["invocations", "cancel", &first.context("one that naps")?])?;
    world.audit.becomes(OPEN, LIMIT - 1).await?;
    let nap = json!({ "ticket": "in-its-place", "ms": 1 });
    let answer = client.post_until_answered("/crowd/nap", &nap, PATIENCE).await?;
    ensure!(answer.data(200)["told"] == "napped", "{}", answer.json);

    let (_, samples) = world.nexus.scrape().await?;
    let refused = samples.get("nexus_open_refused_total{component=\"crowd\"}");
    ensure!(refused.is_some_and(|count| *count >= 1.0), "{samples:?}");
    Ok(())
}
