//! A process frozen in the middle of a checkout, taken over by a second node, then continued.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use component_tests::{Audit, Nexus, NexusOptions, Shop};

/// The lease, and what a takeover takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5 + 5);

fn freeze_at(point: u32) -> NexusOptions {
    NexusOptions { environment: vec![("NEXUS_FREEZE_AT".into(), point.to_string())] }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "measures how long a person waits")]
async fn a_frozen_owner_has_no_effect_of_its_own_and_keeps_nobody_waiting() -> Result<()> {
    // Some points lie between statements of an open transaction, some around appends and commits.
    for point in [1, 2, 4, 6, 9] {
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
        let second = nexus.second_node(NexusOptions::default()).await?;
        let there = shop.at(second.url());
        let began = Instant::now();
        // Somebody else works on the same stock, whose row the frozen transaction may have locked.
        there.import(1).await?;
        ensure!(began.elapsed() < PATIENCE, "point {point}: waited {:?}", began.elapsed());
        let answer = loop {
            let client = there.buyer.client.keyed("once");
            let answer = client.post("/api/v1/order/buyer/checkout", shop.checkout(2)).await?;
            if answer.status != 503 && answer.json["error"]["code"] != "idempotency_key_in_use" {
                break answer;
            }
            ensure!(began.elapsed() < PATIENCE * 2, "point {point}: {}", answer.json);
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let session = answer.data(200)["checkout_session_id"].clone();
        nexus.thaw()?;
        // Whatever the thawed process tells its client, it is no second purchase.
        if let Ok(answer) = tokio::time::timeout(PATIENCE * 4, asked).await??
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
    Ok(())
}
