//! What sellers are paid, and when: after their goods have been with the buyer for a while, once. That they are there is reported, or said by a
//! person; how it is learnt is in `delivery.rs`.

use anyhow::{Result, ensure};
use component_tests::{CHECKOUT, CONFIRM, PaidShop, STOCK, UNIT};
use serde_json::{Value, json};

/// The flat rate of 800 g, which the buyer pays with the goods and the seller pays again.
const FEE: i64 = 15_000;

/// One unit, paid at the door; returns the line.
async fn buys_at_the_door(world: &PaidShop) -> Result<i64> {
    let answer = world.buyer().post(CHECKOUT, world.shop.checkout(1)).await?;
    world.item_of(&answer.text(200, "checkout_session_id")).await
}

async fn order(world: &PaidShop, id: &str) -> Result<Value> {
    let order = world.buyer().get(&format!("/api/v1/order/buyer/orders/{id}")).await?;
    Ok(order.data(200).clone())
}

/// The timers of lines that wait for their sellers come at once. Which timer one is, is sealed; these come a week after the payment, and payouts
/// later.
const UNANSWERED: &str = "UPDATE host.invocation SET due_at = now()
     WHERE component = 'order' AND ended_at IS NULL
         AND due_at BETWEEN now() + interval '1 hour' AND now() + interval '8 days 12 hours'";

const UNANSWERED_LEFT: &str = "SELECT count(*) FROM host.invocation
     WHERE component = 'order' AND ended_at IS NULL AND due_at < now() + interval '8 days 12 hours'";

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_is_paid_after_the_escrow_and_what_the_carrier_collected_less_the_fee() -> Result<()> {
    let world = PaidShop::start_with(&[("SPIN_VARIABLE_ESCROW_SECONDS", "1")], "").await?;
    // Paid at the gateway, and the fee as well: all of it is the seller's.
    let (_, prepaid) = world.pays().await?;
    let prepaid = world.orders(&[prepaid], "sandbox-redirect").await?;
    world.parcel(&prepaid, "delivered").await?;
    world.is(&prepaid, "Success").await?;
    assert_eq!(world.wallet(world.seller()).await?, UNIT);
    let shown = order(&world, &prepaid).await?;
    let payout = &shown["payout_session"];
    assert_eq!(
        (
            &payout["kind"],
            &payout["total_amount"],
            &payout["to_id"],
            &payout["from_id"]
        ),
        (
            &json!("seller-payout"),
            &json!(UNIT),
            &json!(world.shop.seller.id),
            &Value::Null
        )
    );
    let completed = world.buyer().get("/api/v1/order/buyer/completed-orders").await?;
    assert_eq!(completed.data(200)[0]["id"], prepaid.as_str());

    // Paid at the door: the fee is kept back, and the checkout is paid when its last line is.
    let at_the_door = buys_at_the_door(&world).await?;
    let at_the_door = world.orders(&[at_the_door], "system-cod").await?;
    assert_eq!(
        order(&world, &at_the_door).await?["transport"]["data"]["pick_money"],
        UNIT
    );
    let unpaid = "SELECT count(*) FROM \"order\".payment_session WHERE kind = 'buyer-checkout' AND status <> 'Success'";
    assert_eq!(world.audit.count(unpaid).await?, 1);
    world.parcel(&at_the_door, "delivered").await?;
    assert_eq!(world.audit.count(unpaid).await?, 0);
    world.is(&at_the_door, "Success").await?;
    assert_eq!(world.wallet(world.seller()).await?, UNIT + UNIT - FEE);
    let pending = "SELECT count(*) FROM \"order\".payment_session WHERE status <> 'Success'";
    world.audit.becomes(pending, 0).await?;

    // Some of both: the carrier collects what is not paid, and the fee is paid apart.
    let ((_, one), other) = (world.pays().await?, buys_at_the_door(&world).await?);
    let both = world.orders(&[one, other], "sandbox-redirect").await?;
    assert_eq!(order(&world, &both).await?["transport"]["data"]["pick_money"], UNIT);
    world.parcel(&both, "travelling").await?;
    world.parcel(&both, "delivered").await?;
    world.is(&both, "Success").await?;
    assert_eq!(world.wallet(world.seller()).await?, 4 * UNIT - FEE);
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_paid_before_the_time() -> Result<()> {
    const DAY: i64 = 24 * 3600;
    let world = PaidShop::start_with(&[], "").await?;
    let (_, item) = world.pays().await?;
    let early = world.orders(&[item], "sandbox-redirect").await?;
    assert_eq!(order(&world, &early).await?["payout_session"]["status"], "Pending");
    // As long as nothing is known of the delivery, and when it is, a week from then.
    let kept = format!(
        "SELECT extract(epoch FROM date_expired - date_created)::bigint FROM \"order\".payment_session WHERE id = '{early}'"
    );
    assert_eq!(world.audit.count(&kept).await?, 30 * DAY);
    world.parcel(&early, "travelling").await?;
    assert_eq!(world.audit.count(&kept).await?, 30 * DAY);
    world.parcel(&early, "delivered").await?;
    let after = world.audit.count(&kept).await?;
    assert!((7 * DAY..8 * DAY).contains(&after), "{after}");

    // A timer that comes before the session's time sets itself anew. What time it is there, its own says.
    let later = "UPDATE \"order\".payment_session SET date_expired = date_expired + interval '1 day' WHERE kind = 'seller-payout'";
    ensure!(world.audit.change(later).await? == 1);
    let soon = "component = 'order' AND ended_at IS NULL AND due_at BETWEEN now() + interval '1 minute' AND now() + interval '9 days'";
    let now = format!("UPDATE host.invocation SET due_at = now() WHERE {soon}");
    ensure!(world.audit.change(&now).await? > 0);
    world.audit.settled().await?;
    let again = format!("SELECT count(*) FROM host.invocation WHERE {soon}");
    world.audit.becomes(&again, 1).await?;
    assert_eq!(world.wallet(world.seller()).await?, 0);
    world.payouts_are_due().await?;
    world.is(&early, "Success").await?;
    assert_eq!(world.wallet(world.seller()).await?, UNIT);
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_delivered_is_not_paid_for() -> Result<()> {
    let world = PaidShop::start_with(&[("SPIN_VARIABLE_PLATFORM_FEE_MINOR", "2000")], "").await?;
    let (_, item) = world.pays().await?;
    let lost = world.orders(&[item], "sandbox-redirect").await?;
    world.parcel(&lost, "failed").await?;
    // As long as it may be brought once more, the buyer has nothing back.
    world.audit.settled().await?;
    assert_eq!(world.wallet(world.buyer()).await?, 0);
    assert_eq!(order(&world, &lost).await?["transport"]["status"], "Failed");
    world.payouts_are_due().await?;
    world.is(&lost, "Cancelled").await?;
    world.audit.settled().await?;
    // Nothing for the goods; what the platform took of them is his again, and the carriage was made.
    assert_eq!(world.wallet(world.seller()).await?, 2_000);
    let revenue = "SELECT balance FROM account.ledger_book WHERE name = 'revenue'";
    assert_eq!(world.audit.count(revenue).await?, FEE);
    assert_eq!(world.wallet(world.buyer()).await?, UNIT);
    assert_eq!(world.shop.stock().await?, (STOCK, 0));
    let listed = world.buyer().get("/api/v1/order/buyer/cancelled-orders").await?;
    assert_eq!(listed.data(200)[0]["id"], lost.as_str());
    // It comes after all: nobody is paid by that, and a person finds it in the log.
    world.parcel(&lost, "delivered").await?;
    world.audit.settled().await?;
    assert_eq!(order(&world, &lost).await?["transport"]["status"], "Failed");
    assert_eq!(world.wallet(world.seller()).await?, 2_000);
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_lost_on_its_way_to_the_door_owes_nobody_and_leaves_the_rest_of_its_checkout() -> Result<()> {
    let world = PaidShop::start_with(&[], "").await?;
    let other = world.shop.seller.lists("Coffee mill", "VND", 10).await?;
    let (session, items) = world.two_at_the_door(&other).await?;
    let total = "SELECT total_amount FROM \"order\".item WHERE id = ";
    let kept = world.audit.count(&format!("{total}{}", items[0])).await?;
    let arrives = world.orders(&items[..1], "system-cod").await?;
    let lost = world.orders(&items[1..], "system-cod").await?;
    world.parcel(&arrives, "delivered").await?;
    world.is(&session, "Pending").await?;
    world.parcel(&lost, "cancelled").await?;
    world.is(&lost, "Cancelled").await?;
    world.is(&session, "Success").await?;
    world.payouts_are_due().await?;
    world.is(&arrives, "Success").await?;
    world.audit.settled().await?;
    assert_eq!(world.legs(&session).await?, [format!("Success {kept}")]);
    assert_eq!(world.wallet(world.buyer()).await?, 0);
    assert_eq!(world.wallet(world.seller()).await?, kept - FEE);
    assert_eq!(world.shop.seller.stock_of(&other.sku).await?, (10, 0));
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_lines_that_no_seller_answers_for_go_back_to_their_buyer() -> Result<()> {
    let world = PaidShop::start_with(&[], "").await?;
    let ((session, answered), (_, silent)) = (world.pays().await?, world.pays().await?);
    world.orders(&[answered], "sandbox-redirect").await?;
    assert_eq!(world.waiting().await?.len(), 1);

    // A timer that comes before its time sets itself anew.
    world.audit.settled().await?;
    let later =
        "UPDATE \"order\".payment_session SET date_paid = date_paid + interval '1 day' WHERE kind = 'buyer-checkout'";
    ensure!(world.audit.change(later).await? == 2);
    ensure!(world.audit.change(UNANSWERED).await? == 2);
    world.audit.settled().await?;
    world.audit.becomes(UNANSWERED_LEFT, 2).await?;
    assert_eq!(world.waiting().await?.len(), 1);

    let earlier =
        "UPDATE \"order\".payment_session SET date_paid = date_paid - interval '8 days' WHERE kind = 'buyer-checkout'";
    ensure!(world.audit.change(earlier).await? == 2);
    ensure!(world.audit.change(UNANSWERED).await? == 2);
    world.audit.becomes(UNANSWERED_LEFT, 0).await?;
    world.audit.settled().await?;
    assert_eq!(world.waiting().await?.len(), 0);
    assert_eq!(world.wallet(world.buyer()).await?, UNIT);
    let cancelled = world.buyer().get("/api/v1/order/buyer/cancelled-items").await?;
    let line = &cancelled.data(200)[0];
    assert_eq!((&line["id"], &line["cancelled_by_id"]), (&json!(silent), &Value::Null));
    // The line that is in an order has nothing to do with it.
    world.is(&session, "Success").await?;
    assert_eq!(world.shop.stock().await?, (STOCK - 1, 1));
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_is_kept_back_as_far_as_an_order_goes_and_not_of_one_that_does_not_arrive() -> Result<()> {
    let variables = [
        ("SPIN_VARIABLE_ESCROW_SECONDS", "1"),
        ("SPIN_VARIABLE_PLATFORM_FEE_MINOR", "2000"),
    ];
    let world = PaidShop::start_with(&variables, "").await?;
    let other = world.shop.seller.lists("Coffee mill", "VND", STOCK).await?;
    let both_cost = async |price: i64| {
        for sku in [&world.shop.sku, &other.sku] {
            let cheap = json!({ "id": sku, "price": price });
            world
                .seller()
                .patch("/api/v1/catalog/product-sku", cheap)
                .await?
                .data(200);
        }
        Ok::<_, anyhow::Error>(())
    };
    let fee = async |order: &str| {
        let order = world
            .seller()
            .get(&format!("/api/v1/order/seller/confirmed/{order}"))
            .await?;
        let fee = &order.data(200)["confirm_session"];
        let parts = (&fee["data"]["shipping_amount"], &fee["data"]["platform_fee_amount"]);
        Ok::<_, anyhow::Error>((fee["total_amount"].clone(), parts.0.clone(), parts.1.clone()))
    };
    // One of two alone brings less than it costs to carry it. Together they are what was quoted, and the platform takes no more than they cost.
    both_cost(500).await?;
    let (_, lines) = world.two_at_the_door(&other).await?;
    let alone = json!({ "item_ids": lines[..1], "payment_option": "system-cod" });
    world
        .seller()
        .post(CONFIRM, alone)
        .await?
        .failed(409, "carriage_not_covered");
    let together = world.orders(&lines, "system-cod").await?;
    ensure!(fee(&together).await? == (json!(FEE + 1_000), json!(FEE), json!(1_000)));
    world.parcel(&together, "cancelled").await?;
    world.is(&together, "Cancelled").await?;

    // Two that travel apart are two parcels, each with a fee of its own. With what the platform takes that is more than there is.
    both_cost(9_000).await?;
    let each = 9_000 + FEE / 2;
    let (_, lines) = world.two_at_the_door(&other).await?;
    let mut orders = Vec::new();
    for line in lines {
        let order = world.orders(&[line], "system-cod").await?;
        ensure!(fee(&order).await? == (json!(each), json!(FEE), json!(each - FEE)));
        orders.push(order);
    }
    world.parcel(&orders[0], "delivered").await?;
    world.parcel(&orders[1], "cancelled").await?;
    world.is(&orders[0], "Success").await?;
    world.is(&orders[1], "Cancelled").await?;
    world.audit.settled().await?;
    ensure!(world.wallet(world.seller()).await? == 0);
    let kept = "SELECT sum(amount)::bigint FROM account.ledger_transfer WHERE id LIKE 'netted-fee:%'";
    ensure!(world.audit.count(kept).await? == each);
    world.books_hold().await
}
