//! Every workflow of the marketplace, and every capability by the guest that uses it: with the process ended at each moment at which
//! something becomes durable, and with each thing that is asked for made to fail. In the test's own process: a moment costs a start of
//! the host, not one of a program.

mod account;
mod clock;
mod events;
mod flow;
mod histories;
mod joining;
mod listings;
mod market;
mod outbound;
#[path = "../outbound/peer.rs"]
#[expect(dead_code, reason = "its other tests hold requests up")]
mod peer;
mod waiting;
mod writing;

use std::time::Duration;

use anyhow::{Result, ensure};
use component_tests::{Client, workspace};
use host_testing::{Failures, TestApp, TestHost, crash_at_each_entry, fail_each_call};
use serde_json::Value;

/// How long a request may take, with every wait for a dead process in it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The application of this manifest, relative to the workspace.
async fn start(manifest: &str) -> Result<TestHost> {
    TestHost::start(&TestApp::load(&workspace().join(manifest))?).await
}

/// What a request came to, for a client that does not give up; asked again in the same run it is the same request.
async fn ask(host: &TestHost, run: &str, path: &str, body: Value) -> Result<Value> {
    let client = Client::new(host.url()).keyed(&format!("{path}-{run}"));
    let answer = client.post_until_answered(path, &body, PATIENCE).await?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.json);
    Ok(answer.json["data"].clone())
}

/// Returns once everything has come to its end, or waits; nothing may have failed.
async fn nothing_is_held(host: &TestHost) -> Result<()> {
    host.settled().await?;
    host.nothing_is_stuck().await
}

/// Ends the process at each moment, and has each command fail, of which there are so many at least: fewer would say that this does not
/// see what it should.
async fn ends_and_fails<T: PartialEq + std::fmt::Debug>(
    mut host: TestHost,
    mut flow: impl AsyncFnMut(&TestHost, &str) -> Result<T>,
    at_least: u32,
) -> Result<Failures> {
    let moments = crash_at_each_entry(&mut host, async |host, run| flow(host, &format!("run-{run}")).await).await?;
    let failures = fail_each_call(
        &host,
        async |host: &TestHost, run| flow(host, &format!("failing-{run}")).await,
        nothing_is_held,
    );
    let failures = failures.await?;
    eprintln!("{moments} moments, {failures:?}");
    ensure!(moments >= at_least, "only {moments} moments");
    Ok(failures)
}
