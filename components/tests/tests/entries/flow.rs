//! Workflows with their promises, functions that run one at a time for each key, and deadlines.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use host_testing::{TestHost, crash_at_each_entry};
use serde_json::{Value, json};

use crate::{ask, ends_and_fails, nothing_is_held, start};

pub(crate) const MANIFEST: &str = "components/tests/flow/spin.toml";

/// How long somebody stands at a desk.
const WHILE_MS: u64 = 600_000;

/// A workflow that is started, attached to, and paid once both wait. What each was told, and the notes of all.
pub(crate) async fn workflow(host: &TestHost, run: &str) -> Result<(Value, Value, Value, Vec<String>)> {
    let start = json!({ "id": run, "ticket": run, "what": "await" });
    let started = ask(host, run, "/other/start", start).await?;
    let attaches = ask(
        host,
        run,
        "/flow/attach",
        json!({ "id": run, "ticket": format!("{run}-attached") }),
    );
    let pays = async {
        // The workflow for its payment, and who attached for its output; or the call before came further.
        let wait = format!(
            "SELECT (count(*) >= 2)::int::bigint FROM host.workflow JOIN host.promise USING (invocation_id)
             LEFT JOIN host.promise_waiter ON promise_id = promise.id
             WHERE workflow.id = '{run}' AND (promise_waiter.invocation_id IS NOT NULL OR completed_at IS NOT NULL)"
        );
        host.becomes(&wait, 1).await?;
        let complete = json!({ "id": run, "ticket": run, "what": "yes", "name": "paid" });
        ask(host, run, "/other/complete", complete).await
    };
    let (attached, completed) = tokio::try_join!(attaches, pays)?;
    nothing_is_held(host).await?;
    let notes = format!(
        "SELECT 'flow ' || what FROM flow.note WHERE ticket LIKE '{run}%'
         UNION ALL SELECT 'other ' || what FROM other.note WHERE ticket LIKE '{run}%' ORDER BY 1"
    );
    let notes = host.texts(&notes).await?;
    let notes = notes.iter().map(|note| note.replace(run, "ID")).collect();
    let attached = attached["told"].as_str().map(|told| told.replace(run, "ID"));
    Ok((
        started["told"].clone(),
        completed["told"].clone(),
        attached.into(),
        notes,
    ))
}

/// Two at one desk, one after the other, each for a while. How many were served, and what they were told.
pub(crate) async fn desk(host: &TestHost, run: &str) -> Result<(usize, Vec<String>)> {
    let serve = |ticket: String| async move {
        let body = json!({ "desk": run, "ticket": ticket, "what": WHILE_MS.to_string() });
        ask(host, &ticket, "/flow/serve", body).await
    };
    let mut told = Vec::new();
    let mut at_the_desk = FuturesUnordered::from_iter(["one", "other"].map(|who| serve(format!("{run}-{who}"))));
    while !at_the_desk.is_empty() {
        let standing = at_the_desk.len();
        tokio::select! {
            Some(answer) = at_the_desk.next() => told.push(answer?["told"].to_string()),
            passed = a_while_passes(host, standing) => passed?,
        }
    }
    told.sort();
    nothing_is_held(host).await?;
    let steps = format!(
        "SELECT split_part(what, ' ', 1) || ' ' || ticket FROM flow.note WHERE what LIKE '% {run}' ORDER BY number"
    );
    let steps = host.texts(&steps).await?;
    for pair in steps.chunks(2) {
        let [enters, leaves] = pair else {
            anyhow::bail!("somebody has not left: {steps:?}");
        };
        ensure!(
            enters.strip_prefix("enters ") == leaves.strip_prefix("leaves "),
            "{steps:?}"
        );
    }
    let places = host.count("SELECT count(*) FROM host.exclusive_place").await?;
    ensure!(places == 0, "{places} places are left");
    Ok((steps.len() / 2, told))
}

/// Somebody who wants a promise and a desk within a time: the first waits until it is over, and the desk, in another component, has none
/// left. What was told, and the notes of the desk.
async fn hurry(host: &TestHost, run: &str) -> Result<(Value, Vec<String>)> {
    let start = json!({ "id": run, "ticket": run, "what": "await" });
    host.aside(ask(host, run, "/other/start", start)).await?;
    let ticket = format!("{run}-hurried");
    let hurry = json!({
        "id": run, "name": "paid", "desk": run, "ticket": ticket, "what": WHILE_MS.to_string(), "timeout_ms": WHILE_MS / 2
    });
    let hurries = ask(host, run, "/other/hurry", hurry);
    let time_passes = async {
        // The workflow itself and who hurries; or the call before came further.
        let waits = format!(
            "SELECT ((SELECT count(*) FROM host.workflow JOIN host.promise USING (invocation_id)
                      JOIN host.promise_waiter ON promise_id = promise.id WHERE workflow.id = '{run}') >= 2
                 OR EXISTS (SELECT FROM flow.note WHERE ticket = '{ticket}'))::int::bigint"
        );
        host.becomes(&waits, 1).await?;
        host.settled().await?;
        host.skip(Duration::from_millis(WHILE_MS / 2)).await
    };
    let (hurried, ()) = tokio::try_join!(hurries, time_passes)?;
    nothing_is_held(host).await?;
    let notes = format!("SELECT split_part(what, ' ', 1) FROM flow.note WHERE ticket = '{ticket}' ORDER BY number");
    Ok((hurried["told"].clone(), host.texts(&notes).await?))
}

/// A person stops a workflow that waits to be paid, with who is attached to it, and begins it again; who waits for the promise of its payment
/// is left alone. It ends once, and both are told what became of the run that took its place.
async fn begun_again(host: &TestHost, run: &str) -> Result<()> {
    let start = json!({ "id": run, "ticket": run, "what": "await" });
    host.aside(ask(host, run, "/other/start", start)).await?;
    // The id leads to the successor from the restart on.
    let first = format!(
        "SELECT coalesce(audit.invocation_id, workflow.invocation_id)::text FROM host.workflow
         LEFT JOIN host.audit ON successor = workflow.invocation_id WHERE workflow.id = '{run}'"
    );
    let first = host.texts(&first).await?.pop().context("a workflow")?;

    let attach = json!({ "id": run, "ticket": format!("{run}-attached") });
    let attaches = ask(host, run, "/flow/attach", attach);
    let waits = ask(host, run, "/other/wait", json!({ "id": run, "name": "paid" }));
    let person = async {
        const STAND: &str = "FROM host.invocation WHERE status IN ('suspended', 'paused')";
        const PAUSED: &str = "SELECT id::text FROM host.invocation WHERE status = 'paused'";
        // The workflow and both who wait; or the call before came further.
        let stand = format!(
            "SELECT ((SELECT count(*) {STAND}) = 3
                 OR EXISTS (SELECT FROM host.invocation WHERE id = '{first}' AND ended_at IS NOT NULL))::int::bigint"
        );
        host.becomes(&stand, 1).await?;
        host.settled().await?;
        // Who is attached and looks in the middle of a restart would be told that it was cancelled, which it is then.
        let stopped = format!(
            "SELECT id::text {STAND} AND (id = '{first}' OR component = 'flow' AND function LIKE 'nexus:http/%')"
        );
        for id in host.texts(&stopped).await? {
            host.pause(&id).await?;
        }
        let successor = host.restart_invocation(&first, true).await?;
        ensure!(
            host.restart_invocation(&first, true).await? == successor,
            "it is begun again once"
        );
        for id in host.texts(PAUSED).await? {
            host.resume(&id).await?;
        }
        host.complete_named("test:flow/jobs.run", run, "paid", &json!("yes"))
            .await
    };
    let (attached, waited, _) = tokio::try_join!(attaches, waits, person)?;
    nothing_is_held(host).await?;
    ensure!(
        attached["told"] == format!("returned {run} yes") && waited["told"] == "yes",
        "{attached} {waited}"
    );
    let runs =
        format!("SELECT status::text FROM host.invocation WHERE id = '{first}' OR parent = '{first}' ORDER BY id");
    let runs = host.texts(&runs).await?;
    ensure!(runs == ["cancelled", "completed"], "{runs:?}");
    let notes = format!("SELECT replace(what, '{run}', 'ID') FROM flow.note WHERE ticket = '{run}' ORDER BY number");
    let notes = host.texts(&notes).await?;
    ensure!(notes == ["begun", "begun", "ID yes"], "{notes:?}");
    Ok(())
}

/// Once so many stand at desks.
async fn a_while_passes(host: &TestHost, standing: usize) -> Result<()> {
    host.becomes("SELECT count(*) FROM host.exclusive_place", i64::try_from(standing)?)
        .await?;
    host.settled().await?;
    host.skip(Duration::from_millis(WHILE_MS)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_is_attached_to_and_paid() -> Result<()> {
    ends_and_fails(start(MANIFEST).await?, workflow, 16).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_a_person_begins_again() -> Result<()> {
    let mut host = start(MANIFEST).await?;
    let flow = async |host: &TestHost, run: u32| begun_again(host, &format!("run-{run}")).await;
    let moments = crash_at_each_entry(&mut host, flow).await?;
    // Two pauses, a cancellation and a begin, a resumption and a promise, before and after each; two who come to wait; the new run.
    ensure!(moments >= 20, "only {moments} moments");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusive_key_that_two_want() -> Result<()> {
    ends_and_fails(start(MANIFEST).await?, desk, 18).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_holds_for_a_callee_too() -> Result<()> {
    let host = start(MANIFEST).await?;
    let told = hurry(&host, "undisturbed").await?;
    ensure!(
        told.0 == "timed out; served; still hurried: false" && told.1 == ["enters", "leaves"],
        "{told:?}"
    );
    ends_and_fails(host, hurry, 10).await?;
    Ok(())
}
