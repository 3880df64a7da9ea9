//! The process is killed before and after everything that becomes durable; the client asks again under the same key.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, ensure};
use component_tests::{Audit, Client, Nexus, NexusOptions, Shop};
use serde_json::{Value, json};

/// No flow here has more points than this: one that never ends would be a bug of the test.
const POINTS: u32 = 60;
/// How long a restarted host may take to finish what the last one left.
const PATIENCE: Duration = Duration::from_secs(30);

/// The body of the request, once what it needs is there.
type Prepared = Pin<Box<dyn Future<Output = Result<Value>> + Send>>;

/// A request under test: what it needs, and what it sends.
struct Scenario {
    path: &'static str,
    prepare: fn(Shop) -> Prepared,
    by_seller: bool,
}

/// The body of a checkout of what the buyer's cart holds, but for one line that stays in it. Its units have serial numbers.
async fn from_the_cart(shop: &Shop) -> Result<Value> {
    let tracked =
        json!({ "ref_id": shop.sku, "ref_type": "ProductSku", "serial_required": true, "generate_serials": true });
    shop.seller
        .client
        .patch("/api/v1/inventory/stock", tracked)
        .await?
        .data(200);
    let lid = shop.seller.lists("Lid", "VND", 10).await?.sku;
    for (sku, quantity) in [(&shop.sku, 2), (&lid, 5)] {
        let line = json!({ "sku_id": sku, "quantity": quantity });
        shop.buyer.client.post("/api/v1/order/cart", line).await?.data(200);
    }
    let mut body = shop.checkout(2);
    body["buy_now"] = json!(false);
    Ok(body)
}

/// Whether all comes to its end before the process does.
async fn comes_to_rest(nexus: &mut Nexus) -> Result<bool> {
    /// Between two looks whether the process is there.
    const LOOK: Duration = Duration::from_millis(200);
    let audit = Audit::open(nexus.database_url()).await?;
    let resting = async {
        while !nexus.has_ended()? {
            if let Ok(settled) = tokio::time::timeout(LOOK, audit.settled()).await {
                settled?;
                return Ok(!nexus.has_ended()?);
            }
        }
        Ok(false)
    };
    tokio::time::timeout(PATIENCE, resting).await?
}

fn die_at(point: u32) -> NexusOptions {
    NexusOptions::with(&[("NEXUS_DIE_AT", point)])
}

impl Scenario {
    fn client<'a>(&self, shop: &'a Shop) -> &'a Client {
        if self.by_seller {
            &shop.seller.client
        } else {
            &shop.buyer.client
        }
    }

    /// What the flow leaves when nothing happens to it.
    async fn undisturbed(&self) -> Result<Vec<String>> {
        let nexus = Nexus::start().await?;
        let shop = Shop::open(&nexus.client(), 10).await?;
        let body = (self.prepare)(shop.clone()).await?;
        self.client(&shop).keyed("once").post(self.path, body).await?.data(200);
        let audit = Audit::open(nexus.database_url()).await?;
        audit.settled().await?;
        audit.books_hold().await?;
        let shape = audit.shape().await?;
        for line in ["cart 5", "taken from a cart 2"] {
            ensure!(shape.iter().any(|found| found == line), "no `{line}` in {shape:#?}");
        }
        Ok(shape)
    }

    /// Kills at the point; `false` when the flow ended before it.
    async fn killed_at(&self, point: u32, expected: &[String]) -> Result<bool> {
        let mut nexus = Nexus::start().await?;
        let shop = Shop::open(&nexus.client(), 10).await?;
        let body = (self.prepare)(shop.clone()).await?;
        nexus.kill()?;
        nexus.restart(die_at(point)).await?;
        let armed = shop.at(nexus.url());
        let answered = self.client(&armed).keyed("once").post(self.path, body.clone()).await;
        if !nexus.has_ended()? {
            // A kill reaches the client before the parent: only an answer says that there was none so far. What the request has set going may
            // die of it yet.
            match answered {
                Ok(answer) => {
                    answer.data(200);
                    if comes_to_rest(&mut nexus).await? {
                        return Ok(false);
                    }
                }
                Err(_) => drop(nexus.ended().await?),
            }
        }
        nexus.restart(NexusOptions::default()).await?;
        let after = shop.at(nexus.url());
        let client = self.client(&after).keyed("once");
        let answer = client.post_until_answered(self.path, &body, PATIENCE).await?;
        ensure!(
            answer.status == 200,
            "killed at point {point}, then: {} {}",
            answer.status,
            answer.json
        );
        let audit = Audit::open(nexus.database_url()).await?;
        audit.settled().await?;
        audit
            .books_hold()
            .await
            .map_err(|error| error.context(format!("killed at point {point}")))?;
        let shape = audit.shape().await?;
        ensure!(
            shape == expected,
            "killed at point {point}:\n{shape:#?}\nexpected\n{expected:#?}"
        );
        Ok(true)
    }

    async fn survives_every_point(&self) -> Result<()> {
        let expected = self.undisturbed().await?;
        for point in 1..=POINTS {
            if !self.killed_at(point, &expected).await? {
                ensure!(
                    point > 4,
                    "only {} points were reached: the hook is not compiled in",
                    point - 1
                );
                return Ok(());
            }
        }
        anyhow::bail!("the flow has more than {POINTS} points")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_out_of_a_cart_survives_a_kill_at_every_point() -> Result<()> {
    let scenario = Scenario {
        path: "/api/v1/order/buyer/checkout",
        prepare: |shop| Box::pin(async move { from_the_cart(&shop).await }),
        by_seller: false,
    };
    scenario.survives_every_point().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_survives_a_kill_at_every_point() -> Result<()> {
    let scenario = Scenario {
        path: "/api/v1/order/seller/pending/confirm",
        prepare: |shop| {
            Box::pin(async move {
                let checkout = from_the_cart(&shop).await?;
                let placed = shop.buyer.client.post("/api/v1/order/buyer/checkout", checkout).await?;
                placed.data(200);
                let waiting = shop.seller.client.get("/api/v1/order/seller/pending").await?;
                let item = waiting.data(200)[0]["id"].clone();
                Ok(json!({ "item_ids": [item], "use_wallet": false, "payment_option": "system-cod" }))
            })
        },
        by_seller: true,
    };
    scenario.survives_every_point().await
}
