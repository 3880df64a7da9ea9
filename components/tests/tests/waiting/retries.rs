//! How often, and for how long, what fails is tried again before a person is asked: as the manifest says of what it began with.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use component_tests::Edited;
use serde_json::{Value, json};

use crate::world::{MANIFEST, World};

/// None of these numbers is the host's own, nor what it allows an append that is refused.
const RETRIES: &str = r#"initial_ms = 10
attempts = 4

[component.waiter.tool.nexus.retry_for]
"POST /waiter/sleep" = { attempts = 2 }
"POST /waiter/review" = { deadline_ms = 500 }
"test:waiter/jobs.note" = { attempts = 3 }
"#;

/// From here on an invocation of the module begins, and none goes on: what it commits after its first append is refused.
const REFUSALS: [&str; 2] = [
    "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF EXISTS (SELECT FROM host.invocation WHERE id = NEW.invocation_id AND created_at < now()) THEN
                 RAISE EXCEPTION 'the disk has a bad day';
             END IF;
             RETURN NEW;
         END $$",
    // What rides a transaction of the module, and no fence.
    "CREATE TRIGGER refuse BEFORE INSERT ON host.journal_entry FOR EACH ROW
         WHEN (session_user LIKE '%waiter%') EXECUTE FUNCTION public.refuse()",
];

impl World {
    /// The invocation of a request that goes on without its caller, or is paused.
    async fn unanswered(&self, path: &str, body: Value) -> Result<String> {
        let answer = self.begin(path, body).await??;
        answer.failed(503, "unavailable");
        Ok(answer.headers["x-invocation-id"].to_str()?.to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_as_the_manifest_says_of_the_request_or_function_it_began_with() -> Result<()> {
    let edited = Edited::application(Path::new(MANIFEST), |manifest| {
        let line = "initial_ms = 10\n";
        assert!(manifest.ends_with(line), "the manifest has another shape");
        manifest.replace(line, RETRIES)
    })?;
    let world = World::start_edited(edited).await?;
    for statement in REFUSALS {
        world.audit.change(statement).await?;
    }
    let sent = world.send("sent", "done", None, false).await?;
    let slept = world
        .unanswered("sleep", json!({ "ticket": "slept", "ms": 50 }))
        .await?;
    let waited = world
        .unanswered("wait", json!({ "ticket": "waited", "timeout_ms": 50 }))
        .await?;
    // Past its deadline before anything of it fails.
    let late = json!({ "ticket": "late", "ms": 1_000, "mib": 0 });
    let late = world.unanswered("review", late).await?;

    for (invocation, attempts, because) in [
        (slept, 2, "; 2 attempts in a row have failed"),
        (sent, 3, "; 3 attempts in a row have failed"),
        (waited, 4, "; 4 attempts in a row have failed"),
        (late, 1, "; another attempt would begin past its deadline of 500 ms"),
    ] {
        let paused = format!("SELECT count(*) FROM host.invocation WHERE id = '{invocation}' AND status = 'paused'");
        world.audit.becomes(&paused, 1).await?;
        let shown = world.shown(&invocation).await?;
        let cause = shown["invocation"]["cause"].as_str().unwrap_or_default();
        ensure!(
            cause.contains("the disk has a bad day") && cause.ends_with(because),
            "{because}: {cause}"
        );
        // They were made, not only counted.
        let journal = shown["journal"].as_array().context("a journal")?;
        let reasons = journal.iter().filter_map(|entry| entry["reason"].as_str());
        let again = reasons.filter(|reason| reason.starts_with("tried again: ")).count();
        ensure!(again + 1 == attempts, "{because}: {shown}");
    }
    Ok(())
}
