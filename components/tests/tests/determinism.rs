//! The same invocation, run by one process and then by another from its journal: the same bytes. And by another build of its
//! component, which asks for something else than was recorded: a mismatch that names both sides.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use component_tests::{Answer, Audit, Client, Commit, Fault, Guests, Nexus, NexusOptions, Shop};
use http::StatusCode;
use serde_json::{Value, json};

const CHECKOUT: &str = "/api/v1/order/buyer/checkout";
const IMPORT: &str = "/api/v1/inventory/stock/import";
/// How long a restarted host may take to finish what the last one left.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything of an answer that the component gave: not when it was sent, nor that it was stored meanwhile, nor how its caller's limit stood.
#[derive(Debug, PartialEq, Eq)]
struct Given {
    status: StatusCode,
    headers: BTreeSet<(String, Vec<u8>)>,
    body: Bytes,
}

fn given(answer: &Answer) -> Given {
    let of_the_host = ["date", "idempotency-replayed", "ratelimit", "ratelimit-policy"];
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !of_the_host.contains(&name.as_str()));
    Given {
        status: answer.status,
        headers: headers
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        body: answer.bytes.clone(),
    }
}

fn invocation_of(answer: &Answer) -> Result<String> {
    Ok(answer.headers["x-invocation-id"].to_str()?.to_owned())
}

/// What an operator sees of an invocation.
async fn shown(nexus: &Nexus, invocation: &str) -> Result<Value> {
    let answer = nexus.admin().get(&format!("/v1/invocations/{invocation}")).await?;
    ensure!(answer.status == 200, "{}", answer.json);
    Ok(answer.json)
}

/// What the guest did, entry by entry: everything but the fences, which only say who ran it.
fn commands(shown: &Value) -> Vec<Value> {
    let journal = shown["journal"].as_array().expect("a journal");
    let mut commands: Vec<Value> = journal
        .iter()
        .filter(|entry| entry["kind"] != "fence")
        .cloned()
        .collect();
    // A fence takes an index.
    for command in &mut commands {
        command["index"].take();
    }
    commands
}

/// Sends the second body; kills the host when the answer is there and the output is not written; asks its successor. The first
/// body is sent undisturbed.
async fn answered_twice(
    nexus: &mut Nexus,
    audit: &Audit,
    client: &Client,
    path: &str,
    twins: [Value; 2],
) -> Result<()> {
    let [twin, body] = twins;
    audit.settled().await?;
    nexus.proxy().disarm();
    client.post(path, twin).await?.data(200);
    audit.settled().await?;
    // The twin has told how many commits there are. The last writes the output.
    let commits = nexus.proxy().commits().len();
    nexus.proxy().arm(Fault::Hold, commits as u32);
    let client = client.keyed(path);
    let first = client.post(path, body.clone()).await?;
    first.data(200);
    assert_eq!(nexus.proxy().hit().await, Commit::Journal);
    nexus.kill()?;
    let invocation = invocation_of(&first)?;
    let status = format!("SELECT count(*) FROM host.invocation WHERE id = '{invocation}' AND status = 'running'");
    assert_eq!(
        audit.count(&status).await?,
        1,
        "the output is not there, or there is nothing to replay"
    );

    nexus.restart(NexusOptions::default()).await?;
    let client = client.at(nexus.url());
    let second = client.post_until_answered(path, &body, PATIENCE).await?;
    assert_eq!(given(&second), given(&first));
    assert_eq!(second.headers["idempotency-replayed"], "true");
    let shown = shown(nexus, &invocation).await?;
    assert_eq!(shown["invocation"]["attempt"], 1, "the successor ran it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_was_sent_and_not_written_is_computed_again_to_the_byte() -> Result<()> {
    let mut nexus = Nexus::start_behind_proxy().await?;
    let shop = Shop::open(&nexus.client(), 20).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let import = |change: i64| json!({ "ref_id": shop.sku, "ref_type": "ProductSku", "change": change });
    let twins = [import(3), import(4)];
    answered_twice(&mut nexus, &audit, &shop.seller.client, IMPORT, twins).await?;
    let shop = shop.at(nexus.url());
    assert_eq!(shop.stock().await?, (27, 0));

    audit.settled().await?;
    audit.books_hold().await
}

/// A checkout that was answered, and its host killed afterwards.
struct CheckedOut {
    nexus: Nexus,
    shop: Shop,
    audit: Audit,
    first: Answer,
    invocation: String,
    /// What the guest did.
    commands: Vec<Value>,
}

impl CheckedOut {
    async fn new() -> Result<Self> {
        let mut nexus = Nexus::start().await?;
        let shop = Shop::open(&nexus.client(), 10).await?;
        let audit = Audit::open(nexus.database_url()).await?;
        let first = shop.buyer.client.keyed("once").post(CHECKOUT, shop.checkout(2)).await?;
        first.data(200);
        audit.settled().await?;
        let invocation = invocation_of(&first)?;
        let shown = shown(&nexus, &invocation).await?;
        nexus.kill()?;
        Ok(Self {
            commands: commands(&shown),
            nexus,
            shop,
            audit,
            first,
            invocation,
        })
    }

    /// The index behind the last entry that rode with business rows. What follows was appended by itself: a process could have
    /// died before any of it.
    fn behind_last_commit(&self) -> usize {
        let last = self.commands.iter().rposition(|entry| entry["kind"] == "transaction");
        last.map_or(0, |last| last + 1)
    }

    /// Makes the database what it was when so many entries were written and the host died. The killed one is that host.
    async fn reopen(&self, entries: usize) -> Result<()> {
        let Self { audit, invocation, .. } = self;
        audit
            .change(&format!(
                "DELETE FROM host.journal_entry WHERE invocation_id = '{invocation}' AND entry_index >= {entries}"
            ))
            .await?;
        let reopened = audit
            .change(&format!(
                "UPDATE host.invocation SET status = 'running', ended_at = NULL,
                     node_id = (SELECT id FROM host.node ORDER BY started_at DESC LIMIT 1) WHERE id = '{invocation}'"
            ))
            .await?;
        ensure!(reopened == 1);
        // Nobody has said anything of what never was.
        audit
            .change(&format!("DELETE FROM host.audit WHERE invocation_id = '{invocation}'"))
            .await?;
        Ok(())
    }

    /// Asks again, and compares answer and journal with those of the first process.
    async fn answers_as_before(&self) -> Result<()> {
        let client = self.shop.buyer.client.keyed("once").at(self.nexus.url());
        let second = client
            .post_until_answered(CHECKOUT, &self.shop.checkout(2), PATIENCE)
            .await?;
        assert_eq!(given(&second), given(&self.first));
        self.audit.settled().await?;
        assert_eq!(commands(&shown(&self.nexus, &self.invocation).await?), self.commands);
        self.audit.books_hold().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_a_journal_leads_to_the_same_bytes() -> Result<()> {
    let mut checked_out = CheckedOut::new().await?;
    let (from, until) = (checked_out.behind_last_commit(), checked_out.commands.len());
    ensure!(
        from + 2 <= until,
        "a checkout ends with a call to its payment: {:#?}",
        checked_out.commands
    );
    let tally = checked_out.audit.tally().await?;
    for entries in from..until {
        checked_out.reopen(entries).await?;
        checked_out.nexus.restart(NexusOptions::default()).await?;
        checked_out
            .answers_as_before()
            .await
            .with_context(|| format!("from {entries} of {until} entries"))?;
        checked_out.nexus.kill()?;
    }
    assert_eq!(checked_out.audit.tally().await?, tally, "a replay writes nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_invocation_ends_on_the_build_it_began_with() -> Result<()> {
    let mut checked_out = CheckedOut::new().await?;
    let deployment = format!(
        "SELECT deployment FROM host.invocation WHERE id = '{}'",
        checked_out.invocation
    );
    let pinned = checked_out.audit.count(&deployment).await?;
    checked_out.reopen(checked_out.behind_last_commit()).await?;

    let guests = Guests::built()?;
    guests.differ("order", "session_seconds", "session_secondz")?;
    checked_out.nexus.restart(guests.options()).await?;
    checked_out.answers_as_before().await?;
    assert_eq!(checked_out.audit.count(&deployment).await?, pinned);

    // What begins now begins on the new one.
    let shop = checked_out.shop.at(checked_out.nexus.url());
    let later = shop.buyer.client.post(CHECKOUT, shop.checkout(1)).await?;
    later.data(200);
    let shown = shown(&checked_out.nexus, &invocation_of(&later)?).await?;
    assert_ne!(shown["invocation"]["deployment"], pinned);
    Ok(())
}

/// Both sides of a mismatch: where, what the journal says, what the guest asked for.
fn sides(cause: &str) -> Option<(&str, &str, &str)> {
    let (position, sides) = cause.strip_prefix("journal mismatch at ")?.split_once(": recorded ")?;
    let (recorded, asked) = sides.split_once(", asked for ")?;
    Some((position, recorded, asked))
}

/// A keyed hash, as it is shown.
fn is_hash(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_differs_is_reported_with_both_sides_and_writes_nothing() -> Result<()> {
    let mut checked_out = CheckedOut::new().await?;
    let tally = checked_out.audit.tally().await?;
    let entries = checked_out.behind_last_commit();
    // One asks for another variable; the other writes the same rows with another text.
    let builds = [
        (
            "session_seconds",
            "session_secondz",
            "observation wasi:config/store.get ",
        ),
        ("to_id, note, currency", "to_id, NOTE, currency", "statement "),
    ];
    for (constant, other, command) in builds {
        let guests = Guests::built()?;
        guests.differ("order", constant, other)?;
        checked_out.reopen(entries).await?;
        // The pin holds, so it has to be forged: the new build registers itself, and the old deployment is said to have it.
        checked_out.nexus.restart(guests.options()).await?;
        checked_out.answers_as_before().await?;
        checked_out.nexus.kill()?;
        let forge = |from: &str, to: &str| {
            format!(
                "UPDATE host.deployment_component SET revision = (SELECT revision FROM host.deployment_component
                     WHERE component = 'order' AND deployment = ({to}))
                 WHERE component = 'order' AND deployment = ({from})"
            )
        };
        let (pinned, newest) = (
            "SELECT min(number) FROM host.deployment",
            "SELECT max(number) FROM host.deployment",
        );
        checked_out
            .audit
            .change("CREATE TEMPORARY TABLE truth AS SELECT * FROM host.deployment_component")
            .await?;
        checked_out.audit.change(&forge(pinned, newest)).await?;
        checked_out.reopen(entries).await?;
        checked_out.nexus.restart(guests.options()).await?;

        let CheckedOut {
            nexus,
            shop,
            audit,
            invocation,
            ..
        } = &checked_out;
        let paused = format!("SELECT count(*) FROM host.invocation WHERE id = '{invocation}' AND status = 'paused'");
        audit.becomes(&paused, 1).await?;
        let seen = shown(nexus, invocation).await?;
        assert_eq!(seen["invocation"]["status"], "paused");
        let cause = seen["invocation"]["cause"].as_str().unwrap_or_default();
        let (position, recorded, asked) = sides(cause).with_context(|| cause.to_owned())?;
        let (scope, number) = position.split_once('#').context("scope and number")?;
        assert_eq!(scope, "/", "the guest that was called itself: {cause}");
        number.parse::<u32>()?;
        let recorded = recorded.strip_prefix(command).with_context(|| cause.to_owned())?;
        let asked = asked.strip_prefix(command).with_context(|| cause.to_owned())?;
        let asked = asked.split(':').next().unwrap_or_default();
        ensure!(is_hash(recorded) && is_hash(asked) && recorded != asked, "{cause}");

        // The journal has two entries more: whoever took it over, and that it paused and why.
        let journal = seen["journal"].as_array().context("a journal")?;
        assert_eq!(commands(&seen), checked_out.commands[..entries]);
        assert_eq!(journal.len(), entries + 2);
        assert_eq!(journal[entries + 1]["reason"], format!("paused: {cause}"));
        assert_eq!(audit.tally().await?, tally, "a build that differs has no effect");
        let printed = nexus.run(&["invocations", "show", invocation])?;
        ensure!(printed.contains("paused") && printed.contains(cause), "{printed}");
        let listed = nexus.admin().get("/v1/invocations?status=paused").await?;
        assert_eq!(listed.json["invocations"][0]["id"], *invocation);
        let client = shop.buyer.client.keyed("once").at(nexus.url());
        let refused = client.post(CHECKOUT, shop.checkout(2)).await?;
        let refused = refused.failed(409, "idempotency_key_in_use")["message"].to_string();
        ensure!(refused.contains("is paused until an operator resumes it"), "{refused}");

        // With the right build it goes on where it stood.
        audit
            .change(
                "UPDATE host.deployment_component SET revision = truth.revision FROM truth
                 WHERE deployment_component.deployment = truth.deployment
                     AND deployment_component.component = truth.component",
            )
            .await?;
        audit.change("DROP TABLE truth").await?;
        checked_out.nexus.kill()?;
        checked_out.nexus.restart(guests.options()).await?;
        checked_out
            .nexus
            .run(&["invocations", "resume", &checked_out.invocation])?;
        checked_out.answers_as_before().await?;
        checked_out.nexus.kill()?;
    }
    Ok(())
}
