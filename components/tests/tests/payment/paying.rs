//! The money comes: at once, in good time, twice, silently, late, or not at all.

use anyhow::{Context, Result, ensure};
use component_tests::{CHECKOUT, Manner, Opened, PaidShop, STOCK, UNIT};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_waits_as_rows_until_it_is_paid_and_then_is_the_sellers() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let options = world.nexus.client().get("/api/v1/common/option?type=payment").await?;
    let listed = options.data(200).as_array().cloned().unwrap_or_default();
    let sandbox = listed.iter().find(|option| option["id"] == "sandbox-redirect");
    ensure!(
        sandbox.is_some_and(|option| option["provider"] == "sandbox"),
        "{}",
        options.json
    );

    // Out of the cart, which the flow empties.
    let cart = json!({ "sku_id": world.shop.sku, "quantity": 2 });
    world.buyer().post("/api/v1/order/cart", cart).await?.data(200);
    let mut body = world.checkout(2);
    body["buy_now"] = json!(false);
    let client = world.buyer().keyed("once");
    let answer = client.post(CHECKOUT, body.clone()).await?;
    let checkout = Opened::read(&answer, "checkout_session_id");
    let cart = world.buyer().get("/api/v1/order/cart").await?;
    ensure!(*cart.data(200) == json!([]));

    let suspended = "SELECT count(*) FROM host.invocation WHERE status = 'suspended' AND node_id IS NULL
                     AND function = 'shop:order/workflows@0.1.0.checkout'";
    world.audit.becomes(suspended, 1).await?;
    ensure!(
        world.waiting().await?.is_empty(),
        "a seller does not see what is not paid"
    );
    ensure!(world.shop.stock().await? == (STOCK - 2, 2));
    // Asked again under its key: the same answer, and nothing new.
    ensure!(client.post(CHECKOUT, body).await?.bytes == answer.bytes);

    let leg = world.gateway.leg_at(&checkout.url)?;
    let summary = format!("/api/v1/order/buyer/checkout-summary/{leg}");
    let shown = world.buyer().get(&summary).await?;
    ensure!(shown.data(200)["session"]["status"] == "Pending", "{}", shown.json);
    world.gateway.is_paid(&leg).await?;
    world.is(&checkout.session, "Success").await?;
    let shown = world.buyer().get(&summary).await?;
    ensure!(shown.data(200)["session"]["date_paid"].is_string(), "{}", shown.json);
    ensure!(world.waiting().await?.len() == 1);
    let amount = 2 * 100_000 + 15_000;
    ensure!(world.legs(&checkout.session).await? == [format!("Success {amount}")]);
    ensure!(
        world.shop.stock().await? == (STOCK - 2, 2),
        "sold, and out of the stock"
    );
    world.books_hold().await?;
    let charges = world.gateway.charges();
    ensure!(
        charges.len() == 1 && charges[0].requests == 1 && charges[0].keys.len() == 1,
        "{charges:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_comes_before_anybody_waits_or_twice_counts_once() -> Result<()> {
    // With the manifest's patience, as it is: nothing suspends that is quick.
    let world = PaidShop::start_with(&[], "").await?;
    for (number, manner) in [Manner::Pays, Manner::PaysTwice].into_iter().enumerate() {
        world.gateway.behaves(manner);
        let checkout = world.opens().await?;
        world.is(&checkout.session, "Success").await?;
        ensure!(world.legs(&checkout.session).await? == [format!("Success {UNIT}")]);
        let leg = world.gateway.leg_at(&checkout.url)?;
        // The same event again, and the same money under another event's id.
        for id in [format!("{leg}-succeeded"), format!("{leg}-again")] {
            let status = world.gateway.sends(&world.gateway.notice(&leg, &id)?).await?;
            ensure!(status == 200, "{id}: {status}");
        }
        ensure!(world.legs(&checkout.session).await? == [format!("Success {UNIT}")]);
        ensure!(world.waiting().await?.len() == number + 1);
    }
    ensure!(world.wallet(world.buyer()).await? == 0);
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_reports_nothing_is_asked_before_a_checkout_expires() -> Result<()> {
    let world = PaidShop::start(&[("SPIN_VARIABLE_SESSION_SECONDS", "2")]).await?;
    let paid = world.opens().await?;
    world.gateway.is_paid_silently(&world.gateway.leg_at(&paid.url)?);
    let unpaid = world.opens().await?;
    world.is(&paid.session, "Success").await?;
    world.is(&unpaid.session, "Failed").await?;
    world.audit.settled().await?;
    ensure!(world.shop.stock().await? == (STOCK - 1, 1), "what was not paid is back");
    ensure!(world.legs(&unpaid.session).await? == [format!("Failed {UNIT}")]);
    world.books_hold().await?;

    // Late: the session is over. The money is noted, and is the buyer's.
    world.gateway.is_paid(&world.gateway.leg_at(&unpaid.url)?).await?;
    ensure!(world.wallet(world.buyer()).await? == UNIT);
    ensure!(world.legs(&unpaid.session).await? == [format!("Success {UNIT}"), format!("Success -{UNIT}")]);
    world.is(&unpaid.session, "Failed").await?;
    ensure!(world.shop.stock().await? == (STOCK - 1, 1));
    let leg = world.gateway.leg_at(&unpaid.url)?;
    let again = world.gateway.notice(&leg, "another-event")?;
    ensure!(world.gateway.sends(&again).await? == 200);
    ensure!(world.wallet(world.buyer()).await? == UNIT, "once");
    world.books_hold().await
}

/// What waits for its time in this module and has it within a day has it now.
async fn is_due(world: &PaidShop, module: &str) -> Result<()> {
    let due = format!(
        "UPDATE host.invocation SET due_at = now() WHERE component = '{module}' AND ended_at IS NULL
             AND due_at BETWEEN now() AND now() + interval '1 day'"
    );
    ensure!(world.audit.change(&due).await? > 0, "nothing of {module} waits");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_when_its_attempt_is_over_and_not_reported_is_found_at_the_end_or_some_hours_later() -> Result<()>
{
    let world = PaidShop::start(&[
        ("SPIN_VARIABLE_ATTEMPT_SECONDS", "1"),
        ("SPIN_VARIABLE_SESSION_SECONDS", "4"),
    ])
    .await?;
    let (found, late) = (world.opens().await?, world.opens().await?);
    let over = "SELECT count(*) FROM \"order\".transaction WHERE status = 'Failed'";
    world.audit.becomes(over, 2).await?;
    world.gateway.is_paid_silently(&world.gateway.leg_at(&found.url)?);
    world.is(&found.session, "Success").await?;
    ensure!(world.waiting().await?.len() == 1);

    // It is paid when all is over, and nobody is told.
    world.is(&late.session, "Failed").await?;
    world.audit.settled().await?;
    world.gateway.is_paid_silently(&world.gateway.leg_at(&late.url)?);
    is_due(&world, "order").await?;
    let back = format!("SELECT count(*) FROM account.ledger_transfer WHERE id LIKE 'return:%' AND amount = {UNIT}");
    world.audit.becomes(&back, 1).await?;
    world.audit.settled().await?;
    ensure!(world.wallet(world.buyer()).await? == UNIT);
    ensure!(world.legs(&late.session).await? == [format!("Success {UNIT}"), format!("Success -{UNIT}")]);
    ensure!(world.shop.stock().await? == (STOCK - 1, 1));
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_is_found_when_the_goods_are_gone_goes_back() -> Result<()> {
    let world = PaidShop::start(&[("SPIN_VARIABLE_SESSION_SECONDS", "3")]).await?;
    let checkout = world.opens().await?;
    world.gateway.is_paid_silently(&world.gateway.leg_at(&checkout.url)?);
    // As after hours for which the flow waited for a person: the goods are not held any more.
    is_due(&world, "inventory").await?;
    world.is(&checkout.session, "Failed").await?;
    world.audit.settled().await?;
    ensure!(world.legs(&checkout.session).await? == [format!("Success {UNIT}"), format!("Success -{UNIT}")]);
    ensure!(world.wallet(world.buyer()).await? == UNIT);
    ensure!(world.shop.stock().await? == (STOCK, 0));
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_fails_or_is_over_leaves_the_checkout_open_for_another() -> Result<()> {
    let world = PaidShop::start(&[("SPIN_VARIABLE_ATTEMPT_SECONDS", "3600")]).await?;
    let checkout = world.opens().await?;
    let path = format!("{CHECKOUT}/{}/payment-url", checkout.session);
    let same = world.buyer().post(&path, json!({})).await?.text(200, "payment_url");
    ensure!(same == checkout.url, "as long as it is good");

    let first = world.gateway.leg_at(&checkout.url)?;
    world.gateway.has_failed(&first).await?;
    let failed = format!("SELECT count(*) FROM \"order\".transaction WHERE id = '{first}' AND status = 'Failed'");
    world.audit.becomes(&failed, 1).await?;
    world.is(&checkout.session, "Pending").await?;
    let next = world.buyer().post(&path, json!({})).await?.text(200, "payment_url");
    ensure!(next != checkout.url);
    ensure!(world.shop.stock().await? == (STOCK - 1, 1), "still held");
    world.gateway.is_paid(&world.gateway.leg_at(&next)?).await?;
    world.is(&checkout.session, "Success").await?;
    ensure!(world.legs(&checkout.session).await? == [format!("Failed {UNIT}"), format!("Success {UNIT}")]);
    // And now the first one, too: paid twice over there, and given back.
    world.gateway.is_paid(&first).await?;
    ensure!(world.wallet(world.buyer()).await? == UNIT);
    world
        .buyer()
        .post(&path, json!({}))
        .await?
        .failed(410, "payment_session_closed");
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_is_declined_leaves_the_checkout_open_for_another() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    world.gateway.behaves(Manner::Declines);
    let declined = world.buyer().post(CHECKOUT, world.checkout(1)).await?;
    declined.failed(402, "payment_failed");
    world.audit.suspended(1).await?;
    ensure!(world.waiting().await?.is_empty(), "it is not paid");
    ensure!(world.shop.stock().await? == (STOCK - 1, 1), "held");

    // Its buyer is told where it is paid after all, and finds it among what is pending.
    let session = world.unpaid().await?.context("a pending checkout")?;
    let path = format!("{CHECKOUT}/{session}/payment-url");
    let link = format!("<{path}>; rel=\"payment\"");
    ensure!(
        declined.headers.get("link").is_some_and(|told| *told == link),
        "{:?}",
        declined.headers
    );
    let again = world.buyer().post(&path, json!({})).await?;
    again.failed(402, "payment_failed");
    world.gateway.behaves(Manner::Waits);
    let url = world.buyer().post(&path, json!({})).await?.text(200, "payment_url");
    world.gateway.is_paid(&world.gateway.leg_at(&url)?).await?;
    world.is(&session, "Success").await?;
    let failed = format!("Failed {UNIT}");
    ensure!(world.legs(&session).await? == [failed.clone(), failed, format!("Success {UNIT}")]);
    ensure!(world.unpaid().await?.is_none());
    world.books_hold().await?;

    // Another one is given up.
    world.gateway.behaves(Manner::Declines);
    let declined = world.buyer().post(CHECKOUT, world.checkout(1)).await?;
    declined.failed(402, "payment_failed");
    let session = world.unpaid().await?.context("a pending checkout")?;
    let cancel = format!("{CHECKOUT}/{session}/cancel");
    world.buyer().post(&cancel, json!({})).await?.data(200);
    world.is(&session, "Failed").await?;
    world.audit.settled().await?;
    ensure!(world.shop.stock().await? == (STOCK - 1, 1), "what was not paid is back");
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_ends_with_its_time_and_its_money_may_come_for_the_next() -> Result<()> {
    let world = PaidShop::start(&[("SPIN_VARIABLE_ATTEMPT_SECONDS", "1")]).await?;
    let checkout = world.opens().await?;
    let first = world.gateway.leg_at(&checkout.url)?;
    let over = format!("SELECT count(*) FROM \"order\".transaction WHERE id = '{first}' AND status = 'Failed'");
    world.audit.becomes(&over, 1).await?;
    world.is(&checkout.session, "Pending").await?;
    // Whoever comes after all has paid for this checkout.
    world.gateway.is_paid(&first).await?;
    world.is(&checkout.session, "Success").await?;
    ensure!(world.legs(&checkout.session).await? == [format!("Success {UNIT}")]);
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_bought_leaves_nothing() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    // What the flow notices is told as if the request had.
    let short = world.buyer().post(CHECKOUT, world.checkout(STOCK + 1)).await?;
    short.failed(409, "out_of_stock");
    let sessions = "SELECT count(*) FROM \"order\".payment_session";
    ensure!(world.audit.count(sessions).await? == 0);
    // And what can be told at once begins no flow.
    let flows = "SELECT count(*) FROM host.invocation WHERE function LIKE 'shop:order/workflows%'";
    let before = world.audit.count(flows).await?;
    let mut nowhere = world.checkout(1);
    nowhere["address"] = json!("5 Main Street, Springfield, United States");
    let refused = world.buyer().post(CHECKOUT, nowhere).await?;
    refused.failed(400, "address_country_mismatch");
    ensure!(world.audit.count(flows).await? == before);
    world.books_hold().await
}
