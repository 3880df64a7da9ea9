//! What cannot be taken becomes a dead letter; an operator looks, and replays or drops it.

use anyhow::{Result, ensure};
use component_tests::{Audit, Edited, Nexus, NexusOptions};
use serde_json::json;

use crate::world::{MANIFEST, World, counts};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_waits_for_an_operator_and_what_it_did_is_done_once() -> Result<()> {
    let world = World::start().await?;
    for (key, mood) in [
        ("before", "retry before"),
        ("after", "reject after"),
        ("trap", "trap before"),
    ] {
        world.mood(key, mood).await?;
        world.tell("news.bad", key).await?;
        world.tell("news.bad", key).await?;
    }
    world.deliveries("dead", 3).await?;
    world.deliveries("waiting", 3).await?;
    let dead = world.dead_letters().await?;
    for letter in &dead {
        ensure!(
            letter["subscription"] == "strict" && letter["component"] == "listener",
            "{letter}"
        );
        ensure!(
            letter["topic"] == "news.bad" && letter["behind"] == 1 && letter["blocks"] == true,
            "{letter}"
        );
        let cause = letter["cause"].as_str().unwrap_or_default();
        let expected = match letter["key"].as_str() {
            Some("before") => "listener does not take the event yet: not now; 3 attempts in a row have failed",
            Some("after") => "listener rejects the event: never",
            _ => "unreachable",
        };
        ensure!(cause.contains(expected), "{letter}");
    }
    let listed = world.nexus.run(&["events", "dead-letters"])?;
    ensure!(
        listed.contains("listener/strict") && listed.contains("rejects the event"),
        "{listed}"
    );

    for key in ["before", "after", "trap"] {
        world.mood(key, "").await?;
    }
    // Nothing of the first and the last stands: they are delivered anew. The other one goes on where it stopped.
    for letter in &dead {
        let answer = world.say(&letter["id"], "replay").await?;
        let expected = if letter["key"] == "after" { "resumed" } else { "anew" };
        ensure!(
            answer.status == 200 && answer.json["outcome"] == expected,
            "{}",
            answer.json
        );
        // Said twice it is done once.
        let again = world.say(&letter["id"], "replay").await?;
        ensure!(
            again.status == 200 && again.json["outcome"] == expected,
            "{}",
            again.json
        );
    }
    world.delivered().await?;
    for key in ["before", "after", "trap"] {
        let heard = world.heard("strict", key).await?;
        ensure!(heard == counts(2), "{key}: {heard:?}");
    }
    let said = world.nexus.run(&["audit"])?;
    ensure!(
        said.matches("replay").count() == 3 && said.contains("delivered anew"),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refusal_says_is_kept_in_part_and_never_stands_in_the_way() -> Result<()> {
    let world = World::start().await?;
    world.mood("a", "blurt before").await?;
    world.tell("news.bad", "a").await?;
    world.deliveries("dead", 1).await?;
    let dead = world.dead_letters().await?;
    let cause = dead[0]["cause"].as_str().unwrap_or_default();
    ensure!(
        cause.starts_with("listener does not take the event yet: not now!!!")
            && cause.ends_with("!; 3 attempts in a row have failed")
            && cause.len() < 1_100,
        "{} bytes: {cause:.200}",
        cause.len()
    );
    let longest = "SELECT max(length(body))::bigint FROM host.journal_entry";
    let longest = world.audit.count(longest).await?;
    ensure!(longest < 2_000, "an entry of {longest} bytes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_waits_no_longer_than_the_manifest_lets_it() -> Result<()> {
    let world = World::start().await?;
    world.mood("a", "nap before").await?;
    world.tell("news.bad", "a").await?;
    world.delivered().await?;
    ensure!(world.heard("strict", "a").await? == counts(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_one_is_told_to_nobody_and_the_next_goes_on() -> Result<()> {
    let world = World::start().await?;
    world.mood("a", "reject before").await?;
    for _ in 0..3 {
        world.tell("news.good", "a").await?;
    }
    // The strict one waits with the two behind; to the loose one all three are dead letters by now.
    world.deliveries("dead", 4).await?;
    world.deliveries("waiting", 2).await?;
    world.mood("a", "").await?;
    world.tell("news.good", "a").await?;
    let heard = "SELECT count(*) FROM listener.heard WHERE subscription = 'loose'";
    world.audit.becomes(heard, 1).await?;

    let counted = world
        .nexus
        .run(&["events", "drop", "--subscription", "loose", "--component", "listener"])?;
    ensure!(counted.contains("3 would be chosen"), "{counted}");
    let dropped = world.nexus.run(&[
        "events",
        "drop",
        "--subscription",
        "loose",
        "--yes",
        "--reason",
        "stale",
    ])?;
    ensure!(dropped.contains("3 of 3"), "{dropped}");
    let dead = world.dead_letters().await?;
    ensure!(dead.len() == 1, "{dead:?}");
    let id = dead[0]["id"].as_str().unwrap_or_default();
    for _ in 0..2 {
        world.nexus.run(&["events", "drop", id, "--as", "ann"])?;
    }
    // Another word about what is none any more is another matter.
    ensure!(world.say(&dead[0]["id"], "replay").await?.status == 409);
    let said = "SELECT count(*) FROM host.audit WHERE verb = 'drop'";
    ensure!(world.audit.count(said).await? == 4);
    world.delivered().await?;
    ensure!(world.heard("strict", "a").await? == counts(4)[1..]);
    ensure!(world.heard("loose", "a").await? == counts(4)[3..]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_about_what_is_no_dead_letter_is_refused() -> Result<()> {
    let world = World::start().await?;
    let unknown = json!("01890000-0000-7000-8000-000000000000");
    let refused = world.say(&unknown, "replay").await?;
    ensure!(refused.status == 409, "{}", refused.json);
    let detail = refused.json["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains("nexus events dead-letters"), "{detail}");
    let admin = world.nexus.admin();
    ensure!(admin.get("/v1/dead-letters?sub=x").await?.status == 400);
    ensure!(
        admin.post("/v1/dead-letters/drop", json!({})).await?.status == 400,
        "to all of them is nobody's intention"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_subscription_that_is_gone_is_shown_and_can_be_dropped() -> Result<()> {
    let edited = Edited::application(MANIFEST.as_ref(), str::to_owned)?;
    let nexus = Nexus::start_application(&edited.manifest(), NexusOptions::default()).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let mut world = World { nexus, audit };
    world.mood("a", "reject before").await?;
    for _ in 0..3 {
        world.tell("news.bad", "a").await?;
    }
    world.deliveries("dead", 1).await?;
    let drop = ["events", "drop", "--subscription", "strict", "--component", "listener"];
    let counted = world.nexus.run(&drop)?;
    ensure!(!counted.contains("retired"), "it is in the manifest: {counted}");

    let strict = "strict = { topics = [\"news.*\"] }";
    edited.change(|manifest| {
        assert!(manifest.contains(strict), "the manifest has another shape");
        manifest.replace(strict, "")
    })?;
    world.restart(&[]).await?;
    let listed = world.nexus.run(&["events", "dead-letters"])?;
    ensure!(
        listed.contains("listener/strict is in no manifest since") && listed.contains("2 wait for its return"),
        "{listed}"
    );
    let counted = world.nexus.run(&drop)?;
    ensure!(
        counted.contains("1 would be chosen") && counted.contains("2 more wait for a retired subscription"),
        "{counted}"
    );
    world.deliveries("waiting", 2).await?;
    let said = [&drop[..], &["--yes", "--as", "ann", "--reason", "gone"]].concat();
    let dropped = world.nexus.run(&said)?;
    ensure!(
        dropped.contains("drop: 1 of 1") && dropped.contains("2 more, which waited"),
        "{dropped}"
    );
    world.delivered().await?;
    let again = world.nexus.run(&said)?;
    ensure!(again.contains("drop: 0 of 0") && !again.contains("more"), "{again}");
    let words = world.nexus.run(&["audit", "--component", "listener"])?;
    ensure!(
        words.contains("2 events dropped that waited for the retired subscription strict"),
        "{words}"
    );
    Ok(())
}
