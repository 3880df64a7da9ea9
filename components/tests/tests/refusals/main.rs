//! What cannot be bought, confirmed or cancelled, in the words clients read; and that a refusal leaves nothing behind.

mod buying;
mod lines;
mod over;
mod undone;

use anyhow::Result;
use component_tests::{Answer, Audit, Nexus, NexusOptions, Person, Shop};
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

const CHECKOUT: &str = "/api/v1/order/buyer/checkout";
const CART: &str = "/api/v1/order/cart";
const CONFIRM: &str = "/api/v1/order/seller/pending/confirm";
const REJECT: &str = "/api/v1/order/seller/pending/reject";
const NOBODYS: &str = "0190a5b2-7c11-7d3e-8f00-0123456789ab";

/// The body with one of its values changed.
fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    *body.pointer_mut(pointer).expect("the body has such a value") = value;
    body
}

fn message(error: &Value) -> &str {
    error["message"].as_str().unwrap_or_default()
}

/// Checks out so many units; returns the session and its only line.
async fn place(shop: &Shop, buyer: &Person, quantity: i64) -> Result<(String, i64)> {
    let session = buyer
        .client
        .post(CHECKOUT, shop.checkout(quantity))
        .await?
        .text(200, "checkout_session_id");
    let pending = buyer.client.get("/api/v1/order/buyer/pending-items").await?;
    let items = pending.data(200).as_array().expect("a list");
    let item = items
        .iter()
        .find(|item| item["payment_session_id"] == session)
        .expect("the line is pending");
    Ok((session, item["id"].as_i64().expect("a number")))
}

fn confirmation(items: &[i64]) -> Value {
    json!({ "item_ids": items, "payment_option": "system-cod" })
}

async fn statuses(requests: impl IntoIterator<Item = impl Future<Output = Result<Answer>>>) -> Result<Vec<Answer>> {
    join_all(requests).await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_nobody_confirms_ends_at_its_deadline() -> Result<()> {
    // What is to be paid waits an hour; what is paid at the door waits for its sellers.
    let environment = [
        ("SESSION_HOURS", "1"),
        ("SELLER_CONFIRM_SECONDS", "2"),
        ("COD_MAX_MINOR", "400000"),
    ]
    .map(|(name, value)| (format!("SPIN_VARIABLE_{name}"), value.to_owned()));
    let environment = environment.to_vec();
    let nexus = Nexus::start_with(NexusOptions {
        environment,
        ..NexusOptions::default()
    })
    .await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let dear = shop.buyer.client.post(CHECKOUT, shop.checkout(4)).await?;
    let dear = message(dear.failed(400, "payment_amount_too_large"));
    assert!(dear.contains("at most 400000 VND"), "{dear}");
    assert_eq!(shop.stock().await?, (10, 0));

    let wanted = json!({ "sku_id": shop.sku, "quantity": 3 });
    shop.buyer.client.post(CART, wanted).await?.data(200);
    let checkout = with(&shop.checkout(3), "/buy_now", json!(false));
    shop.buyer.client.post(CHECKOUT, checkout).await?.data(200);
    assert_eq!(shop.buyer.client.get(CART).await?.data(200), &json!([]));

    audit
        .becomes(
            "SELECT count(*) FROM \"order\".item WHERE date_cancelled IS NOT NULL",
            1,
        )
        .await?;
    audit.becomes("SELECT taken FROM inventory.stock", 0).await?;
    assert_eq!(shop.stock().await?, (10, 0));
    let pending = shop.buyer.client.get("/api/v1/order/buyer/pending-items").await?;
    assert_eq!(pending.data(200), &json!([]));
    assert_eq!(
        shop.seller.client.get("/api/v1/order/seller/pending").await?.data(200),
        &json!([])
    );
    let cancelled = shop.buyer.client.get("/api/v1/order/buyer/cancelled-items").await?;
    let line = &cancelled.data(200)[0];
    assert_eq!(line["cancelled_by_id"], Value::Null, "nobody cancelled it");
    assert_eq!(line["payment_session"]["status"], "Failed");
    let cart = shop.buyer.client.get(CART).await?;
    assert_eq!(cart.data(200)[0]["quantity"], 3, "what was wanted is wanted still");

    let item = line["id"].as_i64().expect("a number");
    shop.seller
        .client
        .post(CONFIRM, confirmation(&[item]))
        .await?
        .failed(409, "item_already_cancelled");
    let session = line["payment_session_id"].as_str().unwrap_or_default();
    let cancel = format!("{CHECKOUT}/{session}/cancel");
    shop.buyer
        .client
        .post(&cancel, json!({}))
        .await?
        .failed(410, "payment_session_closed");
    assert_eq!(shop.stock().await?, (10, 0), "given back once");
    audit.settled().await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_route_answers_has_both_shapes_of_an_error() -> Result<()> {
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();

    for path in [
        "/nothing",
        "/api/v1/order/nothing",
        "/api/v1/account/",
        "/api/v1/catalog/product-card/a/b",
    ] {
        let unknown = nobody.get(path).await?;
        unknown.failed(404, "not_found");
        assert_eq!(unknown.json["message"], "Not Found", "{path}");
    }
    let wrong = nobody.patch("/api/v1/order/cart", json!({})).await?;
    wrong.failed(405, "method_not_allowed");
    assert_eq!(wrong.json["message"], "Method Not Allowed");
    let allowed = wrong.headers["allow"].to_str()?.to_owned();
    assert!(
        ["GET", "POST", "DELETE"].iter().all(|method| allowed.contains(method)),
        "{allowed}"
    );
    let head = nobody.send(Method::HEAD, "/api/v1/catalog/category", None).await?;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (405, 0));
    let trace = nobody.send(Method::TRACE, "/api/v1/catalog/category", None).await?;
    trace.failed(405, "method_not_allowed");

    let page = nobody.with_header("origin", "https://shop.example");
    let asked = page
        .with_header("access-control-request-method", "POST")
        .with_header("access-control-request-headers", "authorization,idempotency-key");
    let preflight = asked.send(Method::OPTIONS, CHECKOUT, None).await?;
    assert_eq!((preflight.status.as_u16(), preflight.bytes.len()), (204, 0));
    assert_eq!(preflight.headers["access-control-allow-origin"], "*");
    assert_eq!(
        preflight.headers["access-control-allow-headers"],
        "authorization,idempotency-key"
    );
    assert_eq!(
        preflight.headers["access-control-allow-methods"],
        "GET,HEAD,PUT,PATCH,POST,DELETE"
    );

    let listed = page.get("/api/v1/catalog/category").await?;
    listed.data(200);
    assert_eq!(listed.headers["access-control-allow-origin"], "*");
    let refused = page.get("/api/v1/account/me").await?;
    refused.failed(401, "unauthorized");
    assert_eq!(
        refused.headers["access-control-allow-origin"], "*",
        "a page can read why"
    );
    let plain = nobody.get("/api/v1/catalog/category").await?;
    assert!(!plain.headers.contains_key("access-control-allow-origin"));
    let health = nobody.get("/health").await?;
    assert_eq!(
        (health.status.as_u16(), &health.json),
        (200, &json!({ "status": "ok" }))
    );
    Ok(())
}
