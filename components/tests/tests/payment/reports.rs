//! Reports that are none of the gateway's, too old, or about something else: none of them changes anything.

use anyhow::{Result, ensure};
use bytes::Bytes;
use component_tests::{CHECKOUT, Notice, PaidShop, UNIT};
use http::Method;
use serde_json::{Value, json};

const WEBHOOK: &str = "/api/v1/payment/webhook/sandbox";
/// A leg that there is not.
const NOBODYS: &str = "0190a5b2-7c11-7d3e-8f00-0123456789ab";

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_believed_only_if_it_is_signed_fresh_and_about_a_leg_of_that_amount() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let checkout = world.opens().await?;
    let leg = world.gateway.leg_at(&checkout.url)?;
    world.gateway.is_paid_silently(&leg);
    let good = world.gateway.notice(&leg, "event-1")?;
    let spoiled = [
        (
            401,
            Notice {
                secret: "another".to_owned(),
                ..good.clone()
            },
        ),
        (
            401,
            Notice {
                signed_s: good.signed_s - 301,
                ..good.clone()
            },
        ),
        (
            401,
            Notice {
                signed_s: good.signed_s + 360,
                ..good.clone()
            },
        ),
        (404, good.saying("leg_id", json!(NOBODYS))),
        (404, good.saying("leg_id", json!("no id"))),
        (400, good.saying("status", json!("paid"))),
    ];
    for (expected, notice) in spoiled {
        let status = world.gateway.sends(&notice).await?;
        ensure!(status == expected, "{status} instead of {expected}: {notice:?}");
    }
    let client = world.nexus.client();
    let unsigned = client.post(WEBHOOK, good.body.clone()).await?;
    ensure!(
        unsigned.status == 401 && unsigned.json == json!({ "success": false }),
        "{}",
        unsigned.json
    );
    let long = Bytes::from(vec![b'x'; (64 << 10) + 1]);
    let long = client
        .send_raw(Method::POST, WEBHOOK, Some("application/json"), long)
        .await?;
    ensure!(long.status == 413, "{}", long.status);
    let other = client.post("/api/v1/payment/webhook/cod", json!({})).await?;
    ensure!(other.status == 404, "{}", other.status);
    ensure!(client.get(WEBHOOK).await?.status == 405);

    let events = "SELECT count(*) FROM \"order\".payment_event";
    ensure!(world.audit.count(events).await? == 0);
    // Money of another amount settles nothing. That it came is kept for a person, and need not be told again.
    for (id, (name, value)) in [
        ("event-a", ("amount", json!(1))),
        ("event-c", ("currency", json!("USD"))),
    ] {
        let mut other = good.saying(name, value);
        other.id = id.to_owned();
        ensure!(world.gateway.sends(&other).await? == 200);
        ensure!(world.gateway.sends(&other).await? == 200);
    }
    let kept = "SELECT outcome || ' ' || amount || ' ' || currency FROM \"order\".payment_event ORDER BY event_id";
    ensure!(world.audit.texts(kept).await? == ["mismatch 1 VND".to_owned(), format!("mismatch {UNIT} USD")]);
    let noted = "SELECT count(*) FROM \"order\".transaction WHERE status = 'Pending' AND error LIKE '%another amount%'";
    ensure!(world.audit.count(noted).await? == 1);
    world.is(&checkout.session, "Pending").await?;
    ensure!(world.gateway.sends(&good).await? == 200);
    world.is(&checkout.session, "Success").await?;
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_under_the_id_of_another_one_is_not_taken_for_its_repetition() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let (one, other) = (world.opens().await?, world.opens().await?);
    let (first, second) = (world.gateway.leg_at(&one.url)?, world.gateway.leg_at(&other.url)?);
    let report = async |leg: &str, id: &str, expected: u16| {
        world.gateway.is_paid_silently(leg);
        let status = world.gateway.sends(&world.gateway.notice(leg, id)?).await?;
        ensure!(status == expected, "{id}: {status} instead of {expected}");
        Ok(())
    };
    report(&first, "event", 200).await?;
    report(&first, "event", 200).await?;
    // Acknowledged, it would be lost: nobody would ever tell again.
    report(&second, "event", 400).await?;
    world.is(&one.session, "Success").await?;
    world.is(&other.session, "Pending").await?;
    report(&second, "another event", 200).await?;
    world.is(&other.session, "Success").await?;
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_not_enabled_is_neither_offered_nor_listened_to() -> Result<()> {
    let world = PaidShop::start(&[("SPIN_VARIABLE_SANDBOX_ENABLED", "false")]).await?;
    let options = world.nexus.client().get("/api/v1/common/option?type=payment").await?;
    let ids: Vec<&Value> = options
        .data(200)
        .as_array()
        .into_iter()
        .flatten()
        .map(|option| &option["id"])
        .collect();
    ensure!(ids == ["system-cod"], "{}", options.json);
    let refused = world.buyer().post(CHECKOUT, world.checkout(1)).await?;
    refused.failed(400, "unknown_payment_option");
    let report = world.nexus.client().post(WEBHOOK, json!({})).await?;
    ensure!(report.status == 404, "{}", report.status);
    Ok(())
}
