//! What was activated stands: over restarts and kills, until it is taken back or a release overrides it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::NexusOptions;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::world::{LOUD, PLAIN, World, activate, shown, upload};

/// Longer than a lease, and than a node may take to follow.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_before_it_follows_holds_nobody_up_and_follows_when_it_starts() -> Result<()> {
    let mut world = World::start().await?;
    let loud = upload(&world.one, world.loud()?, false).await?;
    world.two.freeze()?;
    let activating = {
        let (admin, loud) = (world.one.admin(), loud.clone());
        tokio::spawn(async move {
            let body = json!({ "digest": loud });
            admin.post("/v1/components/waiter/activate", body).await
        })
    };
    world.audit.becomes("SELECT count(*) FROM host.activation", 1).await?;
    // Between the activation and the word that it follows.
    world.two.kill()?;
    let activated = timeout(PATIENCE, activating).await???;
    ensure!(activated.status == 200, "{}", activated.json);
    ensure!(world.says(&world.one, "one").await? == LOUD);
    world.two.restart(world.guests.options()).await?;
    ensure!(world.says(&world.two, "two").await? == LOUD);

    // The one that did it dies as well: both go on with what stands.
    world.one.kill()?;
    world.one.restart(world.guests.options()).await?;
    ensure!(world.says(&world.one, "again").await? == LOUD);
    let component = shown(&world.one).await?;
    ensure!(
        component["source"] == "operator" && component["revision"] == loud.as_str(),
        "{component}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_overrides_what_stood_in_for_another_file() -> Result<()> {
    let mut world = World::start().await?;
    let before = shown(&world.one).await?;
    ensure!(before["source"] == "file" && before["back_to"] == json!([]), "{before}");
    let loud = upload(&world.one, world.loud()?, true).await?;

    // One host has the new file, the other the old one: each runs what was chosen for its own.
    world.release("already completed", "Already Completed")?;
    let released = world.two.restart(world.guests.options());
    released.await?;
    let said = world.says(&world.two, "new").await?;
    ensure!(said == "completed, Already Completed, value own", "{said}");
    ensure!(world.says(&world.one, "old").await? == LOUD);
    let component = shown(&world.two).await?;
    ensure!(component["source"] == "file", "{component}");
    ensure!(component["file"] != before["file"], "{component}");

    // The file before comes with what was put in its place.
    world.release("Already Completed", "already completed")?;
    world.two.restart(world.guests.options()).await?;
    ensure!(world.says(&world.two, "back").await? == LOUD);
    ensure!(shown(&world.two).await?["revision"] == loud.as_str());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rollbacks_go_back_one_by_one_to_the_file() -> Result<()> {
    let world = World::start().await?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str, wasm: Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, wasm)?;
        anyhow::Ok(path.display().to_string())
    };
    let (loud, different) = (path("loud", world.loud()?)?, path("different", world.different()?)?);

    // Kept, and not active.
    let printed = world.one.run(&["deploy", "waiter", &loud, "--no-activate", "--json"])?;
    let uploaded: Value = serde_json::from_str(printed.lines().next().context("a line")?)?;
    ensure!(
        uploaded["is_new"] == true && uploaded["activated"].is_null(),
        "{uploaded}"
    );
    ensure!(world.says(&world.two, "kept").await? == PLAIN);

    let loud_digest = uploaded["revision"].as_str().context("a digest")?.to_owned();
    let printed = world.one.run(&["deploy", "waiter", &loud, "--as", "ann"])?;
    ensure!(
        printed.contains(&format!("waiter {loud_digest} is active")),
        "{printed}"
    );
    let printed = world.two.run(&["deploy", "waiter", &loud])?;
    ensure!(printed.contains("was active already"), "{printed}");
    world.two.run(&["deploy", "waiter", &different, "--reason", "to see"])?;
    for nexus in [&world.one, &world.two] {
        let component = shown(nexus).await?;
        ensure!(
            component["back_to"] == json!([loud_digest, component["file"]]),
            "{component}"
        );
    }
    let printed = world.one.run(&["components"])?;
    ensure!(
        printed.contains("operator") && printed.contains(&loud_digest[..12]),
        "{printed}"
    );

    ensure!(
        world.says(&world.one, "different").await? == PLAIN,
        "it only writes otherwise"
    );
    let printed = world.one.run(&["rollback", "waiter", "--as", "bob"])?;
    ensure!(printed.contains(&loud_digest), "{printed}");
    ensure!(world.says(&world.two, "once").await? == LOUD);
    world.two.run(&["rollback", "waiter"])?;
    for nexus in [&world.one, &world.two] {
        ensure!(world.says(nexus, "twice").await? == PLAIN);
        let component = shown(nexus).await?;
        ensure!(component["source"] == "file", "{component}");
    }
    let refused = world.one.output(&["rollback", "waiter"])?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(
        !refused.status.success() && said.contains("nothing to go back to"),
        "{said}"
    );

    let audit = world.one.admin().get("/v1/audit").await?.json;
    let words = audit["audit"].as_array().context("a list")?.iter();
    let words: Vec<_> = words
        .map(|word| {
            let part = |name: &str| word[name].as_str().unwrap_or_default().to_owned();
            [part("verb"), part("operator"), part("component"), part("reason")].join(" ")
        })
        .collect();
    assert_eq!(
        words,
        [
            "rollback admin token waiter ",
            "rollback bob waiter ",
            "activate admin token waiter to see",
            "activate ann waiter ",
        ]
    );
    let of_it = world.one.admin().get("/v1/audit?component=waiter").await?.json;
    ensure!(of_it == audit, "{of_it}");
    ensure!(world.one.run(&["audit", "--component", "somebody-else"])?.is_empty());
    let printed = world.one.run(&["audit", "--component", "waiter"])?;
    ensure!(printed.contains(&format!("waiter {loud_digest}")), "{printed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_that_speak_at_once_are_heard_one_after_the_other() -> Result<()> {
    let world = World::start().await?;
    let loud = upload(&world.one, world.loud()?, false).await?;
    let different = upload(&world.two, world.different()?, false).await?;
    let said = (0..8).map(|number| {
        let nexus = [&world.one, &world.two][number % 2];
        activate(nexus, [&loud, &different][number / 2 % 2])
    });
    for answer in futures_util::future::try_join_all(said).await? {
        ensure!(answer.status == 200, "{}", answer.json);
    }
    let (one, two) = (shown(&world.one).await?, shown(&world.two).await?);
    assert_eq!(
        (&one["revision"], &one["deployment"]),
        (&two["revision"], &two["deployment"])
    );
    let newest = "SELECT encode(revision, 'hex') FROM host.activation ORDER BY sequence DESC LIMIT 1";
    assert_eq!(
        world.audit.texts(newest).await?,
        [one["revision"].as_str().context("a digest")?]
    );

    // Both mean the step back from what they see: it is made once, or one is late and makes the next.
    let before = world.audit.count("SELECT count(*) FROM host.activation").await?;
    let back = |nexus: &component_tests::Nexus| {
        let admin = nexus.admin();
        async move { admin.post("/v1/components/waiter/rollback", json!({})).await }
    };
    let (here, there) = tokio::try_join!(back(&world.one), back(&world.two))?;
    let done = [&here, &there].into_iter().filter(|answer| answer.status == 200);
    let (done, refused) = (
        done.count() as i64,
        [&here, &there].into_iter().find(|answer| answer.status != 200),
    );
    if let Some(refused) = refused {
        ensure!(refused.status == 409, "{}", refused.json);
    }
    let after = world.audit.count("SELECT count(*) FROM host.activation").await?;
    ensure!(done >= 1 && after - before == done, "{} {}", here.json, there.json);
    let unsaid = "SELECT (SELECT count(*) FROM host.activation) - (SELECT count(*) FROM host.audit WHERE verb IN ('activate', 'rollback'))";
    assert_eq!(world.audit.count(unsaid).await?, 0, "each with its word");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_follow_is_named_and_the_activation_stands() -> Result<()> {
    let mut world = World::start().await?;
    world.two.kill()?;
    let loud = upload(&world.one, world.loud()?, false).await?;
    // A node that is alive and says nothing.
    let silent = "INSERT INTO host.node (id, name, token_hash, lease_ms, heartbeat_at, knows, activation)
                  VALUES (gen_random_uuid(), 'silent', sha256('silent'), 5000, clock_timestamp() + interval '1 h', 1000, 0)";
    world.audit.change(silent).await?;
    let answer = activate(&world.one, &loud).await?;
    ensure!(
        answer.status == 504 && answer.json["code"] == "unacknowledged",
        "{}",
        answer.json
    );
    let detail = answer.json["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains("silent (") && !detail.contains("; one"), "{detail}");
    ensure!(world.says(&world.one, "stands").await? == LOUD);

    // It follows at last: whoever asks again is told.
    let follows = "UPDATE host.node SET activation = (SELECT max(sequence) FROM host.activation) WHERE name = 'silent'";
    world.audit.change(follows).await?;
    let answer = activate(&world.one, &loud).await?;
    ensure!(
        answer.status == 200 && answer.json["was_active"] == true,
        "{}",
        answer.json
    );
    world
        .audit
        .change("DELETE FROM host.node WHERE name = 'silent'")
        .await?;
    world.one.restart(NexusOptions::default()).await?;
    Ok(())
}
