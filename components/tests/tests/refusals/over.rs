//! What is to be paid at the door and whose time is over, before its timer has come: nobody takes it any more. `payment/over.rs` has what is paid
//! elsewhere.

use anyhow::Result;
use component_tests::{Audit, Nexus, Shop};
use serde_json::json;

use crate::{CHECKOUT, CONFIRM, confirmation, place};

/// More than a seller has for an answer.
const AGES_HOURS: i32 = 1000;
const CONFIRMATIONS: &str = "SELECT count(*) FROM \"order\".payment_session WHERE kind = 'seller-confirmation-fee'";
const CLAIMED: &str = "SELECT count(*) FROM \"order\".item WHERE confirm_session_id IS NOT NULL";

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_whose_time_is_over_is_not_confirmed_whoever_notices() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let (buyer, seller) = (&shop.buyer.client, &shop.seller.client);
    let (session, item) = place(&shop, &shop.buyer, 2).await?;
    let payment_url = format!("{CHECKOUT}/{session}/payment-url");

    // Known before anything is changed.
    audit.move_end(&session, -AGES_HOURS).await?;
    for _ in 0..2 {
        let refused = seller.post(CONFIRM, confirmation(&[item])).await?;
        refused.failed(409, "checkout_expired");
        let refused = buyer.post(&payment_url, json!({})).await?;
        refused.failed(409, "checkout_expired");
    }
    assert_eq!(shop.stock().await?, (8, 2), "held until somebody ends it");
    assert_eq!(audit.count(CONFIRMATIONS).await?, 0);
    assert_eq!(audit.count(CLAIMED).await?, 0);

    // Known to inventory alone, when the line is claimed already.
    audit.move_end(&session, AGES_HOURS).await?;
    let move_hold = async |hours: i32| {
        let moved = format!("UPDATE inventory.reservation SET expires_at = expires_at + interval '{hours} hours'");
        audit.change(&moved).await
    };
    assert_eq!(move_hold(-AGES_HOURS).await?, 1);
    let refused = seller.post(CONFIRM, confirmation(&[item])).await?;
    refused.failed(409, "checkout_expired");
    assert_eq!(shop.stock().await?, (8, 2), "nothing is sold, and nothing given back");
    let undone = format!("{CONFIRMATIONS} AND status = 'Failed'");
    assert_eq!(audit.count(&undone).await?, 1);
    assert_eq!(audit.count(CLAIMED).await?, 0);

    // It was the time alone.
    assert_eq!(move_hold(AGES_HOURS).await?, 1);
    let here = buyer.post(&payment_url, json!({})).await?;
    assert_eq!(here.text(200, "payment_url"), "", "nothing is paid elsewhere");
    let confirmed = seller.post(CONFIRM, confirmation(&[item])).await?;
    confirmed.data(200);
    assert_eq!(shop.stock().await?, (8, 2), "sold");
    audit.settled().await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_whose_time_is_over_can_still_be_given_up() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let (buyer, seller) = (&shop.buyer.client, &shop.seller.client);
    let (session, item) = place(&shop, &shop.buyer, 3).await?;
    audit.move_end(&session, -AGES_HOURS).await?;

    let cancel = format!("{CHECKOUT}/{session}/cancel");
    buyer.post(&cancel, json!({})).await?.data(200);
    assert_eq!(shop.stock().await?, (10, 0));
    // From then on it is closed, whatever its time was.
    let payment_url = format!("{CHECKOUT}/{session}/payment-url");
    for path in [&cancel, &payment_url] {
        let refused = buyer.post(path, json!({})).await?;
        refused.failed(410, "payment_session_closed");
    }
    let refused = seller.post(CONFIRM, confirmation(&[item])).await?;
    refused.failed(409, "item_already_cancelled");
    assert_eq!(shop.stock().await?, (10, 0), "given back once");
    audit.settled().await?;
    audit.books_hold().await
}
