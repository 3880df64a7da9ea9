//! Sleeping, waiting for promises, sending and scheduling; transactions are in all of them.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use host_testing::{TestHost, crash_at_each_entry, fail_each_call};
use serde_json::{Value, json};

use crate::{ask, ends_and_fails, nothing_is_held, start};

pub(crate) const MANIFEST: &str = "components/tests/waiting/spin.toml";
/// Longer than a test may take.
const LONG_MS: u64 = 3_600_000;
const LONG: Duration = Duration::from_millis(LONG_MS);

async fn notes(host: &TestHost, ticket: &str) -> Result<Vec<String>> {
    let notes = format!("SELECT what FROM waiter.note WHERE ticket = '{ticket}' ORDER BY what");
    host.texts(&notes).await
}

/// Returns once an invocation waits, or what it would do after that is done: the call before may have come so far.
async fn waits(host: &TestHost, ticket: &str) -> Result<()> {
    let waits = format!(
        "SELECT (EXISTS (SELECT FROM host.invocation WHERE status = 'suspended')
             OR EXISTS (SELECT FROM waiter.note WHERE ticket = '{ticket}' AND what <> 'before'))::int::bigint"
    );
    host.becomes(&waits, 1).await
}

pub(crate) async fn nap(host: &TestHost, run: &str) -> Result<(bool, Vec<String>)> {
    let body = json!({ "ticket": run, "ms": LONG_MS });
    let slept = ask(host, run, "/waiter/sleep", body);
    let time_passes = async {
        waits(host, run).await?;
        host.skip(LONG).await
    };
    let (slept, ()) = tokio::try_join!(slept, time_passes)?;
    nothing_is_held(host).await?;
    let slept_ms: u64 = slept["told"].as_str().unwrap_or_default().parse()?;
    Ok((slept_ms >= LONG_MS, notes(host, run).await?))
}

pub(crate) async fn bill(host: &TestHost, run: &str) -> Result<(Value, Value, Vec<String>)> {
    let waited = ask(
        host,
        run,
        "/waiter/wait",
        json!({ "ticket": run, "timeout_ms": LONG_MS }),
    );
    let pays = async {
        waits(host, run).await?;
        let promise = promise(host, run).await?;
        let body = json!({ "promise": promise, "value": "paid" });
        let completed = ask(host, run, "/waiter/complete", body).await?;
        Ok((completed, promise))
    };
    let (waited, (completed, promise)) = tokio::try_join!(waited, pays)?;
    nothing_is_held(host).await?;
    let mut all = notes(host, run).await?;
    all.extend(notes(host, &promise).await?);
    Ok((waited["told"].clone(), completed["told"].clone(), all))
}

/// The promise that was handed out under this name.
async fn promise(host: &TestHost, ticket: &str) -> Result<String> {
    let promise = format!("SELECT promise FROM waiter.ticket WHERE name = '{ticket}'");
    host.texts(&promise).await?.pop().context("a promise")
}

/// A person stops an invocation that waits, brings what would have come from outside, and sets it going: no other value comes after it.
async fn brought(host: &TestHost, run: &str) -> Result<(Value, Vec<String>)> {
    const OPEN: &str = "FROM host.invocation WHERE status IN ('suspended', 'paused')";
    let body = json!({ "ticket": run, "timeout_ms": LONG_MS });
    let waited = ask(host, run, "/waiter/wait", body);
    let brings = async {
        let stands = format!(
            "SELECT (EXISTS (SELECT {OPEN})
                 OR EXISTS (SELECT FROM waiter.note WHERE ticket = '{run}' AND what <> 'before'))::int::bigint"
        );
        host.becomes(&stands, 1).await?;
        // None: it was said before the process ended.
        let Some(id) = host.texts(&format!("SELECT id::text {OPEN}")).await?.pop() else {
            return Ok(());
        };
        host.pause(&id).await?;
        let promise = promise(host, run).await?;
        host.complete(&promise, &json!("brought")).await?;
        ensure!(!host.complete(&promise, &json!("another")).await?);
        host.resume(&id).await
    };
    let (waited, ()) = tokio::try_join!(waited, brings)?;
    nothing_is_held(host).await?;
    Ok((waited["told"].clone(), notes(host, run).await?))
}

async fn letters(host: &TestHost, run: &str) -> Result<Vec<String>> {
    for (what, delay_ms) in [("now", None), ("later", Some(LONG_MS))] {
        let body = json!({ "ticket": run, "what": what, "delay_ms": delay_ms, "roll_back": false });
        ask(host, &format!("{run}-{what}"), "/waiter/send", body).await?;
    }
    host.settled().await?;
    host.skip(LONG).await?;
    nothing_is_held(host).await?;
    notes(host, run).await
}

/// A loop whose rounds are invocations: each ends with the commit that sends the next one.
async fn laps(host: &TestHost, run: &str) -> Result<Vec<String>> {
    ask(host, run, "/crowd/loop", json!({ "ticket": run, "laps": 3 })).await?;
    nothing_is_held(host).await?;
    let notes = format!("SELECT what FROM crowd.note WHERE ticket = '{run}' ORDER BY what");
    let notes = host.texts(&notes).await?;
    ensure!(notes == ["lap 0", "lap 1", "lap 2", "lap 3"], "{notes:?}");
    Ok(notes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_whose_rounds_are_invocations() -> Result<()> {
    // The commit of each round, and its output.
    ends_and_fails(start("components/tests/bounds/spin.toml").await?, laps, 8).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep() -> Result<()> {
    // Two transactions, the suspension, the fence that ends it, the output.
    ends_and_fails(start(MANIFEST).await?, nap, 7).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise() -> Result<()> {
    let failures = ends_and_fails(start(MANIFEST).await?, bill, 9).await?;
    ensure!(failures.transient >= 5, "{failures:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_a_person_completes() -> Result<()> {
    // Two transactions, the output, and the words that change something. The suspension may be written with one of them.
    ends_and_fails(start(MANIFEST).await?, brought, 12).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_and_scheduled() -> Result<()> {
    ends_and_fails(start(MANIFEST).await?, letters, 8).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_aside_is_no_part_of_a_flow() -> Result<()> {
    let mut host = start(MANIFEST).await?;
    let aside = async |host: &TestHost, run: u32| host.aside(letters(host, &format!("run-{run}"))).await;
    let Err(error) = crash_at_each_entry(&mut host, aside).await else {
        bail!("something of it was a moment");
    };
    ensure!(error.to_string() == "nothing becomes durable in this flow", "{error:#}");
    let Err(error) = fail_each_call(&host, aside, nothing_is_held).await else {
        bail!("something of it failed");
    };
    ensure!(error.to_string() == "this flow asks for nothing", "{error:#}");
    Ok(())
}
