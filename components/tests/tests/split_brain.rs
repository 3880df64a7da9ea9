//! A process frozen in the middle of a checkout, taken over by a node that was beside it all the while, then continued.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Audit, Nexus, NexusOptions, Shop};
use serde_json::json;
use tokio::time::Instant;

/// How long a node counts as alive after its last heartbeat, unless it is told.
const LEASE: Duration = Duration::from_secs(5);
/// What may come on top for those who wait for what a frozen node held: the look that finds it dead, a second apart from the one before, and the
/// takeover. Without optimisation, beside other tests.
const ALLOWANCE: Duration = Duration::from_secs(3);
/// How long a process may take to freeze, and the thawed one to tell its client something.
const PATIENCE: Duration = Duration::from_secs(40);

/// Where the owner freezes, by kind and number: with the stock's row locked and its transaction open; when all is written and only COMMIT is to be
/// sent; and when that is acknowledged, and nothing else is done yet.
const POINTS: [(&str, u32); 3] = [("BetweenStatements", 2), ("BeforeCommit", 1), ("AfterCommit", 1)];

/// At this point of those of its kind.
fn freeze_at(kind: &str, number: u32) -> NexusOptions {
    NexusOptions::with(&[("NEXUS_FREEZE_AT", format!("{kind} {number}"))])
}

/// Fails unless the host says that it froze itself at a point of this kind.
fn is_frozen_at(nexus: &Nexus, kind: &str) -> Result<()> {
    let log = nexus.log()?;
    let line = log
        .lines()
        .rev()
        .find(|line| line.contains("an armed point is reached"));
    let line = line.context("the host says where it stops")?;
    ensure!(line.contains(kind), "not at {kind}: {line}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_owner_has_no_effect_of_its_own_and_keeps_nobody_waiting() -> Result<()> {
    for (kind, number) in POINTS {
        let alive = Nexus::start().await?;
        let shop = Shop::open(&alive.client(), 10).await?;
        let frozen = alive.second_node(freeze_at(kind, number)).await?;
        let asked = tokio::spawn({
            let client = shop.at(frozen.url()).buyer.client.keyed("once");
            let body = shop.checkout(2);
            async move { client.post("/api/v1/order/buyer/checkout", body).await }
        });
        let freezing = tokio::time::timeout(PATIENCE, frozen.frozen());
        freezing
            .await
            .with_context(|| format!("{kind} {number} was not reached"))??;
        // Its lease began before, with its last heartbeat.
        let lease_ends = Instant::now() + LEASE;
        is_frozen_at(&frozen, kind)?;
        let patience = ALLOWANCE + lease_ends.saturating_duration_since(Instant::now());
        // Somebody else works on the same stock, whose row the frozen transaction may have locked.
        let import = json!({ "ref_id": shop.sku, "ref_type": "ProductSku", "change": 1 });
        let imported = shop.seller.client.keyed("import");
        let client = shop.buyer.client.keyed("once");
        let checkout = shop.checkout(2);
        let (imported, answer) = tokio::try_join!(
            imported.post_until_answered("/api/v1/inventory/stock/import", &import, patience),
            client.post_until_answered("/api/v1/order/buyer/checkout", &checkout, patience),
        )?;
        imported.data(200);
        let session = answer.data(200)["checkout_session_id"].clone();
        frozen.thaw()?;
        // Whatever the thawed process tells its client, it is no second purchase.
        if let Ok(answer) = tokio::time::timeout(PATIENCE, asked).await??
            && answer.status == 200
        {
            assert_eq!(answer.json["data"]["checkout_session_id"], session);
        }
        let audit = Audit::open(alive.database_url()).await?;
        audit.settled().await?;
        audit.books_hold().await?;
        let items = audit.count("SELECT count(*) FROM \"order\".item").await?;
        ensure!(items == 1, "{kind} {number}: {items} items");
    }
    Ok(())
}
