//! Sleeping, and waiting for promises: in memory for a while, then as rows, over kills and restarts, and each step once.

mod callers;
mod encrypted;
mod holding;
mod release;
mod retries;
mod sending;
mod world;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use component_tests::Edited;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::release::peer;
use crate::world::{MANIFEST, PATIENCE, World, told};

/// A promise nobody made.
const UNKNOWN: &str = "01890000-0000-7000-8000-000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn a_short_wait_keeps_its_instance_and_is_told_at_once() -> Result<()> {
    let world = World::start().await?;
    let slept_ms: u64 = world
        .ask("sleep", json!({ "ticket": "nap", "ms": 50 }))
        .await?
        .parse()?;
    ensure!((50..5_000).contains(&slept_ms), "{slept_ms} ms");
    ensure!(world.notes("nap").await? == ["after", "before"]);

    let waiting = world.begin("wait", json!({ "ticket": "quick", "timeout_ms": null }));
    let promise = world.promise("quick").await?;
    let completed = Instant::now();
    ensure!(world.complete(&promise, "\"paid\"").await? == "completed");
    let answer = waiting.await??;
    ensure!(told(&answer) == "value \"paid\"");
    ensure!(
        completed.elapsed() < Duration::from_secs(1),
        "{:?}",
        completed.elapsed()
    );
    // Nothing of it was recorded but the answer: no invocation changed hands.
    world.nothing_is_left().await?;
    ensure!(
        world
            .audit
            .count("SELECT sum(attempt)::bigint FROM host.invocation")
            .await?
            == 0
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_is_completed_once_and_what_it_was_completed_with_stays() -> Result<()> {
    let world = World::start().await?;
    let waiting = world.begin("wait", json!({ "ticket": "once", "timeout_ms": 1 }));
    ensure!(told(&waiting.await??) == "timed out");
    let promise = world.promise("once").await?;

    // What is rolled back did not happen.
    let body = json!({ "promise": promise, "value": "lost", "roll_back": true });
    ensure!(world.ask("complete", body).await? == "rolled back");
    ensure!(
        world
            .ask("wait-for", json!({ "promise": promise, "timeout_ms": 1 }))
            .await?
            == "timed out"
    );

    ensure!(world.complete(&promise, "first").await? == "completed");
    ensure!(world.complete(&promise, "second").await? == "already completed");
    for _ in 0..2 {
        let body = json!({ "promise": promise, "timeout_ms": null });
        ensure!(world.ask("wait-for", body).await? == "value first");
    }
    for unknown in [UNKNOWN, "no id at all", ""] {
        ensure!(world.complete(unknown, "x").await? == "not found");
        let body = json!({ "promise": unknown, "timeout_ms": null });
        ensure!(world.ask("wait-for", body).await? == "not found");
    }
    let own = world.ask("complete-own", json!({ "ticket": "own" })).await?;
    ensure!(own == "completed, already completed, value own", "{own}");

    // Of many at once one is the first, and all are told the truth.
    let waiting = world.begin("wait", json!({ "ticket": "race", "timeout_ms": null }));
    let promise = world.promise("race").await?;
    let racing = (0..20).map(|n| world.ask("complete", json!({ "promise": promise, "value": n.to_string() })));
    let outcomes = futures_util::future::join_all(racing).await;
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    let first = outcomes.iter().position(|outcome| outcome == "completed");
    let first = first.ok_or_else(|| anyhow::anyhow!("nobody was the first: {outcomes:?}"))?;
    let others = outcomes.iter().filter(|outcome| *outcome == "already completed");
    ensure!(others.count() == 19, "{outcomes:?}");
    ensure!(told(&waiting.await??) == format!("value {first}"));
    ensure!(
        world
            .audit
            .count(&format!(
                "SELECT count(*) FROM waiter.note WHERE ticket = '{promise}' AND what = 'completed'"
            ))
            .await?
            == 1
    );
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_while_a_transaction_is_open() -> Result<()> {
    let world = World::start().await?;
    let answer = world
        .nexus
        .client()
        .post("/waiter/wait-in-transaction", json!({ "ticket": "open" }))
        .await?;
    ensure!(answer.status == 500, "{}", answer.status);
    let log = world.nexus.log()?;
    ensure!(
        log.contains("nexus:durable/invocation.sleep was used while the transaction begun at"),
        "{log}"
    );
    ensure!(world.notes("open").await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_not_granted_is_not_called() -> Result<()> {
    // `first` is there, and exports what is asked for.
    let edited = Edited::application(Path::new(MANIFEST), |manifest| manifest.to_owned() + &peer("first"))?;
    let world = World::start_edited(edited).await?;
    ensure!(world.ask("ask", json!({ "provider": "waiter" })).await? == "waiter");
    for named in ["first", "nobody", ""] {
        let answer = world
            .nexus
            .client()
            .post("/waiter/ask", json!({ "provider": named }))
            .await?;
        answer.failed(500, "internal");
        let refused =
            format!("test:waiter/peers@0.1.0.hear was sent to {named:?}, which is not among the granted providers");
        let log = world.nexus.log()?;
        ensure!(log.contains(&refused), "{refused:?} is not in\n{log}");
    }
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_wait_costs_rows_and_survives_its_host() -> Result<()> {
    let mut world = World::start_without_patience().await?;
    let nap = json!({ "ticket": "nap", "ms": 6_000 });
    let begun = Instant::now();
    let sleeping = world.begin("sleep", nap.clone());
    let wait = json!({ "ticket": "long", "timeout_ms": null });
    let waiting = world.begin("wait", wait.clone());
    world.audit.suspended(2).await?;
    world.nexus.kill()?;
    ensure!(sleeping.await?.is_err() && waiting.await?.is_err());

    world.restart(&[]).await?;
    let promise = world.promise("long").await?;
    ensure!(world.complete(&promise, "late").await? == "completed");
    ensure!(world.answered("wait", &wait).await? == "value late");
    let slept_ms: u64 = world.answered("sleep", &nap).await?.parse()?;
    ensure!(
        slept_ms >= 6_000 && begun.elapsed() >= Duration::from_secs(6),
        "{slept_ms} ms"
    );
    ensure!(world.notes("nap").await? == ["after", "before"]);
    ensure!(world.notes("long").await? == ["before", "value late"]);
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_timed_out_or_woken_for_nothing_ends_as_it_should() -> Result<()> {
    let world = World::start_without_patience().await?;
    let wait = json!({ "ticket": "timed", "timeout_ms": 300 });
    ensure!(told(&world.begin("wait", wait.clone()).await??) == "timed out");
    let promise = world.promise("timed").await?;
    // Too late for this one; kept for others.
    ensure!(world.complete(&promise, "kept").await? == "completed");
    ensure!(world.answered("wait", &wait).await? == "timed out");
    let body = json!({ "promise": promise, "timeout_ms": null });
    ensure!(world.ask("wait-for", body).await? == "value kept");

    // Woken again and again by nothing, it goes on waiting.
    let waiting = world.begin("wait", json!({ "ticket": "patient", "timeout_ms": null }));
    let promise = world.promise("patient").await?;
    for attempts in [2, 4, 6] {
        world.audit.suspended(1).await?;
        let woken = "INSERT INTO host.wakeup (invocation_id) SELECT id FROM host.invocation WHERE status = 'suspended'";
        ensure!(world.audit.change(woken).await? == 1);
        let entries = format!(
            "SELECT count(*) FROM host.journal_entry JOIN host.invocation ON id = invocation_id
             WHERE status = 'suspended' AND attempt >= {}",
            attempts / 2
        );
        // A wake, and the entry under which it is given up again.
        let settled = "SELECT count(*) FROM host.wakeup";
        world.audit.becomes(settled, 0).await?;
        world.audit.suspended(1).await?;
        ensure!(world.audit.count(&entries).await? > attempts);
    }
    ensure!(world.complete(&promise, "at last").await? == "completed");
    ensure!(told(&timeout(PATIENCE, waiting).await???) == "value at last");
    ensure!(world.notes("patient").await? == ["before", "value at last"]);
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_the_database_refuses_again_and_again_is_left_to_a_person() -> Result<()> {
    let world = World::start_without_patience().await?;
    let wait = json!({ "ticket": "refused", "timeout_ms": 3_000 });
    let waiting = world.begin("wait", wait.clone());
    world.audit.suspended(1).await?;
    // What rides a transaction of the module, and no fence.
    for statement in [
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'the disk has a bad day'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON host.journal_entry FOR EACH ROW
             WHEN (session_user LIKE '%waiter%') EXECUTE FUNCTION public.refuse()",
    ] {
        world.audit.change(statement).await?;
    }
    const PAUSED: &str = "FROM host.invocation WHERE status = 'paused'";
    world.audit.becomes(&format!("SELECT count(*) {PAUSED}"), 1).await?;
    let cause = world.audit.texts(&format!("SELECT cause {PAUSED}")).await?.join("");
    ensure!(
        cause.contains("the disk has a bad day") && cause.ends_with("5 attempts in a row have failed"),
        "{cause}"
    );
    ensure!(world.notes("refused").await? == ["before"]);

    world.audit.change("DROP TRIGGER refuse ON host.journal_entry").await?;
    let resume = ["invocations", "resume", "--status", "paused", "--component", "waiter"];
    let said = world.nexus.run(&resume)?;
    ensure!(said.contains("resume: 1 of 1"), "{said}");
    ensure!(world.answered("wait", &wait).await? == "timed out");
    ensure!(world.notes("refused").await? == ["before", "timed out"]);
    drop(waiting);
    world.nothing_is_left().await
}
