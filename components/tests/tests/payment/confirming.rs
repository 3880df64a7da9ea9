//! A fee that is paid at the gateway.

use anyhow::{Result, ensure};
use component_tests::{CHECKOUT, CONFIRM, Manner, Opened, PaidShop, STOCK};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn paid_lines_become_an_order_when_their_fee_is_paid() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let (_, item) = world.pays().await?;
    let body = json!({ "item_ids": [item], "payment_option": "sandbox-redirect", "note": "soon" });
    let without = json!({ "item_ids": [item] });
    world
        .seller()
        .post(CONFIRM, without)
        .await?
        .failed(402, "ORDER_WALLET_INSUFFICIENT");
    let answer = world.seller().post(CONFIRM, body.clone()).await?;
    let fee = Opened::read(&answer, "confirm_session_id");
    // Claimed meanwhile.
    world
        .seller()
        .post(CONFIRM, body)
        .await?
        .failed(409, "item_already_confirmed");
    let cancel = format!("/api/v1/order/buyer/pending-items/{item}");
    world
        .buyer()
        .delete(&cancel, None)
        .await?
        .failed(409, "item_already_confirmed");
    let orders = world.seller().get("/api/v1/order/seller/confirmed").await?;
    ensure!(*orders.data(200) == json!([]));

    world.gateway.is_paid(&world.gateway.leg_at(&fee.url)?).await?;
    world.is(&fee.session, "Success").await?;
    let orders = world.seller().get("/api/v1/order/seller/confirmed").await?;
    let order = &orders.data(200)[0];
    ensure!(
        order["confirm_session"]["total_amount"] == 15_000 && order["note"] == "soon",
        "{order}"
    );
    ensure!(order["payout_session"]["status"] == "Pending", "{order}");
    ensure!(
        order["transport"]["data"]["pick_money"] == 0,
        "nothing is left to collect: {order}"
    );
    ensure!(world.shop.stock().await? == (STOCK - 1, 1));
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_whose_money_is_awaited_is_not_confirmed() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let opened = world.opens().await?;
    let item = world.item_of(&opened.session).await?;
    ensure!(world.waiting().await?.is_empty(), "its seller is not asked yet");
    for option in ["system-cod", "sandbox-redirect"] {
        let body = json!({ "item_ids": [item], "payment_option": option });
        let refused = world.seller().post(CONFIRM, body).await?;
        refused.failed(400, "payment_not_success");
    }
    // Nor with one that is paid: all of them, or none.
    let (_, paid) = world.pays().await?;
    let both = json!({ "item_ids": [paid, item], "payment_option": "sandbox-redirect" });
    let refused = world.seller().post(CONFIRM, both).await?;
    refused.failed(400, "payment_not_success");

    world.settles(&opened).await?;
    world.orders(&[item], "sandbox-redirect").await?;
    world.audit.settled().await?;
    ensure!(world.waiting().await?.len() == 1, "the other one still waits");
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_that_is_not_paid_gives_the_lines_back() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let (_, item) = world.pays().await?;
    let fee = world.confirms(&[item], "sandbox-redirect").await?;
    let url = format!("{CONFIRM}/{}/payment-url", fee.session);
    ensure!(world.seller().post(&url, json!({})).await?.text(200, "payment_url") == fee.url);
    let cancel = format!("{CONFIRM}/{}/cancel", fee.session);
    for stranger in [world.buyer(), &world.nexus.client()] {
        let status = stranger.post(&cancel, json!({})).await?.status.as_u16();
        ensure!(status == 404 || status == 401, "{status}");
    }
    world.seller().post(&cancel, json!({})).await?.data(200);
    world.is(&fee.session, "Failed").await?;
    world
        .seller()
        .post(&cancel, json!({}))
        .await?
        .failed(410, "payment_session_closed");
    world.audit.settled().await?;
    ensure!(world.waiting().await?.len() == 1, "they wait for the seller again");

    // Too late: the seller has it back.
    world.gateway.is_paid(&world.gateway.leg_at(&fee.url)?).await?;
    ensure!(world.wallet(world.seller()).await? == 15_000);
    world.books_hold().await?;

    // A first charge that is declined gives them back, too: its seller is told of no session that another attempt could be made for.
    world.gateway.behaves(Manner::Declines);
    let body = json!({ "item_ids": [item], "payment_option": "sandbox-redirect" });
    let declined = world.seller().post(CONFIRM, body).await?;
    declined.failed(402, "payment_failed");
    world.audit.settled().await?;
    ensure!(world.waiting().await?.len() == 1, "and again");
    world.gateway.behaves(Manner::Waits);

    let again = world.confirms(&[item], "sandbox-redirect").await?;
    world.gateway.is_paid(&world.gateway.leg_at(&again.url)?).await?;
    world.is(&again.session, "Success").await?;
    ensure!(world.waiting().await?.is_empty());
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_is_what_was_quoted_and_what_the_platform_takes() -> Result<()> {
    let mut world = PaidShop::start(&[
        ("SPIN_VARIABLE_PLATFORM_FEE_BPS", "250"),
        ("SPIN_VARIABLE_PLATFORM_FEE_MINOR", "1000"),
        ("SPIN_VARIABLE_COD_MAX_MINOR", "200000"),
    ])
    .await?;
    let (_, item) = world.pays().await?;
    // The carrier asks for more by now: the seller pays what the buyer was told.
    world
        .restart(&[
            ("SPIN_VARIABLE_TRANSPORT_BASE_MINOR", "40000"),
            ("SPIN_VARIABLE_TRANSPORT_STEP_MINOR", "2000"),
        ])
        .await?;
    let order = world.orders(&[item], "sandbox-redirect").await?;
    let order = world
        .seller()
        .get(&format!("/api/v1/order/seller/confirmed/{order}"))
        .await?;
    let (fee, parcel) = (&order.data(200)["confirm_session"], &order.data(200)["transport"]);
    ensure!(fee["total_amount"] == 15_000 + 2_500 + 1_000, "{fee}");
    ensure!(
        fee["data"]["shipping_amount"] == 15_000 && fee["data"]["platform_fee_amount"] == 3_500,
        "{fee}"
    );
    ensure!(parcel["data"]["quote"] == 15_000, "{parcel}");
    let cost = "SELECT cost_amount FROM \"order\".transport";
    ensure!(world.audit.count(cost).await? == 40_000);
    // The order is there before its fee is booked.
    world.audit.settled().await?;
    let revenue = "SELECT balance FROM account.ledger_book WHERE name = 'revenue'";
    ensure!(world.audit.count(revenue).await? == 18_500);

    // Two checkouts, each within what is collected at a door, are not when they come together.
    let mut items = Vec::new();
    for _ in 0..2 {
        let placed = world.buyer().post(CHECKOUT, world.shop.checkout(1)).await?;
        items.push(world.item_of(&placed.text(200, "checkout_session_id")).await?);
    }
    let together = json!({ "item_ids": items, "payment_option": "system-cod" });
    let refused = world.seller().post(CONFIRM, together).await?;
    let message = refused.failed(400, "payment_amount_too_large")["message"].to_string();
    ensure!(
        message.contains("200000 VND") && message.contains("in parts"),
        "{message}"
    );
    world.orders(&items[..1], "system-cod").await?;

    world.books_hold().await
}
