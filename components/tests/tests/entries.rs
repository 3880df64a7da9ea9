//! Every workflow of the marketplace, with the process ended at each moment at which something becomes durable, and with everything it asks
//! for made to fail once. In the test's own process: a moment costs a start of the host, not one of a program.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use component_tests::{Audit, Client, Person, Shop, workspace};
use host_testing::{TestApp, TestHost, crash_at_each_entry, fail_each_call};
use serde_json::{Value, json};

/// How long a request may take, with every wait for a dead process in it.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than all runs of a test buy.
const UNITS: i64 = 100_000;
/// How long a checkout holds its goods in these tests, seconds.
const SESSION_S: u64 = 5;

/// A marketplace with a shop in it, and its books before anything is bought.
struct Market {
    shop: Shop,
    audit: Audit,
    before: BTreeMap<String, i64>,
    /// What clients remember of each run.
    remembered: BTreeMap<u32, Value>,
}

/// What a run came to: the statuses of its answers, and by how much it changed the number of rows in each table and of units.
type CameTo = (Vec<u16>, BTreeMap<String, i64>);

impl Market {
    async fn open() -> Result<(TestHost, Self)> {
        let session = SESSION_S.to_string();
        let app = TestApp::load_with(&workspace().join("spin.toml"), &[("session_seconds", &session)])?;
        let host = TestHost::start(&app).await?;
        let shop = Shop::open(&Client::new(host.url()), UNITS).await?;
        host.settled().await?;
        let audit = Audit::open(host.database_url()).await?;
        let before = audit.tally().await?;
        let market = Self {
            shop,
            audit,
            before,
            remembered: BTreeMap::new(),
        };
        Ok((host, market))
    }

    /// By how much each of `run + 1` equal runs changed the books.
    async fn came_to(&self, host: &TestHost, run: u32, statuses: Vec<u16>) -> Result<CameTo> {
        host.settled().await?;
        host.nothing_is_stuck().await?;
        let runs = i64::from(run) + 1;
        let mut changes = BTreeMap::new();
        for (what, count) in self.audit.tally().await? {
            let change = count - self.before.get(&what).copied().unwrap_or(0);
            ensure!(change % runs == 0, "{what}: {change} more in {runs} runs");
            changes.insert(what, change / runs);
        }
        self.audit.books_hold().await?;
        Ok((statuses, changes))
    }

    async fn check_out(&self, host: &TestHost, run: u32) -> Result<(u16, Value)> {
        let buyer = self.shop.buyer.at(host.url()).client.keyed(&format!("check out {run}"));
        ask(&buyer, "/api/v1/order/buyer/checkout", &self.shop.checkout(2)).await
    }

    /// The item that the run's checkout made, as the seller sees it.
    async fn item(&mut self, host: &TestHost, run: u32) -> Result<Value> {
        if let Some(item) = self.remembered.get(&run) {
            return Ok(item.clone());
        }
        let seller = self.shop.seller.at(host.url()).client;
        let pending = seller.get("/api/v1/order/seller/pending").await?;
        let item = pending.data(200)[0]["id"].clone();
        ensure!(item.is_string(), "the seller has nothing to confirm: {}", pending.json);
        self.remembered.insert(run, item.clone());
        Ok(item)
    }

    async fn confirm(&mut self, host: &TestHost, run: u32) -> Result<u16> {
        let item = self.item(host, run).await?;
        let body = json!({ "item_ids": [item], "use_wallet": false, "payment_option": "system-cod" });
        let seller = self.shop.seller.at(host.url()).client.keyed(&format!("confirm {run}"));
        Ok(ask(&seller, "/api/v1/order/seller/pending/confirm", &body).await?.0)
    }

    async fn reject(&mut self, host: &TestHost, run: u32) -> Result<u16> {
        let item = self.item(host, run).await?;
        let seller = self.shop.seller.at(host.url()).client.keyed(&format!("reject {run}"));
        let body = json!({ "item_ids": [item] });
        Ok(ask(&seller, "/api/v1/order/seller/pending/reject", &body).await?.0)
    }
}

async fn ask(client: &Client, path: &str, body: &Value) -> Result<(u16, Value)> {
    let answer = client.post_until_answered(path, body, PATIENCE).await?;
    Ok((answer.status.as_u16(), answer.json))
}

/// The books must balance, whatever a run came to.
async fn nothing_is_held(host: &TestHost) -> Result<()> {
    host.settled().await?;
    host.nothing_is_stuck().await?;
    let audit = Audit::open(host.database_url()).await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_and_its_confirmation_survive_an_end_at_each_entry() -> Result<()> {
    let (mut host, mut market) = Market::open().await?;
    let moments = crash_at_each_entry(&mut host, async |host, run| {
        let (placed, _) = market.check_out(host, run).await?;
        let confirmed = market.confirm(host, run).await?;
        market.came_to(host, run, vec![placed, confirmed]).await
    });
    let moments = moments.await?;
    ensure!(moments >= 8, "only {moments} moments");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_expires_survives_an_end_at_each_entry() -> Result<()> {
    let (mut host, market) = Market::open().await?;
    let moments = crash_at_each_entry(&mut host, async |host, run| {
        let (placed, _) = market.check_out(host, run).await?;
        host.settled().await?;
        host.skip(Duration::from_secs(SESSION_S + 1)).await?;
        market.came_to(host, run, vec![placed]).await
    });
    let moments = moments.await?;
    ensure!(moments >= 8, "only {moments} moments");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_survives_an_end_at_each_entry() -> Result<()> {
    let (mut host, mut market) = Market::open().await?;
    let moments = crash_at_each_entry(&mut host, async |host, run| {
        let (placed, _) = market.check_out(host, run).await?;
        let rejected = market.reject(host, run).await?;
        market.came_to(host, run, vec![placed, rejected]).await
    });
    ensure!(moments.await? >= 8);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_checkout_and_its_confirmation_ask_for_may_fail() -> Result<()> {
    let (host, mut market) = Market::open().await?;
    let flow = async |host: &TestHost, run: u32| {
        let (placed, _) = market.check_out(host, run).await?;
        // Refused when a call it needs was: then there is nothing to confirm.
        let confirmed = if placed == 200 {
            market.confirm(host, run).await?
        } else {
            0
        };
        Ok((placed, confirmed))
    };
    let failures = fail_each_call(&host, flow, nothing_is_held).await?;
    ensure!(failures.transient >= 5 && failures.declared >= 3, "{failures:?}");
    Ok(())
}
