//! Waiting, sending and scheduling, with the process ended at each moment at which something becomes durable, and with everything that is
//! asked for made to fail once.

use std::time::Duration;

use anyhow::{Result, ensure};
use component_tests::{Client, workspace};
use host_testing::{TestApp, TestHost, crash_at_each_entry, fail_each_call};
use serde_json::{Value, json};

use crate::world::{MANIFEST, PATIENCE, told};

/// Longer than a test may take.
const LONG_MS: u64 = 3_600_000;

async fn start() -> Result<TestHost> {
    TestHost::start(&TestApp::load(&workspace().join(MANIFEST))?).await
}

/// What the client is told of a request that does not wait.
async fn ask(host: &TestHost, path: &str, body: Value) -> Result<String> {
    let key = format!("{path} {body}");
    let client = Client::new(host.url()).keyed(&key);
    let answer = client
        .post_until_answered(&format!("/waiter/{path}"), &body, PATIENCE)
        .await?;
    Ok(told(&answer))
}

/// What the client is told of a request that waits for something that `meanwhile` brings about.
async fn ask_and(
    host: &TestHost,
    path: &str,
    body: Value,
    meanwhile: impl Future<Output = Result<()>>,
) -> Result<String> {
    let (told, brought) = tokio::join!(ask(host, path, body), meanwhile);
    brought?;
    told
}

async fn notes(host: &TestHost, ticket: &str) -> Result<Vec<String>> {
    host.texts(&format!(
        "SELECT what FROM waiter.note WHERE ticket = '{ticket}' ORDER BY what"
    ))
    .await
}

/// Until this many invocations wait for something, or there is an answer already: a second call of the same run finds nobody waiting.
async fn suspended(host: &TestHost, ticket: &str) -> Result<()> {
    let waits = "SELECT count(*) FROM host.invocation WHERE status = 'suspended'";
    let over = format!("SELECT count(*) FROM waiter.note WHERE ticket = '{ticket}' AND what <> 'before'");
    loop {
        if host.count(waits).await? > 0 || host.count(&over).await? > 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_survives_an_end_at_each_entry() -> Result<()> {
    let mut host = start().await?;
    let moments = crash_at_each_entry(&mut host, nap).await?;
    // Two transactions, the wait, the fence that ends it, the output.
    ensure!(moments >= 7, "only {moments} moments");
    Ok(())
}

async fn nap(host: &TestHost, run: u32) -> Result<(bool, Vec<String>)> {
    let ticket = format!("nap {run}");
    let slept = ask_and(host, "sleep", json!({ "ticket": ticket, "ms": LONG_MS }), async {
        suspended(host, &ticket).await?;
        host.skip(Duration::from_millis(LONG_MS)).await
    });
    let slept_ms: u64 = slept.await?.parse()?;
    host.settled().await?;
    host.nothing_is_stuck().await?;
    Ok((slept_ms >= LONG_MS, notes(host, &ticket).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_survives_an_end_at_each_entry() -> Result<()> {
    let mut host = start().await?;
    let moments = crash_at_each_entry(&mut host, pay).await?;
    ensure!(moments >= 9, "only {moments} moments");
    Ok(())
}

async fn pay(host: &TestHost, run: u32) -> Result<(String, Vec<String>)> {
    let ticket = format!("bill {run}");
    let paid = ask_and(
        host,
        "wait",
        json!({ "ticket": ticket, "timeout_ms": LONG_MS }),
        async {
            suspended(host, &ticket).await?;
            let promise = host
                .texts(&format!("SELECT promise FROM waiter.ticket WHERE name = '{ticket}'"))
                .await?;
            // After an end of the process it may have been completed by the call before.
            let completed = ask(host, "complete", json!({ "promise": promise[0], "value": "paid" })).await?;
            ensure!(
                completed == "completed" || completed == "already completed",
                "{completed}"
            );
            Ok(())
        },
    );
    let told = paid.await?;
    host.settled().await?;
    host.nothing_is_stuck().await?;
    Ok((told, notes(host, &ticket).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_and_scheduled_survives_an_end_at_each_entry() -> Result<()> {
    let mut host = start().await?;
    let moments = crash_at_each_entry(&mut host, send).await?;
    ensure!(moments >= 6, "only {moments} moments");
    Ok(())
}

async fn send(host: &TestHost, run: u32) -> Result<Vec<String>> {
    let ticket = format!("letter {run}");
    ask(
        host,
        "send",
        json!({ "ticket": ticket, "what": "now", "delay_ms": null }),
    )
    .await?;
    ask(
        host,
        "send",
        json!({ "ticket": ticket, "what": "later", "delay_ms": LONG_MS }),
    )
    .await?;
    host.settled().await?;
    host.skip(Duration::from_millis(LONG_MS)).await?;
    host.settled().await?;
    host.nothing_is_stuck().await?;
    notes(host, &ticket).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waiting_and_sending_ask_for_may_fail() -> Result<()> {
    let host = start().await?;
    let nothing_is_held = async |host: &TestHost| host.nothing_is_stuck().await;
    fail_each_call(&host, nap, nothing_is_held).await?;
    fail_each_call(
        &host,
        async |host: &TestHost, run| pay(host, 1_000 + run).await,
        nothing_is_held,
    )
    .await?;
    fail_each_call(&host, send, nothing_is_held).await?;
    Ok(())
}
