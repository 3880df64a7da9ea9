//! What wallets pay: first, and all of their share or nothing. Where the rest is paid elsewhere, `holding.rs` has what is held meanwhile.

use anyhow::{Context, Result, ensure};
use component_tests::{ADDRESS, Answer, CHECKOUT, CONFIRM, Client, Manner, Opened, PaidShop, STOCK, UNIT};
use futures_util::future::{join, try_join_all};
use serde_json::{Value, json};

/// What a seller pays for an order of one unit.
const FEE: i64 = 15_000;
/// Two units: their price, and the flat rate of 1,600 g.
const TWO: i64 = 215_000;

/// A checkout of so many units whose wallet pays first.
fn checkout(world: &PaidShop, quantity: i64, option: &str) -> Value {
    let mut body = world.shop.checkout(quantity);
    body["payment_option"] = json!(option);
    body["use_wallet"] = json!(true);
    body
}

/// The price of a unit comes into the buyer's wallet: it was paid at the gateway, and the buyer wants it back.
async fn earns(world: &PaidShop) -> Result<()> {
    let (_, item) = world.pays().await?;
    cancels(world, item).await?.data(200);
    Ok(())
}

async fn cancels(world: &PaidShop, item: i64) -> Result<Answer> {
    let path = format!("/api/v1/order/buyer/pending-items/{item}");
    world.buyer().delete(&path, None).await
}

async fn holds(world: &PaidShop, client: &Client, balance: i64) -> Result<()> {
    let held = world.wallet(client).await?;
    ensure!(held == balance, "{held}, not {balance}");
    Ok(())
}

async fn order_of(world: &PaidShop, confirmation: &str) -> Result<Value> {
    let id = format!("SELECT id::text FROM \"order\".\"order\" WHERE confirm_session_id = '{confirmation}'");
    let id = world.audit.texts(&id).await?.pop().context("an order")?;
    let order = world
        .seller()
        .get(&format!("/api/v1/order/seller/confirmed/{id}"))
        .await?;
    Ok(order.data(200).clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_covers_all_pays_and_nothing_more_is_asked() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    earns(&world).await?;
    // Too little, or not to be used: refused, and nothing has changed.
    let mut unused = checkout(&world, 1, "");
    unused["use_wallet"] = json!(false);
    for body in [checkout(&world, 2, ""), unused] {
        world
            .buyer()
            .post(CHECKOUT, body)
            .await?
            .failed(402, "ORDER_WALLET_INSUFFICIENT");
    }
    holds(&world, world.buyer(), UNIT).await?;
    ensure!(world.shop.stock().await? == (STOCK, 0));
    world
        .buyer()
        .post(CHECKOUT, checkout(&world, 1, "no-such-option"))
        .await?
        .failed(400, "unknown_payment_option");

    // An option that is named is not needed.
    for option in ["", "system-cod", "sandbox-redirect"] {
        let charges = world.gateway.charges().len();
        let client = world.buyer().keyed(&format!("once-{option}"));
        let answer = client.post(CHECKOUT, checkout(&world, 1, option)).await?;
        let paid = Opened::read(&answer, "checkout_session_id");
        ensure!(paid.url.is_empty(), "{}", answer.json);
        ensure!(client.post(CHECKOUT, checkout(&world, 1, option)).await?.bytes == answer.bytes);
        world.is(&paid.session, "Success").await?;
        ensure!(world.legs(&paid.session).await? == [format!("Success {UNIT}")]);
        holds(&world, world.buyer(), 0).await?;
        ensure!(world.waiting().await?.len() == 1, "the seller sees it");
        ensure!(world.shop.stock().await? == (STOCK - 1, 1));
        ensure!(world.gateway.charges().len() == charges, "nobody else was asked");
        for (action, code) in [
            ("cancel", "payment_session_closed"),
            ("payment-url", "payment_session_closed"),
        ] {
            let path = format!("{CHECKOUT}/{}/{action}", paid.session);
            world.buyer().post(&path, json!({})).await?.failed(410, code);
        }
        world.books_hold().await?;

        let item = world.item_of(&paid.session).await?;
        cancels(&world, item).await?.data(200);
        cancels(&world, item).await?.failed(409, "item_already_cancelled");
        holds(&world, world.buyer(), UNIT).await?;
        ensure!(world.legs(&paid.session).await? == [format!("Success {UNIT}"), format!("Success -{UNIT}")]);
        world.books_hold().await?;
    }
    ensure!(world.shop.stock().await? == (STOCK, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_takes_what_the_wallet_does_not_cover_and_a_refund_gives_both_back() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    earns(&world).await?;
    let answer = world
        .buyer()
        .post(CHECKOUT, checkout(&world, 2, "sandbox-redirect"))
        .await?;
    let opened = Opened::read(&answer, "checkout_session_id");
    let rest = TWO - UNIT;
    ensure!(world.legs(&opened.session).await? == [format!("Pending {UNIT}"), format!("Pending {rest}")]);
    holds(&world, world.buyer(), 0).await?;
    ensure!(world.waiting().await?.is_empty(), "it is not paid");
    world.books_hold().await?;
    let charge = world.gateway.charges().pop().context("a charge")?;
    ensure!(charge.amount == rest, "{charge:?}");
    let summary = world
        .buyer()
        .get(&format!("/api/v1/order/buyer/checkout-summary/{}", charge.leg))
        .await?;
    let session = &summary.data(200)["session"];
    ensure!(
        session["total_amount"] == TWO && session["data"]["wallet_amount"] == UNIT,
        "{session}"
    );

    world.settles(&opened).await?;
    ensure!(world.legs(&opened.session).await? == [format!("Success {UNIT}"), format!("Success {rest}")]);
    world.books_hold().await?;
    let item = world.item_of(&opened.session).await?;
    cancels(&world, item).await?.data(200);
    holds(&world, world.buyer(), TWO).await?;
    let mut legs = world.legs(&opened.session).await?;
    legs.sort();
    let mut expected = [UNIT, rest, -UNIT, -rest].map(|amount| format!("Success {amount}"));
    expected.sort();
    ensure!(legs == expected, "{legs:?}");
    world.books_hold().await
}

/// Its parcel is delivered, and the seller is paid.
async fn is_paid_out(world: &PaidShop, order: &Value) -> Result<()> {
    let id = order["id"].as_str().context("an id")?;
    world.parcel(id, "delivered").await?;
    world.is(id, "Success").await
}

/// Two lines of one seller; the first is the dearer part of what the wallet pays.
async fn two_lines(world: &PaidShop, other: &str) -> Result<(String, Vec<i64>)> {
    let line = |sku: &str| json!({ "sku_id": sku, "quantity": 1, "transport_option": "standard" });
    let body = json!({
        "buy_now": false, "address": ADDRESS, "payment_option": "system-cod", "use_wallet": true,
        "items": [line(&world.shop.sku), line(other)],
    });
    let session = world
        .buyer()
        .post(CHECKOUT, body)
        .await?
        .text(200, "checkout_session_id");
    let items = format!("SELECT id::text FROM \"order\".item WHERE payment_session_id = '{session}' ORDER BY id");
    let items = world.audit.texts(&items).await?;
    Ok((session, items.iter().map(|id| id.parse()).collect::<Result<_, _>>()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_collects_what_the_wallet_does_not_cover() -> Result<()> {
    let world = PaidShop::start_with(&[("SPIN_VARIABLE_ESCROW_SECONDS", "1")], "").await?;
    let other = world.shop.seller.lists("Lid", "VND", 100).await?.sku;
    // Of the two lines the wallet pays the first and a part of the second.
    let first = 107_500;
    earns(&world).await?;
    let (session, items) = two_lines(&world, &other).await?;
    ensure!(world.legs(&session).await? == [format!("Success {UNIT}"), format!("Pending {}", TWO - UNIT)]);
    holds(&world, world.buyer(), 0).await?;
    world.books_hold().await?;
    // Each line gives back what was paid for it, and is not collected any more.
    cancels(&world, items[1]).await?.data(200);
    holds(&world, world.buyer(), UNIT - first).await?;
    cancels(&world, items[0]).await?.data(200);
    holds(&world, world.buyer(), UNIT).await?;
    world.is(&session, "Failed").await?;
    world.books_hold().await?;
    // All at once.
    let (session, _) = two_lines(&world, &other).await?;
    let cancel = format!("{CHECKOUT}/{session}/cancel");
    world.buyer().post(&cancel, json!({})).await?.data(200);
    holds(&world, world.buyer(), UNIT).await?;
    world.books_hold().await?;
    // By the seller, one of them; the other one is confirmed, and the carrier has nothing to collect for it.
    let (session, items) = two_lines(&world, &other).await?;
    let reject = json!({ "item_ids": [items[1]] });
    world
        .seller()
        .post("/api/v1/order/seller/pending/reject", reject)
        .await?
        .data(200);
    holds(&world, world.buyer(), UNIT - first).await?;
    let confirm = json!({ "item_ids": [items[0]], "payment_option": "system-cod" });
    let confirmed = world
        .seller()
        .post(CONFIRM, confirm)
        .await?
        .text(200, "confirm_session_id");
    let order = order_of(&world, &confirmed).await?;
    ensure!(order["transport"]["data"]["pick_money"] == 0, "{order}");
    is_paid_out(&world, &order).await?;
    world.is(&session, "Success").await?;
    // Alone it is another parcel than was quoted, and he pays its carriage, of which his line has brought half.
    holds(&world, world.seller(), first - FEE).await?;
    world.books_hold().await?;

    // Both confirmed: the carrier collects the rest, the seller is paid all of it.
    world.audit.fill_wallet(&world.shop.buyer.id, UNIT, "both").await?;
    let (session, items) = two_lines(&world, &other).await?;
    let confirm = json!({ "item_ids": items, "payment_option": "system-cod" });
    let confirmed = world
        .seller()
        .post(CONFIRM, confirm)
        .await?
        .text(200, "confirm_session_id");
    let order = order_of(&world, &confirmed).await?;
    ensure!(order["transport"]["data"]["pick_money"] == TWO - UNIT, "{order}");
    is_paid_out(&world, &order).await?;
    world.is(&session, "Success").await?;
    holds(&world, world.seller(), first - FEE + TWO - FEE).await?;
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_pays_a_fee_from_the_wallet_and_the_rest_elsewhere() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let seller = world.seller();
    world
        .audit
        .fill_wallet(&world.shop.seller.id, FEE + 10_000, "at-first")
        .await?;
    let confirm = |item: i64, option: &str| json!({ "item_ids": [item], "use_wallet": true, "payment_option": option });

    // All of it: an order at once.
    let (_, item) = world.pays().await?;
    let answer = seller.post(CONFIRM, confirm(item, "")).await?;
    let fee = Opened::read(&answer, "confirm_session_id");
    ensure!(fee.url.is_empty(), "{}", answer.json);
    world.is(&fee.session, "Success").await?;
    ensure!(world.legs(&fee.session).await? == [format!("Success {FEE}")]);
    let order = order_of(&world, &fee.session).await?;
    ensure!(order["confirm_session"]["data"]["wallet_amount"] == FEE, "{order}");
    // What was in a wallet is its owner's to know.
    let path = format!("/api/v1/order/buyer/orders/{}", order["id"].as_str().context("an id")?);
    let bought = world.buyer().get(&path).await?;
    for session in ["confirm_session", "payout_session"] {
        ensure!(bought.data(200)[session]["data"] == json!({}), "{}", bought.json);
    }
    holds(&world, seller, 10_000).await?;
    world.books_hold().await?;

    // A part: without another way to pay it is refused, with one the rest is asked for.
    let (_, item) = world.pays().await?;
    seller
        .post(CONFIRM, confirm(item, ""))
        .await?
        .failed(402, "ORDER_WALLET_INSUFFICIENT");
    let fee = Opened::read(
        &seller.post(CONFIRM, confirm(item, "sandbox-redirect")).await?,
        "confirm_session_id",
    );
    ensure!(world.legs(&fee.session).await? == ["Pending 10000", "Pending 5000"]);
    ensure!(
        world.wallet_and_held(seller).await? == (0, 10_000),
        "what is held cannot be spent"
    );
    world.audit.money_holds(&world.gateway).await?;
    seller
        .post(&format!("{CONFIRM}/{}/cancel", fee.session), json!({}))
        .await?
        .data(200);
    world.audit.settled().await?;
    ensure!(world.wallet_and_held(seller).await? == (10_000, 0), "let go of");
    let mut legs = world.legs(&fee.session).await?;
    legs.sort();
    ensure!(legs == ["Failed 10000", "Failed 5000"], "{legs:?}");
    world.books_hold().await?;
    // A first charge that is declined ends the session, and lets go of it at once.
    world.gateway.behaves(Manner::Declines);
    seller
        .post(CONFIRM, confirm(item, "sandbox-redirect"))
        .await?
        .failed(402, "payment_failed");
    world.gateway.behaves(Manner::Waits);
    world.audit.settled().await?;
    ensure!(world.wallet_and_held(seller).await? == (10_000, 0), "let go of");
    world.books_hold().await?;
    let fee = Opened::read(
        &seller.post(CONFIRM, confirm(item, "sandbox-redirect")).await?,
        "confirm_session_id",
    );
    world.settles(&fee).await?;
    order_of(&world, &fee.session).await?;
    world.audit.settled().await?;
    ensure!(world.wallet_and_held(seller).await? == (0, 0), "captured");
    ensure!(world.legs(&fee.session).await? == ["Success 10000", "Success 5000"]);
    world.books_hold().await?;

    // At the door: what the wallet does not pay is kept back from what is collected.
    world
        .audit
        .fill_wallet(&world.shop.seller.id, 10_000, "at-the-door")
        .await?;
    let placed = world.buyer().post(CHECKOUT, world.shop.checkout(1)).await?;
    let item = world.item_of(&placed.text(200, "checkout_session_id")).await?;
    let confirmed = seller
        .post(CONFIRM, confirm(item, ""))
        .await?
        .text(200, "confirm_session_id");
    let order = order_of(&world, &confirmed).await?;
    ensure!(order["payout_session"]["total_amount"] == UNIT - 5_000, "{order}");
    ensure!(order["transport"]["data"]["pick_money"] == UNIT, "{order}");
    holds(&world, seller, 0).await?;
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_want_the_same_balance_on_two_nodes_one_gets_it() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    // It knows the gateway too: either node may run what the other was asked for.
    let second = world.nexus.second_node(world.gateway.options(&[])).await?;
    let buyers = [world.buyer().clone(), world.buyer().at(second.url())];
    earns(&world).await?;
    for round in 0..6 {
        let placed = join(
            buyers[0].post(CHECKOUT, checkout(&world, 1, "")),
            buyers[1].post(CHECKOUT, checkout(&world, 1, "")),
        );
        let placed = <[Result<Answer>; 2]>::from(placed.await)
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let (paid, refused): (Vec<_>, Vec<_>) = placed.iter().partition(|answer| answer.status == 200);
        ensure!(paid.len() == 1, "round {round}: {placed:?}");
        refused[0].failed(402, "ORDER_WALLET_INSUFFICIENT");
        holds(&world, world.buyer(), 0).await?;
        world.books_hold().await?;
        ensure!(world.shop.stock().await? == (STOCK - 1, 1), "only one has its goods");
        let item = world.item_of(&paid[0].text(200, "checkout_session_id")).await?;
        cancels(&world, item).await?.data(200);
        holds(&world, world.buyer(), UNIT).await?;
    }

    // A seller who confirms two orders at once with a wallet for one.
    world.audit.fill_wallet(&world.shop.seller.id, FEE, "race").await?;
    let (_, one) = world.pays().await?;
    let (_, other) = world.pays().await?;
    let confirms = [(world.seller().clone(), one), (world.seller().at(second.url()), other)];
    let answers = try_join_all(confirms.iter().map(|(seller, item)| {
        seller.post(
            CONFIRM,
            json!({ "item_ids": [item], "use_wallet": true, "payment_option": "" }),
        )
    }));
    let answers = answers.await?;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    ensure!(statuses == [200, 402], "{answers:?}");
    holds(&world, world.seller(), 0).await?;
    world.audit.settled().await?;
    ensure!(world.waiting().await?.len() == 1, "the other one waits again");
    world.books_hold().await
}
