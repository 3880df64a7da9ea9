//! One at a time for each key: in order, over nodes, kills and operators; and no wait that would never end.

use anyhow::{Context, Result, ensure};
use component_tests::NexusOptions;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::world::{PATIENCE, World, told};

const PLACES: &str = "SELECT count(*) FROM host.exclusive_place";

fn at(desk: &str, ticket: &str, what: &str) -> Value {
    json!({ "desk": desk, "ticket": ticket, "what": what })
}

impl World {
    async fn places(&self, count: i64) -> Result<()> {
        self.audit.becomes(PLACES, count).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_at_a_time_over_all_nodes_and_in_order() -> Result<()> {
    let world = World::start().await?;
    let second = world.nexus.second_node(NexusOptions::default()).await?;
    // They come one after the other, to either node, and by either way.
    let holder = world.begin("flow/serve", "0", at("a", "0", "1500"));
    world.places(1).await?;
    let mut waiting = Vec::new();
    for number in 1..=4 {
        let component = ["flow", "other"][number % 2];
        let client = match number % 2 {
            0 => world.nexus.client(),
            _ => second.client(),
        };
        let client = client.keyed(&number.to_string());
        let body = at("a", &number.to_string(), "20");
        let path = format!("/{component}/serve");
        waiting.push(tokio::spawn(async move {
            client.post_until_answered(&path, &body, PATIENCE).await
        }));
        world.places(1 + number as i64).await?;
    }
    ensure!(world.ask("other/serve-later", at("a", "5", "20")).await?.len() == 36);
    world.places(6).await?;
    // Another key is another matter.
    ensure!(world.ask("flow/serve", at("b", "b", "quick")).await? == "served");

    ensure!(told(&holder.await??)? == "served");
    for answer in try_join_all(waiting).await? {
        ensure!(told(&answer?)? == "served");
    }
    world.places(0).await?;
    world.nothing_is_left().await?;
    ensure!(world.audit.served_one_at_a_time("a").await? == ["0", "1", "2", "3", "4", "5"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn within_its_call_tree_a_key_is_there_and_a_wait_in_a_circle_is_refused() -> Result<()> {
    let world = World::start().await?;
    ensure!(world.ask("flow/serve", at("a", "again", "again")).await? == "again served");
    world.places(0).await?;

    // Each holds its desk when it asks for the other's.
    let first = world.begin("other/serve", "first", at("c", "first", "d"));
    let second = world.begin("other/serve", "second", at("d", "second", "c"));
    let mut outcomes = [told(&first.await??)?, told(&second.await??)?];
    outcomes.sort();
    ensure!(
        outcomes[0].starts_with("refused: it would wait for an exclusive key"),
        "{outcomes:?}"
    );
    ensure!(outcomes[1] == "then served", "{outcomes:?}");
    world.places(0).await?;
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_through_a_workflows_output_is_refused_whichever_of_its_waits_closes_it() -> Result<()> {
    let world = World::start().await?;
    for (desk, id, last) in [("c", "key-last", "paid"), ("d", "output-last", "go")] {
        let start = json!({ "id": id, "ticket": id, "what": format!("visit {desk}") });
        ensure!(world.ask("flow/start", start).await? == "started");
        let holder = world.begin("flow/serve", id, at(desk, id, &format!("attach {id}")));
        world.places(1).await?;
        let complete = |name: &str| json!({ "id": id, "ticket": id, "what": name, "name": name });
        for name in ["paid", "go"].into_iter().filter(|name| *name != last) {
            ensure!(world.ask("flow/complete", complete(name)).await? == "completed");
        }
        // Each waits: who holds the desk for the workflow, or the workflow for the desk.
        let waits = match last {
            "paid" => {
                "SELECT count(*) FROM host.promise_waiter JOIN host.promise ON id = promise_id WHERE name IN ('', 'paid')"
            }
            _ => {
                "SELECT count(*) FROM host.exclusive_place JOIN host.invocation ON id = invocation_id WHERE status = 'suspended'"
            }
        };
        world.audit.becomes(waits, 2).await?;
        ensure!(world.ask("flow/complete", complete(last)).await? == "completed");
        let outcome = told(&holder.await??)?;
        ensure!(
            outcome.starts_with("go, returned paid, refused: it would wait for an exclusive key"),
            "{last}: {outcome}"
        );
        world.places(0).await?;
    }
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_through_outputs_alone_is_refused_to_whoever_closes_it() -> Result<()> {
    let world = World::start().await?;
    let start = async |id: &str, what: &str| {
        let start = json!({ "id": id, "ticket": id, "what": what });
        ensure!(world.ask("flow/start", start).await? == "started");
        Ok(())
    };
    let go = async |id: &str| {
        let complete = json!({ "id": id, "ticket": id, "what": "now", "name": "go" });
        ensure!(world.ask("flow/complete", complete).await? == "completed");
        Ok(())
    };
    let end = async |id: &str| {
        let attach = json!({ "id": id, "ticket": "end" });
        told(&world.begin("flow/attach", &format!("end-of-{id}"), attach).await??)
    };
    start("own", "own own").await?;
    ensure!(end("own").await? == "returned a circle");

    // Each waits for the next one once it is told to go, the last for the first.
    for (id, next) in [("a", "b"), ("b", "c"), ("c", "a")] {
        start(id, &format!("follow {next}")).await?;
    }
    for (id, outputs) in [("a", 1), ("b", 2)] {
        go(id).await?;
        let waits = "SELECT count(*) FROM host.promise_waiter JOIN host.promise ON id = promise_id WHERE name = ''";
        world.audit.becomes(waits, outputs).await?;
    }
    go("c").await?;
    ensure!(end("c").await? == "returned now, a circle");
    ensure!(end("b").await? == "returned now, returned now, a circle");
    ensure!(end("a").await? == "returned now, returned now, returned now, a circle");

    // At the same moment: of both at least one is told.
    start("x", "follow y").await?;
    start("y", "follow x").await?;
    tokio::try_join!(go("y"), go("x"))?;
    let (x, y) = tokio::try_join!(end("x"), end("y"))?;
    ensure!([&x, &y].iter().all(|outcome| outcome.contains("a circle")), "{x}; {y}");
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_holder_holds_and_a_cancelled_one_does_not() -> Result<()> {
    let world = World::start().await?;
    let admin = world.nexus.admin();
    let holder = world.begin("flow/serve", "holder", at("a", "holder", "600000"));
    world.places(1).await?;
    world.audit.suspended(1).await?;
    let of_holder = "SELECT invocation_id::text FROM host.exclusive_place ORDER BY number";
    let holding = world.audit.texts(of_holder).await?.pop().context("somebody holds it")?;
    let gone = world.begin("flow/serve", "gone", at("a", "gone", "quick"));
    world.places(2).await?;
    let leaving = world.audit.texts(of_holder).await?.pop().context("somebody waits")?;
    let waiting = world.begin("flow/serve", "waiting", at("a", "waiting", "quick"));
    world.places(3).await?;
    world.audit.suspended(3).await?;

    let steer = |id: &str, verb: &str| {
        let path = format!("/v1/invocations/{id}/{verb}");
        let admin = &admin;
        async move {
            let answer = admin.post(&path, json!({})).await?;
            ensure!(answer.status == 200, "{}", answer.json);
            Ok(())
        }
    };
    steer(&holding, "pause").await?;
    steer(&leaving, "cancel").await?;
    world.places(2).await?;
    ensure!(
        world.audit.texts(of_holder).await?.first() == Some(&holding),
        "paused, it holds its key"
    );
    steer(&holding, "cancel").await?;
    ensure!(told(&waiting.await??)? == "served");
    ensure!(gone.await??.status != 200 && holder.await??.status != 200);
    world.places(0).await?;
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_answers_holds_no_key_any_more_and_saying_it_again_changes_nothing() -> Result<()> {
    let world = World::start().await?;
    let admin = world.nexus.admin();
    let body = at("a", "holder", "600000");
    let holding = world.begin("flow/serve", "holder", body.clone());
    world.places(1).await?;
    world.audit.suspended(1).await?;
    let holder = "SELECT invocation_id::text FROM host.exclusive_place";
    let holder = world.audit.texts(holder).await?.pop().context("somebody holds it")?;
    let waiting = world.begin("flow/serve", "waiting", at("a", "waiting", "quick"));
    world.places(2).await?;
    world.nexus.run(&["invocations", "pause", &holder])?;

    let shown = admin.get(&format!("/v1/invocations/{holder}")).await?.json;
    let journal = shown["journal"].as_array().context("a journal")?;
    let is_called = |entry: &&Value| {
        let target = entry["target"].as_str();
        target.is_some_and(|target| target.contains("test:flow/desks") && target.ends_with(".serve"))
    };
    let position = &journal.iter().find(is_called).context("it was called")?["position"];
    let answer = async |text: &str| {
        let answer = json!({ "position": position, "answer": { "json": { "ok": text } }, "reason": "by hand" });
        admin
            .post(&format!("/v1/invocations/{holder}/complete-entry"), answer)
            .await
    };
    for _ in 0..2 {
        let answered = answer("by hand").await?;
        ensure!(
            answered.status == 200 && answered.json["status"] == "paused",
            "{}",
            answered.json
        );
    }
    ensure!(answer("otherwise").await?.status == 422);
    // It waits for a person still, and nobody waits for it.
    ensure!(told(&waiting.await??)? == "served");
    world.places(0).await?;

    world.nexus.run(&["invocations", "resume", &holder])?;
    ensure!(world.answered("flow/serve", "holder", &body).await? == "by hand");
    let answered = answer("by hand").await?;
    ensure!(
        answered.status == 200 && answered.json["status"] == "completed",
        "{}",
        answered.json
    );
    ensure!(answer("otherwise").await?.status == 422);
    let said = "SELECT count(*) FROM host.audit WHERE verb = 'complete-entry'";
    ensure!(world.audit.count(said).await? == 1);
    drop(holding);
    world.nothing_is_left().await
}
