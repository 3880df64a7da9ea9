//! What is paid elsewhere and whose time is over, before its flow has woken up: no further attempt is begun. `refusals/over.rs` has what is to be paid
//! at the door.

use anyhow::{Result, ensure};
use component_tests::{CHECKOUT, CONFIRM, Client, Opened, PaidShop, STOCK, UNIT};
use serde_json::json;

/// More than a session lives.
const AGES_HOURS: i32 = 1000;

/// What is asked of a session, and how it is told that its time is over.
struct Over<'a> {
    world: &'a PaidShop,
    opened: &'a Opened,
    /// Below it lies what belongs to the session.
    path: &'static str,
    code: &'static str,
}

impl Over<'_> {
    fn path(&self, what: &str) -> String {
        format!("{}/{}/{what}", self.path, self.opened.session)
    }

    fn payer(&self) -> &Client {
        match self.path {
            CONFIRM => self.world.seller(),
            _ => self.world.buyer(),
        }
    }

    /// Its time is over, which changes nothing but that its payer is sent nowhere; then it is not.
    async fn passes_and_comes_back(&self) -> Result<()> {
        let Self { world, opened, .. } = self;
        let charges = world.gateway.charges().len();
        let stock = world.shop.stock().await?;
        let path = self.path("payment-url");
        world.audit.move_end(&opened.session, -AGES_HOURS).await?;
        for _ in 0..2 {
            let refused = self.payer().post(&path, json!({})).await?;
            refused.failed(409, self.code);
        }
        world.is(&opened.session, "Pending").await?;
        ensure!(world.shop.stock().await? == stock, "held until its flow ends it");
        ensure!(world.gateway.charges().len() == charges, "no other attempt was begun");

        // It was the time alone: the attempt is still under way.
        world.audit.move_end(&opened.session, AGES_HOURS).await?;
        let here = self.payer().post(&path, json!({})).await?;
        ensure!(here.text(200, "payment_url") == opened.url, "{}", here.json);
        world.audit.move_end(&opened.session, -AGES_HOURS).await
    }

    /// It can still be given up, and is closed then, whatever its time was.
    async fn is_given_up(&self) -> Result<()> {
        let Self { world, opened, .. } = self;
        let cancel = self.path("cancel");
        self.payer().post(&cancel, json!({})).await?.data(200);
        world.is(&opened.session, "Failed").await?;
        for path in [&cancel, &self.path("payment-url")] {
            let refused = self.payer().post(path, json!({})).await?;
            refused.failed(410, "payment_session_closed");
        }
        world.audit.settled().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_whose_time_is_over_is_paid_nowhere() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let opened = world.opens().await?;
    let over = Over {
        world: &world,
        opened: &opened,
        path: CHECKOUT,
        code: "checkout_expired",
    };
    over.passes_and_comes_back().await?;
    // To its seller it is one that is not paid.
    let item = world.item_of(&opened.session).await?;
    let body = json!({ "item_ids": [item], "payment_option": "sandbox-redirect" });
    let refused = world.seller().post(CONFIRM, body).await?;
    refused.failed(400, "payment_not_success");
    ensure!(world.shop.stock().await? == (STOCK - 1, 1));

    over.is_given_up().await?;
    ensure!(world.shop.stock().await? == (STOCK, 0));
    ensure!(world.legs(&opened.session).await? == [format!("Failed {UNIT}")]);
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_whose_time_is_over_is_paid_nowhere() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let (_, item) = world.pays().await?;
    let opened = world.confirms(&[item], "sandbox-redirect").await?;
    let over = Over {
        world: &world,
        opened: &opened,
        path: CONFIRM,
        code: "confirm_expired",
    };
    over.passes_and_comes_back().await?;
    // Its lines are claimed for as long as it is open.
    let body = json!({ "item_ids": [item], "payment_option": "sandbox-redirect" });
    let refused = world.seller().post(CONFIRM, body).await?;
    refused.failed(409, "item_already_confirmed");
    let claimed = "SELECT count(*) FROM \"order\".item WHERE confirm_session_id IS NOT NULL";
    ensure!(world.audit.count(claimed).await? == 1);

    over.is_given_up().await?;
    ensure!(world.audit.count(claimed).await? == 0, "they wait for the seller again");
    ensure!(world.shop.stock().await? == (STOCK - 1, 1), "the buyer has paid");
    let orders = "SELECT count(*) FROM \"order\".\"order\"";
    ensure!(world.audit.count(orders).await? == 0);
    world.books_hold().await
}
