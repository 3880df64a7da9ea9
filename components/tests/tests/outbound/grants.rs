//! Which hosts a component reaches, and which it does not.

use anyhow::Result;
use component_tests::check_application;
use serde_json::json;

use crate::peer::Peer;
use crate::world::{Application, World, error, get, options, post};

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_host_is_reached_and_nobody_else_is() -> Result<()> {
    let world = World::start().await?;
    let read = world.send("sender", get(world.reported.address, "/things")).await?;
    assert_eq!(read.data(200)["response"], json!({ "status": 200, "body": "answer 1" }));
    let seen = world.reported.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("GET", "/things"));

    for body in [
        get(world.ungranted.address, "/"),
        post(world.ungranted.address, "/", "x"),
        // The grant names an address: its name is another host.
        post(format!("localhost:{}", world.reported.address.port()), "/", "x"),
    ] {
        let refused = world.send("sender", body).await?;
        assert!(error(&refused).contains("HttpRequestDenied"), "{}", refused.json);
    }
    let refused = world.send("stranger", get(world.reported.address, "/")).await?;
    assert!(error(&refused).contains("HttpRequestDenied"), "{}", refused.json);
    assert_eq!(world.reported.seen().len(), 1);
    assert_eq!(world.ungranted.seen(), []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_reads_is_sent_at_once_and_answered_in_its_place() -> Result<()> {
    let world = World::start().await?;
    let authority = world.reported.address.to_string();
    let body = json!({ "authority": authority, "paths": ["/held", "/held", "/held", "/things"] });
    let client = world.nexus.client();
    let reading = client.post("/sender/read-together", body);
    let (read, arrived) = tokio::join!(reading, async {
        // None of the held ones is answered before all have arrived.
        let arrived = world.reported.has_seen(4).await;
        world.reported.release();
        arrived
    });
    arrived?;
    let read = read?;
    let mut bodies: Vec<_> = (0..4)
        .map(|n| {
            read.data(200)[n]["response"]["body"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    let things = world.reported.seen().iter().position(|seen| seen.path == "/things");
    let things = things.map(|at| format!("answer {}", at + 1));
    assert_eq!(things.as_ref(), bodies.last(), "each has its own answer");
    bodies.sort();
    assert_eq!(bodies, ["answer 1", "answer 2", "answer 3", "answer 4"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_and_no_spelling_leads_to_a_private_address_under_a_wildcard() -> Result<()> {
    let world = World::start().await?;
    let port = world.anywhere.address.port();
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let resolved = tokio::net::lookup_host((machine.as_str(), port)).await;
    let resolves = resolved.is_ok_and(|mut found| found.next().is_some());
    let mut hosts = vec![
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "localhost",
    ];
    hosts.extend(resolves.then_some(machine.as_str()));
    for host in hosts {
        let refused = world.send("sender", get(format!("{host}:{port}"), "/")).await?;
        assert!(
            error(&refused).contains("DestinationIpProhibited"),
            "{host}: {}",
            refused.json
        );
    }
    // What the resolver makes of these is its own affair; it must not be a way around.
    for host in ["127.1", "2130706433", "0x7f000001", "0"] {
        let refused = world.send("sender", get(format!("{host}:{port}"), "/")).await?;
        error(&refused);
    }
    assert_eq!(world.anywhere.seen(), []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_carries_one_key_where_the_manifest_says_so() -> Result<()> {
    let world = World::start().await?;
    let client = world.nexus.client().keyed("order-1");
    let body = post(world.repeated.address, "/charge", "1");
    let first = client.post("/sender/send", body.clone()).await?;
    assert_eq!(first.data(200)["response"]["body"], "answer 1");
    let again = client.post("/sender/send", body).await?;
    assert_eq!(again.bytes, first.bytes, "it is answered from the record");
    let other = world
        .send("sender", post(world.repeated.address, "/charge", "2"))
        .await?;
    assert_eq!(other.data(200)["response"]["body"], "answer 2");
    world
        .send("sender", post(world.reported.address, "/charge", "3"))
        .await?
        .data(200);

    let keys: Vec<_> = world.repeated.seen().into_iter().map(|seen| seen.key).collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(
        keys.iter().all(|key| key.as_ref().is_some_and(|key| key.len() >= 16)),
        "{keys:?}"
    );
    assert_ne!(keys[0], keys[1], "each effect has a key of its own");
    assert_eq!(world.reported.seen()[0].key, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_imports_what_it_is_not_granted_is_refused_before_anything_starts() -> Result<()> {
    let application = Application::new(|manifest| {
        let granted =
            |line: &&str| !line.starts_with("allowed_outbound_hosts") && !line.starts_with("key_value_stores");
        // Without the hosts there is nothing that the rules could be about.
        let rules = |line: &&str| !line.starts_with("[component.sender.tool") && !line.contains("unknown =");
        let lines: Vec<_> = manifest.lines().filter(granted).filter(rules).collect();
        lines.join("\n")
    })?;
    let peer = Peer::start().await?;
    let checked = check_application(&application.manifest(), &options(&peer, &peer, &peer, &[]), &[])?;
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(!checked.status.success(), "{said}");
    for component in ["sender", "stranger"] {
        let lines = [
            format!("`{component}` imports `wasi:http/"),
            format!("`{component}` imports `wasi:keyvalue/store@0.2.0-draft` without the grant for it"),
        ];
        for line in lines {
            assert_eq!(said.matches(&line).count(), 1, "{line}\n{said}");
        }
        assert!(said.contains(&format!("add to [component.{component}]:")), "{said}");
    }
    assert!(
        said.contains("allowed_outbound_hosts = [\"https://api.example.com\"]"),
        "{said}"
    );
    assert!(said.contains("key_value_stores = [\"default\"]"), "{said}");
    assert!(said.contains("spin.toml:"), "file and line: {said}");
    Ok(())
}
