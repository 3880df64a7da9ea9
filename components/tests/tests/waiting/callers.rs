//! How long a caller waits for what goes on without it, and what the next one under its key is told.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::world::{PATIENCE, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_waits_once_wherever_its_answer_comes_from() -> Result<()> {
    // The instance is given up after three of the four seconds: what is left to wait for the answer of a row is one.
    let world = World::start_with("wait_hold_ms = 3_000\nrequest_timeout_ms = 4_000").await?;
    let asked = Instant::now();
    let answer = world
        .begin("sleep", json!({ "ticket": "long", "ms": 60_000 }))
        .await??;
    let message = answer.failed(503, "unavailable")["message"].to_string();
    assert!(message.contains("goes on as invocation"), "{message}");
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_repeats_a_request_whose_caller_has_left_hears_that_the_key_is_in_use() -> Result<()> {
    let world = World::start_with("request_timeout_ms = 1_000").await?;
    let body = json!({ "ticket": "twice", "ms": 60_000 });
    // The second joins the first while that waits for its second: it is told when that ends, and is not itself the one that began.
    let (one, other) = tokio::join!(world.begin("sleep", body.clone()), world.begin("sleep", body));
    let mut answers = [one??, other??];
    answers.sort_by_key(|answer| answer.status);
    let [joined, first] = &answers;
    joined.failed(409, "idempotency_key_in_use");
    let message = first.failed(503, "unavailable")["message"].to_string();
    assert!(message.contains("goes on as invocation"), "{message}");
    assert_eq!(joined.headers["x-invocation-id"], first.headers["x-invocation-id"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_anothers_answer_reads_no_record_that_has_none() -> Result<()> {
    let world = World::start_with("wait_hold_ms = 0\nrequest_timeout_ms = 1_000").await?;
    let body = json!({ "ticket": "long", "ms": 600_000 });
    let first = world.begin("sleep", body.clone()).await??;
    first.failed(503, "unavailable");
    world.audit.suspended(1).await?;

    // Whoever reads an entry waits from here on.
    world.audit.change("BEGIN").await?;
    world.audit.change("LOCK TABLE host.journal_entry").await?;
    let second = timeout(PATIENCE, world.begin("sleep", body)).await;
    world.audit.change("ROLLBACK").await?;
    let second = second.context("it waits for its turn at the journal")???;
    second.failed(409, "idempotency_key_in_use");
    Ok(())
}
