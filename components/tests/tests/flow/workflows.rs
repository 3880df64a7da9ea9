//! An id, one workflow: started once whoever asks, its output and its promises for others.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_started_once_and_its_output_is_for_everybody() -> Result<()> {
    let world = World::start().await?;
    let start = |component: &str, id: &str, what: &str| {
        let path = format!("{component}/start");
        let body = json!({ "id": id, "ticket": id, "what": what });
        let world = &world;
        async move { world.ask(&path, body).await }
    };
    // Only its commit counts.
    let rolled_back = json!({ "id": "first", "ticket": "first", "what": "done", "roll_back": true });
    ensure!(world.ask("flow/start", rolled_back).await? == "rolled back");
    let attach = json!({ "id": "first", "ticket": "attached" });
    ensure!(world.ask("other/attach", attach.clone()).await? == "not found");

    ensure!(start("flow", "first", "done").await? == "started");
    let invocation = "SELECT invocation_id::text FROM host.workflow WHERE id = 'first'";
    let invocation = world.audit.texts(invocation).await?.pop().context("it is known")?;
    for component in ["flow", "other"] {
        // Other arguments make no other workflow.
        let again = start(component, "first", "something else").await?;
        ensure!(again == format!("already started {invocation}"), "{again}");
        let attached = world.ask(&format!("{component}/attach"), attach.clone()).await?;
        ensure!(attached == "returned done", "{attached}");
    }
    ensure!(world.notes("flow", "first").await? == ["asked", "asked", "begun", "done"]);

    // What the WIT calls an error is an answer.
    ensure!(start("other", "refused", "refuse").await? == "started");
    let refused = world
        .ask("other/attach", json!({ "id": "refused", "ticket": "refused" }))
        .await?;
    ensure!(refused == "failed: it is refused", "{refused}");

    // Of many at once one starts it.
    let racing = (0..20).map(|n| start(["flow", "other"][n % 2], "race", "done"));
    let outcomes = try_join_all(racing).await?;
    let started = outcomes.iter().filter(|outcome| *outcome == "started").count();
    let others = outcomes
        .iter()
        .filter(|outcome| outcome.starts_with("already started"))
        .count();
    ensure!((started, others) == (1, 19), "{outcomes:?}");
    world.nothing_is_left().await?;
    let begun = "SELECT count(*) FROM flow.note WHERE ticket = 'race' AND what = 'begun'";
    ensure!(world.audit.count(begun).await? == 1);

    // An id has bounds, and a component names what it is granted.
    for id in [String::new(), "x".repeat(256)] {
        let body = json!({ "id": id, "ticket": "bounds", "what": "done" });
        ensure!(world.nexus.client().post("/flow/start", body).await?.status == 500);
    }
    ensure!(
        world
            .nexus
            .log()?
            .contains("the id of a workflow has 256 bytes: it needs 1 to 255")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_of_a_workflow_is_found_by_its_name() -> Result<()> {
    let mut world = World::start().await?;
    let complete = |what: &str| json!({ "id": "7", "ticket": "webhook", "what": what, "name": "paid" });
    ensure!(world.ask("other/complete", complete("too early")).await? == "not found");
    ensure!(world.ask("other/wait", json!({ "id": "7", "name": "paid" })).await? == "not found");

    ensure!(
        world
            .ask("other/start", json!({ "id": "7", "ticket": "7", "what": "await" }))
            .await?
            == "started"
    );
    let attach = json!({ "id": "7", "ticket": "attached" });
    let attaching = world.begin("flow/attach", "attached", attach.clone());
    let waiting = world.begin("flow/wait", "waiting", json!({ "id": "7", "name": "paid" }));
    let timed_out = world
        .ask("other/attach", json!({ "id": "7", "ticket": "short", "timeout_ms": 1 }))
        .await?;
    ensure!(timed_out == "timed out", "{timed_out}");
    world.audit.suspended(3).await?;
    world.nexus.kill()?;
    ensure!(attaching.await?.is_err() && waiting.await?.is_err());

    // Who knows the workflow's id alone completes it, once, and all that wait go on.
    world.restart(&[]).await?;
    ensure!(world.ask("other/complete", complete("yes")).await? == "completed");
    ensure!(world.ask("flow/complete", complete("no")).await? == "already completed");
    ensure!(world.answered("flow/attach", "attached", &attach).await? == "returned 7 yes");
    let waited = world
        .answered("flow/wait", "waiting", &json!({ "id": "7", "name": "paid" }))
        .await?;
    ensure!(waited == "yes", "{waited}");
    ensure!(world.notes("flow", "7").await? == ["7 yes", "begun"]);

    // One that comes before anybody waits is kept.
    let kept = json!({ "id": "7", "ticket": "kept", "what": "kept", "name": "shipped" });
    ensure!(world.ask("flow/complete", kept).await? == "completed");
    ensure!(world.ask("other/wait", json!({ "id": "7", "name": "shipped" })).await? == "kept");
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_when_an_operator_ends_it_and_a_restart_is_the_workflow() -> Result<()> {
    let world = World::start().await?;
    let start = json!({ "id": "8", "ticket": "8", "what": "await" });
    ensure!(world.ask("flow/start", start.clone()).await? == "started");
    let attaching = world.begin("flow/attach", "attached", json!({ "id": "8", "ticket": "attached" }));
    world.audit.suspended(2).await?;
    let of_workflow = "SELECT invocation_id::text FROM host.workflow WHERE id = '8'";
    let first = world.audit.texts(of_workflow).await?.pop().context("it is known")?;
    let admin = world.nexus.admin();
    let cancelled = admin
        .post(&format!("/v1/invocations/{first}/cancel"), json!({}))
        .await?;
    ensure!(cancelled.status == 200, "{}", cancelled.json);
    ensure!(crate::world::told(&attaching.await??)? == "cancelled");
    ensure!(world.ask("other/start", start).await? == format!("already started {first}"));

    let restarted = admin
        .post(&format!("/v1/invocations/{first}/restart"), json!({ "force": true }))
        .await?;
    ensure!(restarted.status == 200, "{}", restarted.json);
    let second = world.audit.texts(of_workflow).await?.pop().context("it is known")?;
    ensure!(second != first);
    let attaching = world.begin(
        "flow/attach",
        "attached-2",
        json!({ "id": "8", "ticket": "attached-2" }),
    );
    world.audit.suspended(2).await?;
    let complete = json!({ "id": "8", "ticket": "webhook", "what": "yes", "name": "paid" });
    ensure!(world.ask("other/complete", complete).await? == "completed");
    ensure!(crate::world::told(&attaching.await??)? == "returned 8 yes");
    world.nothing_is_left().await?;

    // An id is known for as long as its own retention says, and the invocation as long as the id.
    let old = "UPDATE host.invocation SET ended_at = now() - interval '40 days' WHERE ended_at IS NOT NULL";
    world.audit.change(old).await?;
    let kept = format!(
        "SELECT count(*) FROM host.invocation WHERE id = '{second}'
             AND NOT host.is_forgettable(id, status, ended_at, now() - interval '30 days')"
    );
    ensure!(world.audit.count(&kept).await? == 1);
    Ok(())
}
