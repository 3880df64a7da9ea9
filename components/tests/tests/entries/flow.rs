//! Workflows with their promises, and functions that run one at a time for each key.

use std::time::Duration;

use anyhow::{Result, ensure};
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
pub(crate) async fn desk(host: &TestHost, run: &str) -> Result<(usize, Value, Value)> {
    let serve = |ticket: String| async move {
        let body = json!({ "desk": run, "ticket": ticket, "what": WHILE_MS.to_string() });
        ask(host, &ticket, "/flow/serve", body).await
    };
    let served = format!("(SELECT count(*) FROM flow.note WHERE what = 'leaves {run}')");
    let time_passes = async {
        // Both stand there; and then the second one alone. Or the call before came further.
        for standing in [
            format!("(SELECT count(*) FROM host.exclusive_place) = 2 OR {served} >= 1"),
            format!("EXISTS (SELECT FROM host.invocation WHERE due_at > now()) OR {served} = 2"),
        ] {
            host.becomes(&format!("SELECT ({standing})::int::bigint"), 1).await?;
            host.settled().await?;
            host.skip(Duration::from_millis(WHILE_MS)).await?;
        }
        Ok(())
    };
    let (one, other) = (serve(format!("{run}-one")), serve(format!("{run}-other")));
    let (one, other, ()) = tokio::try_join!(one, other, time_passes)?;
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
    Ok((steps.len() / 2, one["told"].clone(), other["told"].clone()))
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
