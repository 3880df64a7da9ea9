//! A release that comes before what it undoes: it succeeds, and what it undoes never happens.

use anyhow::{Result, ensure};
use component_tests::{Audit, Edited, Nexus, NexusOptions, Shop};
use serde_json::{Value, json};

const TRIGGER: &str = "[[trigger.http]]\nroute = \"/undoer/...\"\ncomponent = \"undoer\"\n\n";
const UNDOER: &str = r#"
[component.undoer]
description = "Releases before it holds"
source = "target/wasm32-wasip2/guest/guest_undoer.wasm"

[component.undoer.dependencies]
"shop:account/ledger@0.1.0" = { component = "account" }
"shop:inventory/reservations@0.1.0" = { component = "inventory" }

[component.undoer.tool.nexus]
schema = "undoer"
"#;

/// A marketplace with somebody in it who calls inventory and the ledger as the order module does, in an order of the test's.
struct Late {
    nexus: Nexus,
    shop: Shop,
    audit: Audit,
    _application: Edited,
}

impl Late {
    async fn start() -> Result<Self> {
        let application = Edited::marketplace(|manifest| {
            let first = "[[trigger.http]]\n";
            assert!(manifest.contains(first), "the manifest has another shape");
            manifest.replacen(first, &format!("{TRIGGER}{first}"), 1) + UNDOER
        })?;
        let nexus = Nexus::start_application(&application.manifest(), NexusOptions::default()).await?;
        Ok(Self {
            shop: Shop::open(&nexus.client(), 10).await?,
            audit: Audit::open(nexus.database_url()).await?,
            nexus,
            _application: application,
        })
    }

    /// What the call came to: `done`, or its error.
    async fn call(&self, path: &str, body: Value) -> Result<String> {
        let answer = self.nexus.client().post(&format!("/undoer/{path}"), body).await?;
        Ok(answer.text(200, "told"))
    }

    /// What the buyer's wallet can pay, and what is held in it.
    async fn wallet(&self) -> Result<Vec<String>> {
        let books = format!(
            "SELECT balance || ' and ' || held FROM account.ledger_book WHERE name = 'wallet:{}'",
            self.shop.buyer.id
        );
        self.audit.texts(&books).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_are_not_held_under_an_id_that_was_released_before() -> Result<()> {
    const LATE: &str = "0190a5b2-7c11-7d3e-8f00-000000000001";
    const OTHER: &str = "0190a5b2-7c11-7d3e-8f00-000000000002";
    let late = Late::start().await?;
    let reserve = async |id: &str| {
        let body = json!({ "id": id, "of": late.shop.sku, "amount": 2 });
        late.call("reserve", body).await
    };
    let release = async |id: &str| late.call("release-stock", json!({ "id": id })).await;

    for _ in 0..2 {
        assert_eq!(release(LATE).await?, "done");
        let refused = reserve(LATE).await?;
        ensure!(refused.contains("AlreadyReleased"), "{refused}");
        assert_eq!(late.shop.stock().await?, (10, 0));
    }
    // It is that id alone.
    assert_eq!(reserve(OTHER).await?, "done");
    assert_eq!(late.shop.stock().await?, (8, 2));
    assert_eq!(release(OTHER).await?, "done");
    assert_eq!(late.shop.stock().await?, (10, 0));
    late.audit.settled().await?;
    late.audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wallet_holds_money_under_an_id_that_was_released_before() -> Result<()> {
    let late = Late::start().await?;
    late.audit.fill_wallet(&late.shop.buyer.id, 1_000, "late").await?;
    let hold = async |id: &str| {
        let body = json!({ "id": id, "of": late.shop.buyer.id, "amount": 400 });
        late.call("hold", body).await
    };
    let release = async |id: &str| late.call("release-money", json!({ "id": id })).await;

    for _ in 0..2 {
        assert_eq!(release("late").await?, "done");
        let refused = hold("late").await?;
        ensure!(refused.contains("Conflict"), "{refused}");
        assert_eq!(late.wallet().await?, ["1000 and 0"]);
    }
    // It is that id alone.
    assert_eq!(hold("other").await?, "done");
    assert_eq!(late.wallet().await?, ["600 and 400"]);
    assert_eq!(release("other").await?, "done");
    assert_eq!(late.wallet().await?, ["1000 and 0"]);
    late.audit.settled().await?;
    late.audit.books_hold().await
}
