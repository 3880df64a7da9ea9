//! A gateway that answers, and takes nothing at the moment: it is asked a few times, and then its payer is told.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{CHECKOUT, CONFIRM, Manner, PaidShop, STOCK, UNIT};
use serde_json::json;

use crate::outage::{PAUSED, is_given_back_hours_later};

/// More than a charge is sent again for.
const PATIENCE: Duration = Duration::from_secs(60);

/// So often busy, and then as it should be.
fn busy(world: &PaidShop, times: u32) {
    let mut left = times;
    world.gateway.behaves_by(move || match left {
        0 => Manner::Waits,
        _ => {
            left -= 1;
            Manner::IsBusy
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_busy_for_a_moment_is_asked_again() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    busy(&world, 2);
    let checkout = world.opens().await?;
    world.settles(&checkout).await?;
    let charges = world.gateway.charges();
    ensure!(charges.len() == 1 && charges[0].requests == 1, "{charges:?}");
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stays_busy_leaves_the_checkout_open_and_a_confirmation_undone() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    world.gateway.behaves(Manner::IsBusy);
    let asked = world
        .buyer()
        .keyed("busy")
        .post_until_answered(CHECKOUT, &world.checkout(1), PATIENCE)
        .await?;
    asked.failed(502, "payment_provider_unavailable");
    ensure!(asked.headers.contains_key("link"), "where it is paid after all");
    let session = world.unpaid().await?.context("a pending checkout")?;
    ensure!(world.shop.stock().await? == (STOCK - 1, 1), "held");
    ensure!(world.gateway.charges().is_empty());

    world.gateway.behaves(Manner::Waits);
    let path = format!("{CHECKOUT}/{session}/payment-url");
    let url = world.buyer().post(&path, json!({})).await?.text(200, "payment_url");
    world.gateway.is_paid(&world.gateway.leg_at(&url)?).await?;
    world.is(&session, "Success").await?;
    ensure!(world.legs(&session).await? == [format!("Failed {UNIT}"), format!("Success {UNIT}")]);

    world.gateway.behaves(Manner::IsBusy);
    let item = world.item_of(&session).await?;
    let body = json!({ "item_ids": [item], "payment_option": "sandbox-redirect" });
    let seller = world.seller().keyed("busy");
    let asked = seller.post_until_answered(CONFIRM, &body, PATIENCE).await?;
    asked.failed(502, "payment_provider_unavailable");
    world.audit.settled().await?;
    ensure!(world.waiting().await?.len() == 1, "its line is the seller's to confirm");
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_back_when_its_time_is_over_charges_nothing_any_more() -> Result<()> {
    let lines = "wait_hold_ms = 0\nretry = { attempts = 2, initial_ms = 10, max_ms = 50 }";
    let mut world = PaidShop::start_with(&[("SPIN_VARIABLE_SESSION_SECONDS", "3")], lines).await?;
    world.gateway.goes_down().await;
    let client = world.buyer().keyed("once");
    let body = world.checkout(1);
    let asked = client.post(CHECKOUT, body.clone());
    let (asked, found) = tokio::join!(asked, world.audit.becomes(PAUSED, 1));
    found?;
    ensure!(asked?.status == 503);
    let over = "SELECT count(*) FROM \"order\".payment_session WHERE date_expired < now()";
    world.audit.becomes(over, 1).await?;

    // Back, after its time: nothing is charged any more, and its buyer is told.
    world.gateway.comes_back().await?;
    world
        .nexus
        .run(&["invocations", "resume", "--status", "paused", "--yes"])?;
    let asked = client.post_until_answered(CHECKOUT, &body, PATIENCE).await?;
    asked.failed(502, "payment_provider_unavailable");
    ensure!(!asked.headers.contains_key("link"), "there is nothing left to pay");
    world.audit.settled().await?;
    ensure!(world.gateway.charges().is_empty());
    ensure!(world.shop.stock().await? == (STOCK, 0));
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_took_when_nobody_believed_in_it_any_more_goes_back() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    world.gateway.behaves(Manner::IsBusy);
    let asked = world.buyer().keyed("busy");
    let asked = asked
        .post_until_answered(CHECKOUT, &world.checkout(1), PATIENCE)
        .await?;
    asked.failed(502, "payment_provider_unavailable");
    let session = world.unpaid().await?.context("a pending checkout")?;
    let leg = format!("SELECT id::text FROM \"order\".transaction WHERE session_id = '{session}'");
    let leg = world.audit.texts(&leg).await?.pop().context("an attempt")?;
    let cancel = format!("{CHECKOUT}/{session}/cancel");
    world.buyer().post(&cancel, json!({})).await?.data(200);
    world.is(&session, "Failed").await?;
    world.audit.settled().await?;

    world.gateway.is_paid_after_all(&leg, UNIT);
    is_given_back_hours_later(&world).await?;
    ensure!(world.shop.stock().await? == (STOCK, 0));
    world.books_hold().await
}
