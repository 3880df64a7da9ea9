//! Requests to other hosts, repeated or reported when in doubt, and writes to key-value stores.

use anyhow::{Result, ensure};
use component_tests::guest;
use host_testing::{TestApp, TestHost};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peer::Peer;
use crate::{ask, ends_and_fails, nothing_is_held};

const MANIFEST: &str = include_str!("../../../../host/guests/outbound/spin.toml");

/// Servers that know keys, and that do not.
struct Peers {
    repeated: Peer,
    reported: Peer,
    _folder: TempDir,
}

async fn start() -> Result<(TestHost, Peers)> {
    let folder = TempDir::new()?;
    std::fs::copy(guest("guest-outbound")?, folder.path().join("guest_outbound.wasm"))?;
    let manifest = folder.path().join("spin.toml");
    std::fs::write(&manifest, MANIFEST)?;
    let (repeated, reported) = (Peer::start().await?, Peer::start().await?);
    let variables = [
        ("reported", &*reported.address.to_string()),
        ("repeated", &*repeated.address.to_string()),
        ("any_port", "1"),
    ];
    let host = TestHost::start(&TestApp::load_with(&manifest, &variables)?).await?;
    let peers = Peers {
        repeated,
        reported,
        _folder: folder,
    };
    Ok((host, peers))
}

/// What the component was told of a POST to this peer, under the key of which it was seen.
async fn send(host: &TestHost, peer: &Peer, run: &str) -> Result<(Value, Vec<Option<String>>)> {
    let authority = peer.address.to_string();
    let body = json!({ "method": "POST", "authority": authority, "path": "/", "body": run });
    let told = ask(host, run, "/sender/send", body).await?;
    nothing_is_held(host).await?;
    let seen = peer.seen().into_iter().filter(|seen| seen.body == run);
    Ok((told, seen.map(|seen| seen.key).collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_peer_that_knows_keys() -> Result<()> {
    let (host, peers) = start().await?;
    let flow = async |host: &TestHost, run: &str| {
        let (told, mut keys) = send(host, &peers.repeated, run).await?;
        ensure!(keys.len() <= 2 && keys.iter().all(Option::is_some), "{keys:?}");
        keys.dedup();
        Ok((told["response"]["status"].clone(), keys.len()))
    };
    // The intent, and the outcome with the output.
    ends_and_fails(host, flow, 4).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_peer_that_does_not() -> Result<()> {
    let (host, peers) = start().await?;
    let mut unknown = 0;
    let flow = async |host: &TestHost, run: &str| {
        let (told, keys) = send(host, &peers.reported, run).await?;
        let in_doubt = told["error"]
            .as_str()
            .is_some_and(|error| error.contains("outcome-unknown"));
        ensure!(in_doubt || told["response"]["status"] == 200, "{told}");
        ensure!(keys.len() <= 1 && (in_doubt || keys.len() == 1), "{told}: {keys:?}");
        unknown += u32::from(in_doubt);
        Ok(())
    };
    ends_and_fails(host, flow, 4).await?;
    // After the intent, and before the outcome.
    ensure!(unknown == 2, "{unknown} times the outcome was unknown");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair() -> Result<()> {
    let (host, _peers) = start().await?;
    let flow = async |host: &TestHost, run: &str| {
        let pair = json!({ "store": "seen", "key": run, "value": "noted" });
        // A request of its own each, settled before the next: what a read leaves behind is no other one's moment.
        let asked = async |what: &str, again: &str| {
            let told = ask(host, &format!("{run}{again}"), &format!("/sender/{what}"), pair.clone()).await?;
            nothing_is_held(host).await?;
            Ok::<_, anyhow::Error>(told["value"].clone())
        };
        let set = asked("set", "").await?;
        let got = [
            asked("get", "").await?,
            asked("exists", "").await?,
            asked("listed", "").await?,
        ];
        ensure!(got == ["noted", "true", "true"], "{got:?}");
        ensure!(asked("delete", "").await?.is_null(), "a deletion tells nothing");
        let gone = [
            asked("get", "-gone").await?,
            asked("exists", "-gone").await?,
            asked("listed", "-gone").await?,
        ];
        ensure!(gone == [json!(null), json!("false"), json!("false")], "{gone:?}");
        Ok(set)
    };
    // Each write rides the append of the output; of the reads, too, the answer is kept under the request's key.
    let failures = ends_and_fails(host, flow, 4).await?;
    ensure!(failures.transient >= 8, "{failures:?}");
    Ok(())
}
