//! Workflows with their promises, functions that run one at a time for each key, and deadlines.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use host_testing::TestHost;
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
