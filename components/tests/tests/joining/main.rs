//! Several calls and queries at once, in a real host: their time, and what each leaves.

use std::path::Path;

use anyhow::{Result, ensure};
use component_tests::{Answer, Audit, Nexus, NexusOptions};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Relative to the workspace.
const MANIFEST: &str = "components/tests/joining/spin.toml";

struct World {
    nexus: Nexus,
    audit: Audit,
}

impl World {
    async fn start() -> Result<Self> {
        let nexus = Nexus::start_application(Path::new(MANIFEST), NexusOptions::default()).await?;
        let audit = Audit::open(nexus.database_url()).await?;
        Ok(Self { nexus, audit })
    }

    async fn post(&self, path: &str, body: Value) -> Result<Answer> {
        self.nexus.client().post(&format!("/joiner/{path}"), body).await
    }

    async fn ask(&self, path: &str, body: Value) -> Result<Vec<String>> {
        Ok(told(&self.post(path, body).await?))
    }

    /// What was noted under a name, in the order of the alphabet.
    async fn notes(&self, ticket: &str) -> Result<Vec<String>> {
        let notes = format!("SELECT what FROM joiner.note WHERE ticket = '{ticket}' ORDER BY what");
        self.audit.texts(&notes).await
    }

    /// Everything that was begun has come to its end, and every index was written once.
    async fn everything_has_ended(&self) -> Result<()> {
        let open = "SELECT count(*) FROM host.invocation WHERE status <> 'completed'";
        self.audit.becomes(open, 0).await
    }
}

#[track_caller]
fn told(answer: &Answer) -> Vec<String> {
    let told = answer.data(200)["told"].as_array().cloned().unwrap_or_default();
    told.iter()
        .map(|text| text.as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_slow_calls_take_about_the_time_of_one() -> Result<()> {
    let world = World::start().await?;
    let body = json!({ "count": 10, "ms": 200 });
    let begun = Instant::now();
    let at_once = world.ask("naps", body.clone()).await?;
    let at_once_ms = begun.elapsed().as_millis();
    let begun = Instant::now();
    let in_turn = world.ask("naps-in-turn", body).await?;
    let in_turn_ms = begun.elapsed().as_millis();
    let expected: Vec<_> = (0..10).map(|nap| nap.to_string()).collect();
    ensure!(at_once == expected && in_turn == expected, "{at_once:?} {in_turn:?}");
    ensure!(in_turn_ms >= 2_000, "{in_turn_ms} ms");
    ensure!(
        at_once_ms >= 200 && at_once_ms < in_turn_ms / 2,
        "{at_once_ms} ms of {in_turn_ms} ms"
    );

    // More than may go on at once; and callees that do the same.
    let many = world.ask("naps", json!({ "count": 50, "ms": 1 })).await?;
    ensure!(
        many == (0..50).map(|nap| nap.to_string()).collect::<Vec<_>>(),
        "{many:?}"
    );
    ensure!(world.ask("spread", json!({ "width": 5, "depth": 3 })).await? == ["125"]);

    let mut expected: Vec<_> = (0..20).map(|n| (2 * n).to_string()).collect();
    expected.push("refused".into());
    let seen = world.ask("queries", json!({ "count": 20, "ms": 0 })).await?;
    ensure!(seen == expected, "{seen:?}");
    ensure!(
        world.audit.count("SELECT count(*) FROM host.invocation").await? == 0,
        "they only looked"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn siblings_commit_each_for_itself_and_a_key_is_claimed_once() -> Result<()> {
    let world = World::start().await?;
    let what: Vec<_> = (0..12).map(|n| format!("{n:02}")).collect();
    let body = json!({ "ticket": "keyed", "what": what });
    let client = world.nexus.client().keyed("keyed");
    let first = client.post("/joiner/notes", body.clone()).await?;
    let seen = told(&first);
    ensure!(seen.len() == 13, "{seen:?}");
    ensure!(world.notes("keyed").await? == what);
    let again = client.post("/joiner/notes", body).await?;
    ensure!(told(&again) == seen, "the stored answer");
    ensure!(world.notes("keyed").await? == what);

    // An error of one is its answer, and nobody else's.
    let body = json!({ "ticket": "mixed", "what": ["one", "refused", "other"] });
    let seen = world.ask("notes", body).await?;
    ensure!(seen[1] == "it is refused", "{seen:?}");
    ensure!(world.notes("mixed").await? == ["one", "other"]);
    world.everything_has_ended().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_and_not_finished_is_done_before_its_caller_has_returned() -> Result<()> {
    let world = World::start().await?;
    let seen = world.ask("unfinished", json!({ "ticket": "left", "ms": 100 })).await?;
    ensure!(seen == ["returned"]);
    ensure!(world.notes("left").await? == ["left after", "left before"]);
    world.everything_has_ended().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sibling_that_traps_ends_the_attempt_and_what_another_did_is_not_done_again() -> Result<()> {
    let world = World::start().await?;
    let falling = world.post("fall", json!({ "ticket": "fallen", "ms": 200 }));
    let paused = "SELECT count(*) FROM host.invocation WHERE status = 'paused' AND cause LIKE '%trap%'";
    // The caller need not wait for the end of its patience.
    tokio::select! {
        answer = falling => ensure!(answer?.status == 503),
        paused = world.audit.becomes(paused, 1) => paused?,
    }
    world.audit.becomes(paused, 1).await?;
    ensure!(
        world.notes("fallen").await? == ["beside before"],
        "once, in three attempts"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_is_refused_with_its_reason() -> Result<()> {
    let world = World::start().await?;
    for (how, reason) in [
        (
            "twice",
            "call 0 was finished as test:joiner/steps@0.1.0.nap, and is none that was begun here and not finished",
        ),
        (
            "another",
            "call 0 was finished as test:joiner/steps@0.1.0.fall, and begun as test:joiner/steps@0.1.0.nap",
        ),
        (
            "unknown",
            "call 7 was finished as test:joiner/steps@0.1.0.nap, and is none",
        ),
        ("too many", "while 16 calls of this instance are begun and not finished"),
        (
            "too many queries",
            "while 16 queries of this instance are begun and not finished",
        ),
        (
            "in a transaction",
            "test:joiner/steps@0.1.0.nap was used while the transaction begun at",
        ),
    ] {
        let answer = world.post("misuse", json!({ "ticket": how, "how": how })).await?;
        ensure!(answer.status == 500, "{how}: {}", answer.status);
        let log = world.nexus.log()?;
        ensure!(log.contains(reason), "{how}: {log}");
        ensure!(world.notes(how).await?.is_empty(), "{how}");
    }
    Ok(())
}
