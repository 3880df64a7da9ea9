//! Open invocations that go on with another revision, after a dry run that found nothing else than is recorded.

use anyhow::{Context, Result, ensure};
use component_tests::Answer;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::world::{World, upload};

/// An invocation that waits for a promise.
pub(crate) struct Waiting {
    id: String,
    promise: String,
    _asked: JoinHandle<Result<Answer>>,
}

impl World {
    pub(crate) async fn waiting(&self, ticket: &str) -> Result<Waiting> {
        let client = self.one.client().keyed(ticket);
        let body = json!({ "ticket": ticket, "timeout_ms": null });
        let asked = tokio::spawn(async move { client.post("/waiter/wait", body).await });
        let promise = format!("SELECT promise FROM waiter.ticket WHERE name = '{ticket}'");
        let made = format!("SELECT count(*) FROM ({promise}) AS made");
        self.audit.becomes(&made, 1).await?;
        let promise = self.audit.texts(&promise).await?.pop().context("a promise")?;
        let owner = format!("SELECT invocation_id::text FROM host.promise WHERE id = '{promise}'");
        let id = self.audit.texts(&owner).await?.pop().context("an invocation")?;
        self.stands(&id, "suspended").await?;
        Ok(Waiting {
            id,
            promise,
            _asked: asked,
        })
    }

    pub(crate) async fn stands(&self, invocation: &str, status: &str) -> Result<()> {
        let stands =
            format!("SELECT count(*) FROM host.invocation WHERE id = '{invocation}' AND status::text = '{status}'");
        self.audit.becomes(&stands, 1).await
    }

    /// Completes what it waits for, and gives what it noted at its end.
    pub(crate) async fn ended(&self, waiting: &Waiting, ticket: &str) -> Result<String> {
        let body = json!({ "promise": waiting.promise, "value": "x" });
        self.two.client().post("/waiter/complete", body).await?.data(200);
        self.stands(&waiting.id, "completed").await?;
        let notes = format!("SELECT what FROM waiter.note WHERE ticket = '{ticket}' ORDER BY what <> 'before', what");
        Ok(self.audit.texts(&notes).await?.join(", "))
    }

    pub(crate) async fn started_entry(&self, invocation: &str) -> Result<Vec<String>> {
        let entry = format!(
            "SELECT encode(body, 'hex') FROM host.journal_entry WHERE invocation_id = '{invocation}' AND entry_index = 0"
        );
        self.audit.texts(&entry).await
    }

    async fn words(&self, invocation: &str) -> Result<Vec<String>> {
        let words = format!("SELECT verb FROM host.audit WHERE invocation_id = '{invocation}' ORDER BY id");
        self.audit.texts(&words).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_ends_on_its_own_revision_unless_it_is_moved() -> Result<()> {
    let mut world = World::start().await?;
    let (stays, moves) = (world.waiting("stays").await?, world.waiting("moves").await?);
    let began = world.started_entry(&moves.id).await?;
    let pinned = world.deployment_of(&moves.id).await?;
    let loud = upload(&world.one, world.loud()?, true).await?;

    let printed = world
        .one
        .run(&["invocations", "move", &moves.id, "--to", &loud, "--as", "ann"])?;
    ensure!(printed.contains(&moves.id), "{printed}");
    world.stands(&moves.id, "suspended").await?;
    let moved = world.deployment_of(&moves.id).await?;
    ensure!(moved != pinned && world.deployment_of(&stays.id).await? == pinned);
    // Said again, it is done already: no word, no entry.
    let entries = format!(
        "SELECT count(*) FROM host.journal_entry WHERE invocation_id = '{}'",
        moves.id
    );
    let before = world.audit.count(&entries).await?;
    world.two.run(&["invocations", "move", &moves.id, "--to", &loud])?;
    assert_eq!(world.audit.count(&entries).await?, before);
    assert_eq!(world.words(&moves.id).await?, ["move"]);
    assert_eq!(
        world.started_entry(&moves.id).await?,
        began,
        "the record stays as it is"
    );

    // Hosts that know nothing of it but the row go on where it was moved to.
    world.one.kill()?;
    world.two.kill()?;
    world.one.restart(world.guests.options()).await?;
    world.two.restart(world.guests.options()).await?;
    assert_eq!(world.ended(&stays, "stays").await?, "before, value x");
    assert_eq!(world.ended(&moves, "moves").await?, "before, VALUE x");
    let refused = world.one.output(&["invocations", "move", &moves.id, "--to", &loud])?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(
        !refused.status.success() && said.contains("only an open one can be moved"),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_do_otherwise_stays_where_it_is_and_both_sides_are_told() -> Result<()> {
    let world = World::start().await?;
    let waiting = world.waiting("here").await?;
    let pinned = world.deployment_of(&waiting.id).await?;
    let different = upload(&world.one, world.different()?, false).await?;
    let refused = world
        .one
        .output(&["invocations", "move", &waiting.id, "--to", &different])?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(!refused.status.success(), "{said}");
    for part in ["stays where it is", "recorded is ", "asked for is "] {
        ensure!(said.contains(part), "{said}");
    }
    let unknown = "00".repeat(32);
    let refused = world
        .one
        .output(&["invocations", "move", &waiting.id, "--to", &unknown])?;
    let said = String::from_utf8(refused.stderr)?;
    ensure!(
        !refused.status.success() && said.contains("there is no revision 0000"),
        "{said}"
    );
    assert_eq!(world.deployment_of(&waiting.id).await?, pinned);
    ensure!(world.words(&waiting.id).await?.is_empty());
    assert_eq!(world.ended(&waiting, "here").await?, "before, value x");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_moved_at_once_and_paused_ones_stay_paused() -> Result<()> {
    let world = World::start().await?;
    let (paused, other) = (world.waiting("paused").await?, world.waiting("other").await?);
    world.one.run(&["invocations", "pause", &paused.id])?;
    // Nothing is active but the files: the move makes a deployment of its own.
    let loud = upload(&world.two, world.loud()?, false).await?;
    let printed = world.one.run(&[
        "invocations",
        "move",
        "--component",
        "waiter",
        "--status",
        "suspended",
        "--to",
        &loud,
    ])?;
    ensure!(printed.contains("move: 1 of 1"), "{printed}");
    let printed = world
        .one
        .run(&["invocations", "move", "--status", "paused", "--to", &loud])?;
    ensure!(printed.contains("move: 1 of 1"), "{printed}");
    world.stands(&paused.id, "paused").await?;
    assert_eq!(
        world.deployment_of(&paused.id).await?,
        world.deployment_of(&other.id).await?
    );
    assert_eq!(world.ended(&other, "other").await?, "before, VALUE x");
    world.two.run(&["invocations", "resume", &paused.id])?;
    assert_eq!(world.ended(&paused, "paused").await?, "before, VALUE x");
    Ok(())
}
