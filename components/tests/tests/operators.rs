//! What an operator finds from the command line, and by which marks.

use anyhow::{Context, Result, ensure};
use component_tests::{Audit, Nexus, Shop};
use serde_json::Value;

const CHECKOUT: &str = "/api/v1/order/buyer/checkout";

/// What a verb prints with `--json`, an object a line.
fn printed(nexus: &Nexus, arguments: &[&str]) -> Result<Vec<Value>> {
    let text = nexus.run(&[arguments, &["--json"]].concat())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn ids(listed: &[Value]) -> Vec<&str> {
    listed.iter().filter_map(|listed| listed["id"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_is_found_by_what_a_client_or_a_log_tells_of_it() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let answer = shop.buyer.client.keyed("once").post(CHECKOUT, shop.checkout(2)).await?;
    answer.data(200);
    audit.settled().await?;
    let checkout = answer.headers["x-invocation-id"].to_str()?.to_owned();

    let list = ["invocations", "list"];
    let keyed = |subject: &str| {
        printed(
            &nexus,
            &[&list[..], &["--idempotency-key", "once", "--subject", subject]].concat(),
        )
    };
    assert_eq!(ids(&keyed(&shop.buyer.id)?), [checkout.as_str()]);
    assert_eq!(ids(&keyed(&shop.seller.id)?), [] as [&str; 0], "a key is its owner's");

    audit
        .change(&format!(
            "UPDATE host.invocation SET status = 'paused', ended_at = NULL, cause = 'the carrier answered 503' WHERE id = '{checkout}'"
        ))
        .await?;
    let by_cause = [&list[..], &["--cause", "Carrier Answered", "--component", "order"]].concat();
    let found = printed(&nexus, &by_cause)?;
    assert_eq!(ids(&found), [checkout.as_str()]);
    assert_eq!(found[0]["status"], "paused");
    let text = nexus.run(&by_cause)?;
    ensure!(
        text.starts_with("ID ") && text.contains("the carrier answered 503"),
        "{text}"
    );
    // A word takes the same marks; this one is only counted.
    let counted = nexus.run(&["invocations", "cancel", "--cause", "carrier answered"])?;
    ensure!(counted.contains("1 would be chosen"), "{counted}");

    // The reservation expires later: it is due and waits for nobody.
    let pages = printed(&nexus, &[&list[..], &["--limit", "1"]].concat())?;
    assert_eq!(pages.len(), 1);
    let more = nexus.run(&[&list[..], &["--limit", "1"]].concat())?;
    let cursor = more
        .lines()
        .last()
        .and_then(|line| line.strip_prefix("more with --cursor "));
    let next = printed(
        &nexus,
        &[
            &list[..],
            &["--limit", "1", "--cursor", cursor.context("there is more")?],
        ]
        .concat(),
    )?;
    assert_ne!(ids(&next), ids(&pages));

    let refused = nexus.output(&[&list[..], &["--waiting-for", "godot"]].concat())?;
    ensure!(!refused.status.success());
    let said = String::from_utf8(refused.stderr)?;
    ensure!(
        said.contains("--waiting-for") && said.contains("promise, time, or a promise's id"),
        "{said}"
    );

    let nodes = printed(&nexus, &["nodes"])?;
    assert_eq!((nodes.len(), &nodes[0]["status"]), (1, &"alive".into()));
    let text = nexus.run(&["nodes"])?;
    ensure!(text.starts_with("ID ") && text.contains("  alive  "), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_is_done_again_only_for_who_insists_and_then_once() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let answer = shop.buyer.client.post(CHECKOUT, shop.checkout(2)).await?;
    answer.data(200);
    audit.settled().await?;
    let checkout = answer.headers["x-invocation-id"].to_str()?.to_owned();

    let restart = [
        "invocations",
        "restart",
        &checkout,
        "--reason",
        "the buyer wants the same again",
    ];
    let refused = nexus.output(&restart)?;
    ensure!(!refused.status.success());
    let said = String::from_utf8(refused.stderr)?;
    ensure!(
        said.contains("would do again what stands") && said.contains("transaction") && said.contains("force"),
        "it tells what would be repeated, and the way out: {said}"
    );
    ensure!(shop.stock().await? == (8, 2), "nothing was done");
    // Whoever chooses many is told the same of each.
    let many = [
        "invocations",
        "restart",
        "--status",
        "completed",
        "--function",
        "nexus:http/handler.handle",
        "--component",
        "order",
        "--yes",
    ];
    let refused = nexus.output(&many)?;
    ensure!(!refused.status.success());
    let said = String::from_utf8(refused.stdout)?;
    ensure!(said.contains("restart: 0 of 1") && said.contains(&checkout), "{said}");

    let forced = [&restart[..], &["--force"]].concat();
    let first = printed(&nexus, &forced)?;
    let second = printed(&nexus, &forced)?;
    audit.settled().await?;
    ensure!(shop.stock().await? == (6, 4), "done again, and only once");
    ensure!(
        first[0]["id"] == second[0]["id"] && first[0]["id"] != checkout.as_str(),
        "{first:?}, {second:?}"
    );
    let words = printed(&nexus, &["audit", "--invocation", &checkout])?;
    ensure!(
        words
            .iter()
            .any(|word| word["verb"] == "restart" && word["reason"] == "the buyer wants the same again"),
        "{words:?}"
    );
    audit.books_hold().await
}
