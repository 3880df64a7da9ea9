//! A process frozen in the middle of a checkout, taken over by a second node, then continued.

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
/// How long the thawed process may take to tell its client something.
const PATIENCE: Duration = Duration::from_secs(40);

fn freeze_at(point: u32) -> NexusOptions {
    NexusOptions::with(&[("NEXUS_FREEZE_AT", point)])
}

/// Where the host says that it froze itself.
fn armed_point(nexus: &Nexus) -> Result<&'static str> {
    let log = nexus.log()?;
    let line = log
        .lines()
        .rev()
        .find(|line| line.contains("an armed point is reached"));
    let line = line.context("the host says where it stops")?;
    let points = [
        "BetweenStatements",
        "BeforeAppend",
        "AfterAppend",
        "BeforeCommit",
        "AfterCommit",
    ];
    points.into_iter().find(|point| line.contains(point)).context("a point")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_owner_has_no_effect_of_its_own_and_keeps_nobody_waiting() -> Result<()> {
    let mut frozen_at = Vec::new();
    for point in [1, 3, 6] {
        let mut nexus = Nexus::start().await?;
        let shop = Shop::open(&nexus.client(), 10).await?;
        nexus.kill()?;
        nexus.restart(freeze_at(point)).await?;
        let frozen = shop.at(nexus.url());
        let asked = tokio::spawn({
            let client = frozen.buyer.client.keyed("once");
            let body = shop.checkout(2);
            async move { client.post("/api/v1/order/buyer/checkout", body).await }
        });
        nexus.frozen().await?;
        // Its lease began before, with its last heartbeat.
        let lease_ends = Instant::now() + LEASE;
        frozen_at.push(armed_point(&nexus)?);
        let second = nexus.second_node(NexusOptions::default()).await?;
        let patience = ALLOWANCE + lease_ends.saturating_duration_since(Instant::now());
        let there = shop.at(second.url());
        // Somebody else works on the same stock, whose row the frozen transaction may have locked.
        let import = json!({ "ref_id": there.sku, "ref_type": "ProductSku", "change": 1 });
        let imported = there.seller.client.keyed("import");
        let client = there.buyer.client.keyed("once");
        let checkout = shop.checkout(2);
        let (imported, answer) = tokio::try_join!(
            imported.post_until_answered("/api/v1/inventory/stock/import", &import, patience),
            client.post_until_answered("/api/v1/order/buyer/checkout", &checkout, patience),
        )?;
        imported.data(200);
        let session = answer.data(200)["checkout_session_id"].clone();
        nexus.thaw()?;
        // Whatever the thawed process tells its client, it is no second purchase.
        if let Ok(answer) = tokio::time::timeout(PATIENCE, asked).await??
            && answer.status == 200
        {
            assert_eq!(answer.json["data"]["checkout_session_id"], session);
        }
        let audit = Audit::open(nexus.database_url()).await?;
        audit.settled().await?;
        audit.books_hold().await?;
        let items = audit.count("SELECT count(*) FROM \"order\".item").await?;
        ensure!(items == 1, "point {point}: {items} items");
    }
    ensure!(
        frozen_at.contains(&"BetweenStatements") && frozen_at.iter().any(|at| *at != "BetweenStatements"),
        "within an open transaction, and around appends and commits: {frozen_at:?}"
    );
    Ok(())
}
