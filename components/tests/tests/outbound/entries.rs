//! Requests to other hosts and writes to key-value stores, with the process ended at each moment at which something becomes durable, and
//! with everything that is asked for made to fail once.

use anyhow::{Result, ensure};
use component_tests::Client;
use host_testing::{TestApp, TestHost, crash_at_each_entry, fail_each_call};
use serde_json::{Value, json};

use crate::peer::Peer;
use crate::world::{Application, post};

/// How long a request may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

struct World {
    repeated: Peer,
    _others: [Peer; 2],
    _application: Application,
}

async fn start() -> Result<(TestHost, World)> {
    let application = Application::new(str::to_owned)?;
    let (reported, repeated, anywhere) = (Peer::start().await?, Peer::start().await?, Peer::start().await?);
    let variables = [
        ("reported", reported.address.to_string()),
        ("repeated", repeated.address.to_string()),
        ("any_port", anywhere.address.port().to_string()),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let host = TestHost::start(&TestApp::load_with(&application.manifest(), &variables)?).await?;
    let world = World {
        repeated,
        _others: [reported, anywhere],
        _application: application,
    };
    Ok((host, world))
}

async fn ask(host: &TestHost, path: &str, body: &Value) -> Result<(u16, Value)> {
    let client = Client::new(host.url()).keyed(&format!("{path} {body}"));
    let answer = client.post_until_answered(path, body, PATIENCE).await?;
    Ok((answer.status.as_u16(), answer.json))
}

/// Sends a request that the peer knows a repetition of; what the peer saw of it, each key once.
async fn notify(host: &TestHost, world: &World, run: u32) -> Result<(u16, usize)> {
    let body = format!("run {run}");
    let (status, _) = ask(host, "/sender/send", &post(world.repeated.address, "/", &body)).await?;
    host.settled().await?;
    host.nothing_is_stuck().await?;
    let mut keys: Vec<_> = world
        .repeated
        .seen_with(&body)
        .into_iter()
        .map(|seen| seen.key)
        .collect();
    keys.dedup();
    Ok((status, keys.len()))
}

/// Writes a pair.
async fn note(host: &TestHost, run: u32) -> Result<(u16, Value)> {
    let noted = ask(
        host,
        "/sender/set",
        &json!({ "store": "seen", "key": format!("run {run}"), "value": "noted" }),
    )
    .await?;
    host.settled().await?;
    host.nothing_is_stuck().await?;
    Ok(noted)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_survives_an_end_at_each_entry() -> Result<()> {
    let (mut host, world) = start().await?;
    let moments = crash_at_each_entry(&mut host, async |host, run| notify(host, &world, run).await).await?;
    // The intent, and the outcome with the output.
    ensure!(moments >= 4, "only {moments} moments");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_survives_an_end_at_each_entry() -> Result<()> {
    let (mut host, _world) = start().await?;
    let moments = crash_at_each_entry(&mut host, note).await?;
    ensure!(moments >= 4, "only {moments} moments");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_a_pair_may_fail() -> Result<()> {
    let (host, world) = start().await?;
    let nothing_is_held = async |host: &TestHost| host.nothing_is_stuck().await;
    fail_each_call(
        &host,
        async |host: &TestHost, run| notify(host, &world, run).await,
        nothing_is_held,
    )
    .await?;
    fail_each_call(&host, note, nothing_is_held).await?;
    Ok(())
}
