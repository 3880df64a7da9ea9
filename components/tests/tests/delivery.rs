//! How goods come to their buyer, and how that is learnt: their carrier books them and reports where they are, or a person says so where it is silent.

use anyhow::{Context, Result, ensure};
use component_tests::{CHECKOUT, CONFIRM, Notice, PaidShop, STOCK, UNIT, courier};
use futures_util::future::try_join;
use serde_json::{Value, json};

/// An order that is paid at the gateway, with its fee.
async fn ordered(world: &PaidShop) -> Result<String> {
    let (_, line) = world.pays().await?;
    world.orders(&[line], "sandbox-redirect").await
}

async fn transport(world: &PaidShop, order: &str) -> Result<Value> {
    let order = world
        .seller()
        .get(&format!("/api/v1/order/seller/confirmed/{order}"))
        .await?;
    Ok(order.data(200)["transport"].clone())
}

async fn is(world: &PaidShop, order: &str, status: &str) -> Result<()> {
    let transport = transport(world, order).await?;
    ensure!(transport["status"] == status, "{transport} instead of {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_is_booked_under_its_order_and_a_booking_that_fails_takes_nothing_back() -> Result<()> {
    let world = PaidShop::start_with(&[], "").await?;
    let tracking_code = |order: &str| format!("FLAT{}", order.replace('-', "").to_uppercase());
    let booked = |order: &str| {
        format!(
            "SELECT count(*) FROM \"order\".transport WHERE tracking_code = '{}'",
            tracking_code(order)
        )
    };
    let order = ordered(&world).await?;
    world.audit.becomes(&booked(&order), 1).await?;
    let data = transport(&world, &order).await?["data"].clone();
    ensure!(
        data["tracking_id"] == tracking_code(&order).as_str() && data["eta"].is_string() && data["quote"] == 15_000,
        "{data}"
    );

    for refused in [
        "CREATE FUNCTION \"order\".refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE OF tracking_code ON \"order\".transport FOR EACH ROW EXECUTE FUNCTION \"order\".refuse()",
    ] {
        world.audit.change(refused).await?;
    }
    let (waits, lost) = (ordered(&world).await?, ordered(&world).await?);
    let tried = "SELECT count(*) FROM host.invocation WHERE function LIKE 'shop:order/workflows%.book' AND failures >= 2 AND cause LIKE '%book the parcel%'";
    world.audit.becomes(tried, 2).await?;
    is(&world, &waits, "Pending").await?;
    world.parcel(&lost, "cancelled").await?;
    world.audit.change("DROP TRIGGER refuse ON \"order\".transport").await?;
    world.audit.becomes(&booked(&waits), 1).await?;
    let open =
        "SELECT count(*) FROM host.invocation WHERE function LIKE 'shop:order/workflows%.book' AND ended_at IS NULL";
    world.audit.becomes(open, 0).await?;
    ensure!(world.audit.count(&booked(&lost)).await? == 0);
    world.audit.settled().await?;
    world.is(&lost, "Cancelled").await?;
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_believed_only_if_it_is_signed_fresh_and_about_a_parcel_of_its_carrier() -> Result<()> {
    let world = PaidShop::start_with(&[], "").await?;
    let order = ordered(&world).await?;
    let good = courier::report(&world.gateway, &order, "delivered")?;
    let with = |change: &dyn Fn(&mut Notice)| {
        let mut notice = good.clone();
        change(&mut notice);
        notice
    };
    let spoiled = [
        (401, with(&|notice| notice.secret = "another".to_owned())),
        (401, with(&|notice| notice.signed_s -= 301)),
        (401, with(&|notice| notice.signed_s += 360)),
        (
            404,
            good.saying("order_id", json!("0190a5b2-7c11-7d3e-8f00-0123456789ab")),
        ),
        (404, good.saying("order_id", json!("no id"))),
        (400, good.saying("status", json!("eaten"))),
        (400, good.saying("occurred_ms", json!("yesterday"))),
        (404, with(&|notice| notice.path = "/api/v1/transport/webhook/unknown")),
        (404, with(&|notice| notice.path = "/api/v1/transport/webhook/")),
    ];
    for (expected, notice) in spoiled {
        let status = notice.send(world.nexus.url()).await?;
        ensure!(status == expected, "{status} instead of {expected}: {notice:?}");
    }
    // A session that is no payout has no parcel.
    let checkout = "SELECT id::text FROM \"order\".payment_session WHERE kind = 'buyer-checkout'";
    let checkout = world.audit.texts(checkout).await?.pop().context("a checkout")?;
    let other = good.saying("order_id", json!(checkout));
    ensure!(other.send(world.nexus.url()).await? == 404);
    let elsewhere = "UPDATE \"order\".transport SET provider = 'transport-other'";
    ensure!(world.audit.change(elsewhere).await? == 1);
    ensure!(good.send(world.nexus.url()).await? == 404);
    let back = "UPDATE \"order\".transport SET provider = 'transport-flat'";
    ensure!(world.audit.change(back).await? == 1);
    ensure!(
        world
            .audit
            .count("SELECT count(*) FROM \"order\".transport_event")
            .await?
            == 0
    );
    is(&world, &order, "Pending").await?;

    ensure!(good.send(world.nexus.url()).await? == 200);
    is(&world, &order, "Success").await?;
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_no_report_is_believed_and_it_is_to_come_again() -> Result<()> {
    let world = PaidShop::start_with(&[("SPIN_VARIABLE_TRANSPORT_WEBHOOK_SECRET", "")], "").await?;
    let order = ordered(&world).await?;
    let mut report = courier::report(&world.gateway, &order, "delivered")?;
    for secret in [report.secret.clone(), String::new()] {
        report.secret = secret;
        ensure!(report.send(world.nexus.url()).await? == 503);
    }
    is(&world, &order, "Pending").await
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_count_once_and_in_the_order_in_which_things_happened() -> Result<()> {
    let world = PaidShop::start_with(&[], "").await?;
    let order = ordered(&world).await?;
    // What happened is older than what is reported here, and younger than the parcel.
    let made = "SELECT ceil(extract(epoch FROM date_created) * 1000)::bigint FROM \"order\".transport";
    let made_ms = u64::try_from(world.audit.count(made).await?)?;
    let report = |id: &str, status: &str, occurred_ms: u64| -> Result<Notice> {
        let mut notice = courier::report(&world.gateway, &order, status)?;
        notice.id = id.to_owned();
        notice.body["occurred_ms"] = json!(occurred_ms);
        Ok(notice)
    };
    let mut nobody = report("2", "failed", made_ms + 3)?;
    nobody.body["reason"] = json!("nobody at home");
    for (notice, status) in [
        (report("1", "travelling", made_ms + 1)?, "Processing"),
        (report("0", "waiting", made_ms)?, "Processing"),
        (nobody.clone(), "Failed"),
        // Late, and older than what is known.
        (report("3", "travelling", made_ms + 2)?, "Failed"),
        (report("4", "travelling", made_ms + 4)?, "Processing"),
        // Known.
        (nobody, "Processing"),
        (report("5", "delivered", made_ms + 5)?, "Success"),
        // What is over is over.
        (report("6", "failed", made_ms + 6)?, "Success"),
        (report("7", "cancelled", made_ms + 7)?, "Success"),
    ] {
        ensure!(notice.send(world.nexus.url()).await? == 200, "{notice:?}");
        is(&world, &order, status).await.with_context(|| notice.id)?;
    }
    ensure!(
        world
            .audit
            .count("SELECT count(*) FROM \"order\".transport_event")
            .await?
            == 8
    );
    let shown = transport(&world, &order).await?;
    ensure!(
        shown["data"]["carrier_status"] == "delivered" && shown["data"]["eta"].is_string(),
        "{shown}"
    );
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_says_what_became_of_a_parcel_whose_carrier_is_silent() -> Result<()> {
    let world = PaidShop::start_with(&[], "").await?;
    let (arrived, lost, late) = (ordered(&world).await?, ordered(&world).await?, ordered(&world).await?);
    world.audit.settled().await?;
    world.payouts_are_due().await?;
    world.audit.suspended(3).await?;
    ensure!(world.wallet(world.seller()).await? == 0 && world.wallet(world.buyer()).await? == 0);
    // The queue, as an operator reads it.
    let queue = world.nexus.run(&[
        "invocations",
        "list",
        "--component",
        "order",
        "--function",
        "shop:order/workflows.missing",
        "--status",
        "suspended",
    ])?;
    for order in [&arrived, &lost, &late] {
        ensure!(queue.contains(order.as_str()), "{order} is not in {queue}");
    }

    let say = |order: &str, word: &str| {
        world.nexus.run(&[
            "promises",
            "complete",
            "--workflow",
            order,
            "--function",
            "shop:order/workflows.missing",
            "--name",
            "word",
            "--value",
            word,
            "--reason",
            "by phone",
            "--as",
            "ann",
        ])
    };
    say(&arrived, "\"delivered\"")?;
    say(&lost, "\"not_delivered\"")?;
    world.parcel(&late, "delivered").await?;
    world.audit.settled().await?;
    for (order, status) in [(&arrived, "Success"), (&lost, "Cancelled"), (&late, "Success")] {
        is(&world, order, status).await?;
    }
    world.is(&lost, "Cancelled").await?;
    world.audit.settled().await?;
    ensure!(world.wallet(world.buyer()).await? == UNIT && world.wallet(world.seller()).await? == 0);
    assert_eq!(world.shop.stock().await?, (STOCK - 2, 2));
    // Not at once: the buyer has had it for no time yet, as far as anybody knows.
    world.payouts_are_due().await?;
    for order in [&arrived, &late] {
        world.is(order, "Success").await?;
    }
    ensure!(world.wallet(world.seller()).await? == 2 * UNIT);
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_at_the_door_is_in_the_books_when_all_of_its_checkout_is_delivered() -> Result<()> {
    let world = PaidShop::start_with(&[], "").await?;
    let answer = world.buyer().post(CHECKOUT, world.shop.checkout(1)).await?;
    let session = answer.text(200, "checkout_session_id");
    let item = world.item_of(&session).await?;
    let confirm = json!({ "item_ids": [item], "payment_option": "system-cod" });
    world.seller().post(CONFIRM, confirm).await?.data(200);
    let order = world.audit.texts("SELECT id::text FROM \"order\".\"order\"").await?;
    let order = order.first().context("an order")?;
    world.parcel(order, "travelling").await?;
    world.is(&session, "Pending").await?;
    world.parcel(order, "delivered").await?;
    world.is(&session, "Success").await?;
    let collected = format!("SELECT amount FROM account.ledger_transfer WHERE id = 'collect:{order}'");
    ensure!(world.audit.count(&collected).await? == UNIT);
    ensure!(world.wallet(world.seller()).await? == 0);
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_is_paid_when_its_last_two_parcels_arrive_at_once() -> Result<()> {
    let world = PaidShop::start_with(&[], "").await?;
    let other = world.shop.seller.lists("Coffee mill", "VND", STOCK).await?;
    for _ in 0..12 {
        let (session, lines) = world.two_at_the_door(&other).await?;
        let (one, two) = (
            world.orders(&[lines[0]], "system-cod").await?,
            world.orders(&[lines[1]], "system-cod").await?,
        );
        try_join(world.parcel(&one, "delivered"), world.parcel(&two, "delivered")).await?;
        world.is(&session, "Success").await?;
    }
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_is_paid_when_what_is_left_of_it_was_delivered() -> Result<()> {
    let world = PaidShop::start_with(&[], "").await?;
    let other = world.shop.seller.lists("Coffee mill", "VND", STOCK).await?;
    for by_buyer in [true, false] {
        let (session, lines) = world.two_at_the_door(&other).await?;
        let order = world.orders(&[lines[0]], "system-cod").await?;
        world.parcel(&order, "delivered").await?;
        world.is(&session, "Pending").await?;
        if by_buyer {
            let line = format!("/api/v1/order/buyer/pending-items/{}", lines[1]);
            world.buyer().delete(&line, None).await?.data(200);
        } else {
            let reject = json!({ "item_ids": [lines[1]] });
            let rejected = world
                .seller()
                .post("/api/v1/order/seller/pending/reject", reject)
                .await?;
            rejected.data(200);
        }
        world.is(&session, "Success").await?;
        ensure!(world.legs(&session).await?.len() == 1);
    }
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_texts_cannot_be_kept_is_refused() -> Result<()> {
    let world = PaidShop::start_with(&[], "").await?;
    let order = ordered(&world).await?;
    let good = courier::report(&world.gateway, &order, "failed")?;
    let mut long = good.clone();
    long.id = "x".repeat(256);
    for (notice, expected) in [
        (long, 400),
        (good.saying("reason", json!("a\0b")), 400),
        (good.saying("reason", json!("x".repeat(1_001))), 400),
        (good.saying("reason", json!("\u{1f4a1}".repeat(1_000))), 200),
    ] {
        let status = notice.send(world.nexus.url()).await?;
        ensure!(status == expected, "{status} instead of {expected}: {notice:?}");
    }
    is(&world, &order, "Failed").await
}
