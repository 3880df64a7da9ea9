//! `nexus replay`: a stored invocation run once more without any effect, on today's revisions and on others.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use component_tests::{Audit, Guests, Nexus, Shop};
use serde_json::Value;

const CHECKOUT: &str = "/api/v1/order/buyer/checkout";

/// A marketplace with one checkout in it.
struct Stored {
    nexus: Nexus,
    audit: Audit,
    invocation: String,
    entries: i64,
}

impl Stored {
    async fn new() -> Result<Self> {
        let nexus = Nexus::start().await?;
        let shop = Shop::open(&nexus.client(), 10).await?;
        let audit = Audit::open(nexus.database_url()).await?;
        let answer = shop.buyer.client.keyed("once").post(CHECKOUT, shop.checkout(2)).await?;
        answer.data(200);
        audit.settled().await?;
        let invocation = answer.headers["x-invocation-id"].to_str()?.to_owned();
        let count = format!("SELECT count(*) FROM host.journal_entry WHERE invocation_id = '{invocation}'");
        let entries = audit.count(&count).await?;
        Ok(Self {
            nexus,
            audit,
            invocation,
            entries,
        })
    }

    /// What a dry run prints, and whether it succeeds.
    fn replayed(&self, arguments: &[&str]) -> Result<(Value, bool)> {
        let output = self.output(&[&["--json"], arguments].concat())?;
        let text = String::from_utf8(output.stdout)?;
        let first = text.lines().next().context("it prints nothing")?;
        Ok((serde_json::from_str(first)?, output.status.success()))
    }

    fn output(&self, arguments: &[&str]) -> Result<Output> {
        self.nexus.output(&[&["replay", &self.invocation], arguments].concat())
    }

    /// Everything a dry run must leave alone.
    async fn world(&self) -> Result<Vec<String>> {
        let mut world = self
            .audit
            .texts("SELECT i::text FROM host.invocation i ORDER BY id")
            .await?;
        let journal = "SELECT e::text FROM host.journal_entry e ORDER BY invocation_id, entry_index";
        world.extend(self.audit.texts(journal).await?);
        world.extend(self.audit.texts("SELECT a::text FROM host.audit a ORDER BY id").await?);
        world.push(format!("{:?}", self.audit.tally().await?));
        Ok(world)
    }

    /// Makes it one that a person paused when so many entries were written.
    async fn cut(&self, entries: i64) -> Result<()> {
        let Self { audit, invocation, .. } = self;
        audit
            .change(&format!(
                "DELETE FROM host.journal_entry WHERE invocation_id = '{invocation}' AND entry_index >= {entries}"
            ))
            .await?;
        audit
            .change(&format!(
                "UPDATE host.invocation SET status = 'paused', ended_at = NULL WHERE id = '{invocation}'"
            ))
            .await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_tells_the_same_from_what_differs_and_leaves_everything_as_it_was() -> Result<()> {
    let stored = Stored::new().await?;
    let before = stored.world().await?;

    let (found, succeeds) = stored.replayed(&[])?;
    ensure!(succeeds, "{found}");
    assert_eq!(found["outcome"]["kind"], "same", "{found}");
    assert_eq!(found["entries"], stored.entries);
    let compared = found["compared"].as_u64().context("a number")?;
    let printed = String::from_utf8(stored.output(&["--pinned"])?.stdout)?;
    ensure!(printed.contains("same: every command, and the output"), "{printed}");

    // The same bytes in a file are the same as well.
    let guests = Guests::built()?;
    let order = guests.path("order").display().to_string();
    let inventory = guests.path("inventory").display().to_string();
    let (found, succeeds) = stored.replayed(&["--with", &order])?;
    ensure!(succeeds && found["compared"] == compared, "{found}");
    assert_eq!(found["replaced"]["component"], "order");

    // Another build of the component it began in.
    guests.differ("order", "session_seconds", "session_secondz")?;
    let (found, succeeds) = stored.replayed(&["--with", &order])?;
    ensure!(!succeeds, "{found}");
    let outcome = &found["outcome"];
    assert_eq!(
        (&outcome["kind"], &found["same"]),
        (&"differs".into(), &false.into()),
        "{found}"
    );
    assert_eq!(outcome["position"]["scope"], "/", "{found}");
    for side in ["recorded", "asked"] {
        let text = outcome[side].as_str().context("a text")?;
        ensure!(text.starts_with("observation wasi:config/store.get "), "{found}");
    }
    assert_ne!(outcome["recorded"], outcome["asked"]);
    let failed = stored.output(&["--with", &order])?;
    let printed = String::from_utf8(failed.stdout)?;
    ensure!(!failed.status.success());
    ensure!(
        printed.contains("differs at /#") && printed.contains("recorded  obs") && printed.contains("now       obs"),
        "{printed}"
    );

    // Another build of a component that it called: it is found in the callee's scope.
    guests.differ(
        "inventory",
        "INSERT INTO reservation (id, state",
        "INSERT INTO Reservation (id, state",
    )?;
    let (found, succeeds) = stored.replayed(&["--with", &inventory, "--component", "inventory"])?;
    ensure!(!succeeds, "{found}");
    let outcome = &found["outcome"];
    ensure!(
        outcome["position"]["scope"]
            .as_str()
            .is_some_and(|scope| scope.len() > 1),
        "{found}"
    );
    for side in ["recorded", "asked"] {
        let text = outcome[side].as_str().context("a text")?;
        ensure!(text.starts_with("statement "), "{found}");
    }
    assert_eq!(stored.world().await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_an_open_invocation_says_where_it_would_go_on() -> Result<()> {
    let stored = Stored::new().await?;
    // A process can die between two appends, and nowhere else: the entries of one have one transaction.
    let boundaries = format!(
        "SELECT entry_index::text FROM (
             SELECT entry_index, xmin::text AS own, lag(xmin::text) OVER (ORDER BY entry_index) AS before
             FROM host.journal_entry WHERE invocation_id = '{}'
         ) AS entry WHERE own <> before ORDER BY entry_index DESC",
        stored.invocation
    );
    let boundaries = stored.audit.texts(&boundaries).await?;
    ensure!(boundaries.len() > 1, "{boundaries:?}");
    let mut positions = Vec::new();
    for entries in boundaries {
        let entries = entries.parse()?;
        stored.cut(entries).await?;
        let before = stored.world().await?;
        let (found, succeeds) = stored.replayed(&[])?;
        ensure!(succeeds, "after {entries} entries: {found}");
        match found["outcome"]["kind"].as_str() {
            Some("goes_on") => positions.push(found["outcome"]["position"].to_string()),
            // The last call can be answered from what its callee did, and after it nothing was asked for.
            Some("returned") => ensure!(positions.is_empty(), "after {entries} entries: {found}"),
            _ => anyhow::bail!("after {entries} entries: {found}"),
        }
        assert_eq!(stored.world().await?, before, "after {entries} entries");
    }
    positions.dedup();
    ensure!(!positions.is_empty(), "it is said where");
    let printed = String::from_utf8(stored.output(&[])?.stdout)?;
    ensure!(printed.contains("same: goes on with "), "{printed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_said_with_the_reason() -> Result<()> {
    let mut stored = Stored::new().await?;
    let garbage = tempfile::NamedTempFile::new()?;
    std::fs::write(garbage.path(), b"\0asm, or not")?;
    let garbage = garbage.path().display().to_string();
    let guests = Guests::built()?;
    let order = guests.path("order").display().to_string();
    let catalog = guests.path("catalog").display().to_string();
    let refused = |stored: &Stored, arguments: &[&str], expected: &str| {
        let output = stored.output(arguments)?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(
            !output.status.success() && said.contains(expected),
            "{arguments:?}: {said}"
        );
        anyhow::Ok(())
    };
    refused(
        &stored,
        &["--with", &garbage],
        "these bytes do not run in the place of order",
    )?;
    refused(
        &stored,
        &["--with", &order, "--component", "odrer"],
        "there is no component odrer; there are account",
    )?;
    // It lacks what others import of the inventory.
    refused(
        &stored,
        &["--with", &catalog, "--component", "inventory"],
        "do not run in the place of inventory",
    )?;

    // What a sensitive route was asked is gone.
    let registered = "SELECT id::text FROM host.invocation WHERE component = 'account' ORDER BY id LIMIT 1";
    let checkout = std::mem::replace(&mut stored.invocation, stored.audit.texts(registered).await?.remove(0));
    refused(&stored, &[], "the payloads of the invocation were erased")?;

    stored.invocation = checkout;
    stored
        .audit
        .change(&format!(
            "DELETE FROM host.journal_entry WHERE invocation_id = '{}'",
            stored.invocation
        ))
        .await?;
    refused(&stored, &[], "the journal of the invocation was dropped")?;
    stored.invocation = "01900000-0000-7000-8000-000000000000".into();
    refused(&stored, &[], "there is no invocation")
}
