//! What is not to be paid any more, and what was paid and goes back.

use anyhow::{Result, ensure};
use component_tests::{CHECKOUT, PaidShop, STOCK, UNIT};
use futures_util::future::join;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_waits_for_its_money_is_cancelled_once() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let cart = json!({ "sku_id": world.shop.sku, "quantity": 1 });
    world.buyer().post("/api/v1/order/cart", cart).await?.data(200);
    let mut body = world.checkout(1);
    body["buy_now"] = json!(false);
    let session = world
        .buyer()
        .post(CHECKOUT, body)
        .await?
        .text(200, "checkout_session_id");

    let cancel = format!("{CHECKOUT}/{session}/cancel");
    world.buyer().post(&cancel, json!({})).await?.data(200);
    world.is(&session, "Failed").await?;
    world.audit.settled().await?;
    ensure!(world.shop.stock().await? == (STOCK, 0));
    let cart = world.buyer().get("/api/v1/order/cart").await?;
    ensure!(
        cart.data(200)[0]["quantity"] == 1,
        "what was taken is back: {}",
        cart.json
    );
    world
        .buyer()
        .post(&cancel, json!({}))
        .await?
        .failed(410, "payment_session_closed");
    let url = format!("{CHECKOUT}/{session}/payment-url");
    world
        .buyer()
        .post(&url, json!({}))
        .await?
        .failed(410, "payment_session_closed");
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_is_there_wins_over_a_cancellation() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    // The gateway has it and has not said so: it is asked.
    let silent = world.opens().await?;
    world.gateway.is_paid_silently(&world.gateway.leg_at(&silent.url)?);
    let cancel = format!("{CHECKOUT}/{}/cancel", silent.session);
    world
        .buyer()
        .post(&cancel, json!({}))
        .await?
        .failed(410, "payment_session_closed");
    world.is(&silent.session, "Success").await?;

    // Both at once: one of them wins, and no money is lost.
    for _ in 0..5 {
        let checkout = world.opens().await?;
        let leg = world.gateway.leg_at(&checkout.url)?;
        let cancel = format!("{CHECKOUT}/{}/cancel", checkout.session);
        let (cancelled, paid) = join(world.buyer().post(&cancel, json!({})), world.gateway.is_paid(&leg)).await;
        paid?;
        let status = if cancelled?.status == 200 { "Failed" } else { "Success" };
        world.is(&checkout.session, status).await?;
        world.books_hold().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_cancelled_or_rejected_is_paid_back_once() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    // Before it is paid, all of its checkout ends.
    let unpaid = world.opens().await?;
    let item = world.item_of(&unpaid.session).await?;
    let path = format!("/api/v1/order/buyer/pending-items/{item}");
    world.buyer().delete(&path, None).await?.data(200);
    world.is(&unpaid.session, "Failed").await?;
    world
        .buyer()
        .delete(&path, None)
        .await?
        .failed(409, "item_already_cancelled");
    ensure!(world.wallet(world.buyer()).await? == 0);

    let (session, item) = world.pays().await?;
    let path = format!("/api/v1/order/buyer/pending-items/{item}");
    let (one, other) = join(world.buyer().delete(&path, None), world.buyer().delete(&path, None)).await;
    let mut statuses = [one?.status.as_u16(), other?.status.as_u16()];
    statuses.sort_unstable();
    ensure!(statuses == [200, 409], "{statuses:?}");
    ensure!(world.wallet(world.buyer()).await? == UNIT);
    ensure!(world.legs(&session).await? == [format!("Success {UNIT}"), format!("Success -{UNIT}")]);

    let (_, item) = world.pays().await?;
    let reject = json!({ "item_ids": [item] });
    let path = "/api/v1/order/seller/pending/reject";
    world.seller().post(path, reject.clone()).await?.data(200);
    world
        .seller()
        .post(path, reject)
        .await?
        .failed(409, "item_already_cancelled");
    ensure!(world.wallet(world.buyer()).await? == 2 * UNIT);
    ensure!(world.shop.stock().await? == (STOCK, 0));
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_was_reported_and_not_yet_seen_goes_back_when_an_operator_ends_its_flow() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let (_, item) = world.pays().await?;
    let checkout = world.opens().await?;
    let fee = world.confirms(&[item], "sandbox-redirect").await?;
    world.audit.suspended(2).await?;
    let pause = ["invocations", "pause", "--component", "order", "--status", "suspended"];
    world.nexus.run(&pause)?;
    for opened in [&checkout, &fee] {
        world.gateway.is_paid(&world.gateway.leg_at(&opened.url)?).await?;
        world.is(&opened.session, "Pending").await?;
    }
    let cancel = [
        "invocations",
        "cancel",
        "--component",
        "order",
        "--status",
        "paused",
        "--yes",
    ];
    world.nexus.run(&cancel)?;
    for opened in [&checkout, &fee] {
        world.is(&opened.session, "Failed").await?;
    }
    world.audit.settled().await?;
    ensure!(world.wallet(world.buyer()).await? == UNIT);
    ensure!(world.wallet(world.seller()).await? == 15_000);
    world.books_hold().await
}
