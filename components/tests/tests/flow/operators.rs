//! A person looks what something waits for, and brings it.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::world::{World, told};

const FUNCTION: &str = "test:flow/jobs.run";

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_is_waited_for_and_completes_it_once() -> Result<()> {
    let world = World::start().await?;
    let admin = world.nexus.admin().with_header("x-operator", "ann");
    let start = json!({ "id": "7", "ticket": "7", "what": "await" });
    ensure!(world.ask("other/start", start).await? == "started");
    let attaching = world.begin("flow/attach", "attached", json!({ "id": "7", "ticket": "attached" }));
    world.audit.suspended(2).await?;

    let shown = |id: String| {
        let admin = &admin;
        async move {
            let answer = admin.get(&format!("/v1/invocations/{id}")).await?;
            ensure!(answer.status == 200, "{}", answer.json);
            Ok::<Value, anyhow::Error>(answer.json)
        }
    };
    let of = |what: &str| {
        format!("SELECT id::text FROM host.invocation WHERE status = 'suspended' AND function LIKE '{what}'")
    };
    let workflow = world
        .audit
        .texts(&of("test:flow/jobs%"))
        .await?
        .pop()
        .context("it waits")?;
    let attached = world.audit.texts(&of("nexus:http%")).await?.pop().context("it waits")?;
    let detail = shown(workflow.clone()).await?;
    ensure!(detail["workflow"] == json!([FUNCTION, "7"]), "{detail}");
    ensure!(detail["invocation"]["workflow_id"] == "7", "{detail}");
    let waits = &detail["waits_for"][0]["promise"];
    ensure!(
        waits["name"] == "paid" && waits["workflow"] == json!([FUNCTION, "7"]),
        "{detail}"
    );
    let detail = shown(attached).await?;
    let waits = &detail["waits_for"][0]["output"];
    ensure!(
        waits["invocation"] == workflow && waits["workflow"] == json!([FUNCTION, "7"]),
        "{detail}"
    );
    let listed = admin.get("/v1/invocations").await?;
    let listed = listed.json["invocations"].as_array().context("a list")?;
    for invocation in listed {
        let expected = if invocation["id"] == workflow {
            json!("7")
        } else {
            Value::Null
        };
        ensure!(invocation["workflow_id"] == expected, "{invocation}");
    }
    let listed = world.nexus.run(&["invocations", "list"])?;
    let line = listed.lines().find(|line| line.starts_with(&workflow));
    ensure!(line.is_some_and(|line| line.contains("workflow \"7\"")), "{listed}");
    ensure!(listed.matches("workflow \"").count() == 1, "{listed}");
    let listed = world.nexus.run(&[
        "invocations",
        "list",
        "--function",
        "test:flow/jobs@0.1.0.run",
        "--json",
    ])?;
    ensure!(
        serde_json::from_str::<Value>(&listed)?["workflow_id"] == "7",
        "{listed}"
    );
    let listed = world.nexus.run(&["invocations", "show", &workflow])?;
    ensure!(
        listed.contains("waits for the promise \"paid\" of the workflow \"7\" of test:flow/jobs.run"),
        "{listed}"
    );

    // By the workflow and the name; only once, and never the output.
    let paid = |workflow: &str, value: &str| json!({ "function": FUNCTION, "workflow": workflow, "name": "paid", "value": { "json": value }, "reason": "seen at the bank" });
    let unknown = admin.post("/v1/promises", paid("8", "yes")).await?;
    ensure!(
        unknown.status == 404 && unknown.json["code"] == "unknown-promise",
        "{}",
        unknown.json
    );
    let nameless = admin
        .post(
            "/v1/promises",
            json!({ "function": FUNCTION, "workflow": "7", "value": { "json": 1 }, "reason": "" }),
        )
        .await?;
    ensure!(
        nameless.status == 400 && nameless.json["errors"][0]["parameter"] == "name",
        "{}",
        nameless.json
    );
    let output = world
        .audit
        .texts("SELECT id::text FROM host.promise WHERE name = ''")
        .await?;
    let output = output.first().context("a workflow has one")?;
    let made_up = json!({ "value": { "json": 1 }, "reason": "no" });
    let refused = admin.post(&format!("/v1/promises/{output}"), made_up).await?;
    ensure!(refused.status == 409, "{}", refused.json);

    let first = admin.post("/v1/promises", paid("7", "yes")).await?;
    ensure!(
        first.status == 200 && first.json["outcome"] == "completed",
        "{}",
        first.json
    );
    ensure!(first.json["invocation"] == workflow, "{}", first.json);
    ensure!(told(&attaching.await??)? == "returned 7 yes");
    let second = admin.post("/v1/promises", paid("7", "no")).await?;
    ensure!(
        second.json["outcome"] == "already-completed" && second.json["id"] == first.json["id"],
        "{}",
        second.json
    );
    let audit = admin.get(&format!("/v1/audit?invocation={workflow}")).await?;
    let said = audit.json["audit"].as_array().context("a list")?;
    ensure!(said.len() == 1, "{}", audit.json);
    ensure!(
        said[0]["verb"] == "complete-promise"
            && said[0]["operator"] == "ann"
            && said[0]["reason"] == "seen at the bank",
        "{}",
        audit.json
    );

    for (component, words) in [("flow", 1), ("other", 0)] {
        let of_it = admin.get(&format!("/v1/audit?component={component}")).await?;
        let said = of_it.json["audit"].as_array().map(Vec::len);
        ensure!(said == Some(words), "{component}: {}", of_it.json);
    }

    // The same from the command line, by its id.
    let start = json!({ "id": "9", "ticket": "9", "what": "await" });
    ensure!(world.ask("flow/start", start).await? == "started");
    world.audit.suspended(1).await?;
    let id = "SELECT promise.id::text FROM host.promise JOIN host.workflow USING (invocation_id) WHERE workflow.id = '9' AND name = 'paid'";
    let id = world.audit.texts(id).await?.pop().context("it is waited for")?;
    let said = world.nexus.run(&[
        "promises", "complete", &id, "--value", "\"late\"", "--reason", "by phone", "--as", "bob",
    ])?;
    ensure!(said.contains("completed"), "{said}");
    ensure!(world.ask("flow/attach", json!({ "id": "9", "ticket": "9" })).await? == "returned 9 late");
    world.nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_key_is_told_who_holds_it() -> Result<()> {
    let world = World::start().await?;
    let serve = |ticket: &str| json!({ "desk": "a", "ticket": ticket, "what": "600000" });
    let places = "SELECT invocation_id::text FROM host.exclusive_place ORDER BY number";
    let _holder = world.begin("flow/serve", "holder", serve("holder"));
    world.audit.suspended(1).await?;
    let _waiter = world.begin("flow/serve", "waiter", serve("waiter"));
    world.audit.suspended(2).await?;
    let places = world.audit.texts(places).await?;
    let detail = world
        .nexus
        .admin()
        .get(&format!("/v1/invocations/{}", places[1]))
        .await?;
    let waits = &detail.json["waits_for"][0]["key"];
    ensure!(
        waits["holder"] == places[0] && waits["function"] == "test:flow/desks.serve",
        "{}",
        detail.json
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_filter_chooses_is_paused_at_once_and_misses_nothing_meanwhile() -> Result<()> {
    const PAUSED: &str = "SELECT count(*) FROM host.invocation WHERE status = 'paused'";
    let world = World::start().await?;
    let ids = ["1", "2", "3"];
    for id in ids {
        let start = json!({ "id": id, "ticket": id, "what": "await" });
        ensure!(world.ask("other/start", start).await? == "started");
    }
    world.audit.suspended(3).await?;
    let chosen = ["--status", "suspended", "--component", "flow"];
    let pause = [
        &["invocations", "pause"],
        &chosen[..],
        &["--reason", "the bank is closed"],
    ]
    .concat();
    let said = world.nexus.run(&pause)?;
    ensure!(said.contains("pause: 3 of 3"), "{said}");
    world.audit.becomes(PAUSED, 3).await?;
    // A second click finds nothing to do.
    let said = world.nexus.run(&pause)?;
    ensure!(said.contains("pause: 0 of 0"), "{said}");

    // What they wait for comes, and moves nobody whom a person has stopped.
    for id in ids {
        let paid =
            json!({ "function": FUNCTION, "workflow": id, "name": "paid", "value": { "json": "yes" }, "reason": "" });
        let completed = world.nexus.admin().post("/v1/promises", paid).await?;
        ensure!(completed.json["outcome"] == "completed", "{}", completed.json);
    }
    ensure!(world.audit.count(PAUSED).await? == 3);
    let resume = ["invocations", "resume", "--status", "paused", "--component", "flow"];
    let said = world.nexus.run(&resume)?;
    ensure!(said.contains("resume: 3 of 3"), "{said}");
    for id in ids {
        let attached = world.ask("flow/attach", json!({ "id": id, "ticket": id })).await?;
        ensure!(attached == format!("returned {id} yes"), "{attached}");
    }
    // What they waited for, as a person moved them on, is swept with the upkeep.
    let open = "SELECT count(*) FROM host.invocation WHERE status <> 'completed'";
    world.audit.becomes(open, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_word_is_said_to_all_however_many_they_are() -> Result<()> {
    const MANY: i64 = 230;
    let world = World::start().await?;
    for id in 0..MANY {
        let start = json!({ "id": id.to_string(), "ticket": id.to_string(), "what": "await" });
        ensure!(world.ask("flow/start", start).await? == "started");
    }
    world.audit.suspended(MANY).await?;
    let pause = ["invocations", "pause", "--status", "suspended", "--component", "flow"];
    let said = world.nexus.run(&[&pause[..], &["--limit", "150"]].concat())?;
    ensure!(
        said.contains("pause: 150 of 150") && said.contains("there are more than the limit"),
        "{said}"
    );
    let said = world.nexus.run(&pause)?;
    ensure!(
        said.contains("pause: 80 of 80") && !said.contains("more than"),
        "{said}"
    );

    let counted = ["invocations", "cancel", "--status", "paused", "--component", "flow"];
    let counted = world.nexus.run(&counted)?;
    ensure!(counted.contains("230 would be chosen"), "{counted}");
    let resume = ["invocations", "resume", "--status", "paused", "--component", "flow"];
    let said = world.nexus.run(&resume)?;
    ensure!(
        said.contains("resume: 230 of 230") && !said.contains("more than"),
        "{said}"
    );
    let paused = "SELECT count(*) FROM host.invocation WHERE status = 'paused'";
    ensure!(world.audit.count(paused).await? == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_repeats_a_request_is_answered_by_the_run_that_takes_its_place() -> Result<()> {
    let world = World::start().await?;
    let start = json!({ "id": "7", "ticket": "7", "what": "await" });
    ensure!(world.ask("flow/start", start).await? == "started");
    let attach = json!({ "id": "7", "ticket": "attached" });
    let waiting = world.begin("flow/attach", "attached", attach.clone());
    world.audit.suspended(2).await?;
    let attached = "SELECT id::text FROM host.invocation WHERE function LIKE 'nexus:http%' AND status = 'suspended'";
    let id = world.audit.texts(attached).await?.pop().context("it waits")?;
    world.nexus.run(&["invocations", "cancel", &id])?;
    ensure!(!waiting.await??.status.is_success(), "it is over");
    let client = world.nexus.client().keyed("attached");
    let spent = client.post("/flow/attach", attach.clone()).await?;
    ensure!(spent.status == 409, "{}", spent.json);

    let force = ["invocations", "restart", &id, "--force"];
    world.nexus.run(&force)?;
    world.audit.suspended(2).await?;
    let successor = world.audit.texts(attached).await?.pop().context("it waits")?;
    let paid =
        json!({ "function": FUNCTION, "workflow": "7", "name": "paid", "value": { "json": "yes" }, "reason": "" });
    let completed = world.nexus.admin().post("/v1/promises", paid).await?;
    ensure!(completed.json["outcome"] == "completed", "{}", completed.json);
    ensure!(world.answered("flow/attach", "attached", &attach).await? == "returned 7 yes");
    let key = "SELECT invocation_id::text FROM host.idempotency_key";
    ensure!(world.audit.texts(key).await?.contains(&successor));

    // What has answered goes on answering, whatever is begun after it.
    world.nexus.run(&["invocations", "restart", &successor, "--force"])?;
    let answered = "SELECT count(*) FROM host.invocation WHERE function LIKE 'nexus:http%' AND status = 'completed'";
    world
        .audit
        .becomes(&format!("{answered} AND parent = '{successor}'"), 1)
        .await?;
    ensure!(world.audit.texts(key).await?.contains(&successor));
    Ok(())
}
