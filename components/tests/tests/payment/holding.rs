//! What a wallet is to pay while the rest is awaited from a gateway: held, and nobody else's; then taken, or let go of as if nothing had been.

use anyhow::{Context, Result, ensure};
use component_tests::{Answer, CHECKOUT, Manner, Opened, PaidShop, STOCK, UNIT};
use futures_util::future::{join, try_join_all};
use serde_json::{Value, json};

/// What the buyer's wallet has in it at first.
const SHARE: i64 = 40_000;
/// Of a unit, what is left to be paid at the gateway.
const REST: i64 = UNIT - SHARE;

/// A marketplace whose buyer has a wallet for a part of a unit.
async fn open(variables: &[(&'static str, &'static str)]) -> Result<PaidShop> {
    let world = PaidShop::start(variables).await?;
    let buyer = &world.shop.buyer.id;
    world.audit.fill_wallet(buyer, SHARE, "at-first").await?;
    Ok(world)
}

/// A checkout of one unit whose wallet pays first, and whose rest is paid at the gateway.
fn checkout(world: &PaidShop) -> Value {
    let mut body = world.checkout(1);
    body["use_wallet"] = json!(true);
    body
}

/// Checks out, as far as the address of the payment.
async fn opens(world: &PaidShop) -> Result<Opened> {
    let answer = world.buyer().post(CHECKOUT, checkout(world)).await?;
    Ok(Opened::read(&answer, "checkout_session_id"))
}

/// What the buyer's wallet can pay, and what it holds.
async fn has(world: &PaidShop, balance: i64, held: i64) -> Result<()> {
    world.audit.settled().await?;
    let wallet = world.wallet_and_held(world.buyer()).await?;
    ensure!(wallet == (balance, held), "{wallet:?} instead of {:?}", (balance, held));
    Ok(())
}

/// What came into the buyer's wallet and left it since it was filled, in this order.
async fn lines(world: &PaidShop) -> Result<Vec<String>> {
    let wallet = format!("wallet:{}", world.shop.buyer.id);
    let lines = format!(
        "SELECT id || CASE WHEN source = '{wallet}' THEN ' -' ELSE ' +' END || amount FROM account.ledger_transfer
         WHERE '{wallet}' IN (source, destination) AND id NOT LIKE 'filled:%' ORDER BY date_created, id"
    );
    world.audit.texts(&lines).await
}

async fn cancels(world: &PaidShop, session: &str) -> Result<()> {
    let path = format!("{CHECKOUT}/{session}/cancel");
    world.buyer().post(&path, json!({})).await?.data(200);
    world.is(session, "Failed").await
}

/// The session came to nothing, and so did both its legs; of what the wallet held there is no trace in the books.
async fn came_to_nothing(world: &PaidShop, session: &str) -> Result<()> {
    world.is(session, "Failed").await?;
    has(world, SHARE, 0).await?;
    let mut legs = world.legs(session).await?;
    legs.sort();
    ensure!(
        legs == [format!("Failed {SHARE}"), format!("Failed {REST}")],
        "{legs:?}"
    );
    let lines = lines(world).await?;
    ensure!(
        lines.is_empty(),
        "nothing has left the wallet, nor come back: {lines:?}"
    );
    ensure!(world.shop.stock().await? == (STOCK, 0));
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_nobody_elses_and_leaves_the_wallet_with_the_payment() -> Result<()> {
    let world = open(&[]).await?;
    let opened = opens(&world).await?;
    has(&world, 0, SHARE).await?;
    ensure!(lines(&world).await?.is_empty(), "it is held, and has not left");
    world.books_hold().await?;

    // Neither by another checkout, whose gateway is asked for all, nor by moving away from it.
    let mut alone = checkout(&world);
    alone["payment_option"] = json!("");
    let refused = world.buyer().post(CHECKOUT, alone).await?;
    refused.failed(402, "ORDER_WALLET_INSUFFICIENT");
    let second = opens(&world).await?;
    ensure!(world.legs(&second.session).await? == [format!("Pending {UNIT}")]);
    has(&world, 0, SHARE).await?;
    let moves = json!({ "country": "US" });
    let country = "/api/v1/account/profile/country";
    let refused = world.buyer().patch(country, moves).await?;
    let told = refused.failed(409, "wallet_not_empty")["message"].to_string();
    ensure!(told.contains(&format!("{SHARE} VND")), "{told}");
    cancels(&world, &second.session).await?;
    has(&world, 0, SHARE).await?;
    world.books_hold().await?;

    // What comes in meanwhile can be spent.
    world
        .audit
        .fill_wallet(&world.shop.buyer.id, 5_000, "meanwhile")
        .await?;
    has(&world, 5_000, SHARE).await?;

    world.settles(&opened).await?;
    has(&world, 5_000, 0).await?;
    let mut legs = world.legs(&opened.session).await?;
    legs.sort();
    ensure!(
        legs == [format!("Success {SHARE}"), format!("Success {REST}")],
        "{legs:?}"
    );
    ensure!(lines(&world).await? == [format!("checkout:{} -{SHARE}", opened.session)]);
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_is_cancelled_lets_go_of_it_and_late_money_comes_into_the_wallet() -> Result<()> {
    let world = open(&[]).await?;
    let opened = opens(&world).await?;
    cancels(&world, &opened.session).await?;
    came_to_nothing(&world, &opened.session).await?;

    world.gateway.is_paid(&world.gateway.leg_at(&opened.url)?).await?;
    has(&world, UNIT, 0).await?;
    let leg = world.gateway.leg_at(&opened.url)?;
    ensure!(
        lines(&world).await? == [format!("return:{leg} +{REST}")],
        "the gateway's part, and no other"
    );
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_nobody_pays_lets_go_of_it_when_it_expires() -> Result<()> {
    let world = open(&[("SPIN_VARIABLE_SESSION_SECONDS", "2")]).await?;
    let opened = opens(&world).await?;
    came_to_nothing(&world, &opened.session).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_held_over_attempts_that_fail_and_taken_once_with_the_one_that_is_paid() -> Result<()> {
    let world = open(&[]).await?;
    // Declined at once: the checkout lives on, and so does what is held for it.
    world.gateway.behaves(Manner::Declines);
    let declined = world.buyer().post(CHECKOUT, checkout(&world)).await?;
    declined.failed(402, "payment_failed");
    world.gateway.behaves(Manner::Waits);
    let session = world.unpaid().await?.context("a pending checkout")?;
    has(&world, 0, SHARE).await?;
    world.books_hold().await?;
    let path = format!("{CHECKOUT}/{session}/payment-url");
    for _ in 0..2 {
        let url = world.buyer().post(&path, json!({})).await?.text(200, "payment_url");
        let leg = world.gateway.leg_at(&url)?;
        world.gateway.has_failed(&leg).await?;
        let failed = format!("SELECT count(*) FROM \"order\".transaction WHERE id = '{leg}' AND status = 'Failed'");
        world.audit.becomes(&failed, 1).await?;
        has(&world, 0, SHARE).await?;
    }
    let url = world.buyer().post(&path, json!({})).await?.text(200, "payment_url");
    world
        .settles(&Opened {
            session: session.clone(),
            url,
        })
        .await?;
    has(&world, 0, 0).await?;
    ensure!(lines(&world).await? == [format!("checkout:{session} -{SHARE}")]);
    let mut legs = world.legs(&session).await?;
    legs.sort();
    let failed = format!("Failed {REST}");
    let paid = [SHARE, REST].map(|amount| format!("Success {amount}"));
    ensure!(
        legs == [&[failed.clone(), failed.clone(), failed][..], &paid].concat(),
        "{legs:?}"
    );
    world.books_hold().await?;

    // And one whose charges are all declined, until its buyer gives it up.
    world.audit.fill_wallet(&world.shop.buyer.id, SHARE, "again").await?;
    world.gateway.behaves(Manner::Declines);
    let declined = world.buyer().post(CHECKOUT, checkout(&world)).await?;
    declined.failed(402, "payment_failed");
    let session = world.unpaid().await?.context("a pending checkout")?;
    has(&world, 0, SHARE).await?;
    cancels(&world, &session).await?;
    has(&world, SHARE, 0).await?;
    ensure!(lines(&world).await?.len() == 1, "none has been added");
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_checkouts_at_once_one_has_the_wallet_and_the_other_pays_all_of_it() -> Result<()> {
    let world = open(&[]).await?;
    for round in 0..4 {
        let body = checkout(&world);
        let placed = join(
            world.buyer().post(CHECKOUT, body.clone()),
            world.buyer().post(CHECKOUT, body),
        );
        let placed = <[Result<Answer>; 2]>::from(placed.await)
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        has(&world, 0, SHARE).await?;
        world.books_hold().await?;
        let (mut shares, mut sessions) = (0, Vec::new());
        for answer in &placed {
            if answer.status != 200 {
                // It has seen what the other one took.
                answer.failed(402, "ORDER_WALLET_INSUFFICIENT");
                continue;
            }
            let session = answer.text(200, "checkout_session_id");
            let legs = world.legs(&session).await?;
            shares += legs.iter().filter(|leg| **leg == format!("Pending {SHARE}")).count();
            sessions.push(session);
        }
        ensure!(shares == 1, "round {round}: {placed:?}");
        try_join_all(sessions.iter().map(|session| cancels(&world, session))).await?;
        has(&world, SHARE, 0).await?;
    }
    ensure!(lines(&world).await?.is_empty());
    world.books_hold().await
}
