//! One `Idempotency-Key`, one effect: whoever repeats a request reads the first answer.

use std::collections::BTreeSet;

use anyhow::Result;
use component_tests::{Audit, Nexus, Person, Shop};
use futures_util::future::join_all;
use http::Method;
use serde_json::json;

const CHECKOUT: &str = "/api/v1/order/buyer/checkout";
const SESSIONS: &str = "SELECT count(*) FROM \"order\".payment_session";

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_reads_the_first_answer() -> Result<()> {
    let mut nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let once = shop.buyer.client.keyed("order-1");

    let first = once.post(CHECKOUT, shop.checkout(2)).await?;
    first.data(200);
    assert!(!first.headers.contains_key("idempotency-replayed"));
    for _ in 0..3 {
        let again = once.post(CHECKOUT, shop.checkout(2)).await?;
        assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(again.headers["x-invocation-id"], first.headers["x-invocation-id"]);
        assert_eq!(again.headers["content-type"], first.headers["content-type"]);
    }
    // The same key as a structured string is the same key.
    let quoted = shop
        .buyer
        .client
        .keyed("\"order-1\"")
        .post(CHECKOUT, shop.checkout(2))
        .await?;
    assert_eq!(quoted.bytes, first.bytes);
    assert_eq!(shop.stock().await?, (8, 2));
    assert_eq!(audit.count(SESSIONS).await?, 1);

    // Another request under the same key is a mistake of the client.
    once.post(CHECKOUT, shop.checkout(3))
        .await?
        .failed(422, "idempotency_key_mismatch");
    once.post(&format!("{CHECKOUT}?x=1"), shop.checkout(2))
        .await?
        .failed(422, "idempotency_key_mismatch");
    // A key is one account's, on one path.
    let rival = Person::register(&nexus.client(), "rival").await?;
    let other = rival.client.keyed("order-1").post(CHECKOUT, shop.checkout(2)).await?;
    assert_ne!(
        other.text(200, "checkout_session_id"),
        first.text(200, "checkout_session_id")
    );
    let cart = || once.post("/api/v1/order/cart", json!({ "sku_id": shop.sku, "quantity": 1 }));
    let laid = cart().await?;
    laid.data(200);
    assert!(!laid.headers.contains_key("idempotency-replayed"));
    let again = cart().await?;
    assert_eq!((again.status, &again.bytes), (laid.status, &laid.bytes));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    once.post("/api/v1/order/cart", json!({ "sku_id": shop.sku, "quantity": 2 }))
        .await?
        .failed(422, "idempotency_key_mismatch");
    let lines = shop.buyer.client.get("/api/v1/order/cart").await?;
    assert_eq!(lines.data(200).as_array().map(Vec::len), Some(1));
    assert_eq!(shop.stock().await?, (6, 4));
    assert_eq!(audit.count(SESSIONS).await?, 2);

    // The answer outlives the host.
    nexus.terminate().await?;
    nexus.restart(component_tests::NexusOptions::default()).await?;
    let once = once.at(nexus.url());
    let after = once.post(CHECKOUT, shop.checkout(2)).await?;
    assert_eq!((after.status, &after.bytes), (first.status, &first.bytes));
    assert_eq!(after.headers["idempotency-replayed"], "true");
    once.post(CHECKOUT, shop.checkout(3))
        .await?
        .failed(422, "idempotency_key_mismatch");
    assert_eq!(audit.count(SESSIONS).await?, 2);
    audit.settled().await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_at_once_are_one_checkout() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 50).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    for round in 1..=4 {
        let once = shop.buyer.client.keyed(&format!("round-{round}"));
        let answers = join_all((0..8).map(|_| once.post(CHECKOUT, shop.checkout(1)))).await;
        let mut bodies = BTreeSet::new();
        for answer in answers {
            let answer = answer?;
            if answer.status == 409 {
                // The first one took its time.
                answer.failed(409, "idempotency_key_in_use");
                assert!(answer.headers.contains_key("retry-after"));
            } else {
                answer.data(200);
                bodies.insert(answer.bytes);
            }
        }
        assert_eq!(bodies.len(), 1, "all read the same answer");
        let later = once.post(CHECKOUT, shop.checkout(1)).await?;
        assert!(bodies.contains(&later.bytes));
        assert_eq!(shop.stock().await?, (50 - round, round));
        assert_eq!(audit.count(SESSIONS).await?, round);
    }
    audit.settled().await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_by_what_happened_and_by_nothing_else() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;

    // What was refused before anything happened can be sent again under the same key.
    let once = shop.buyer.client.keyed("later");
    let enabled = |is_enabled: bool| json!({ "id": shop.spu, "is_enabled": is_enabled });
    shop.seller
        .client
        .patch("/api/v1/catalog/product-spu", enabled(false))
        .await?
        .data(200);
    for _ in 0..2 {
        let refused = once.post(CHECKOUT, shop.checkout(1)).await?;
        refused.failed(409, "product_disabled");
        assert!(!refused.headers.contains_key("idempotency-replayed"));
    }
    once.post(CHECKOUT, json!({})).await?.names("items");
    nexus
        .client()
        .keyed("later")
        .post(CHECKOUT, shop.checkout(1))
        .await?
        .failed(401, "unauthorized");
    shop.seller
        .client
        .patch("/api/v1/catalog/product-spu", enabled(true))
        .await?
        .data(200);
    let placed = once.post(CHECKOUT, shop.checkout(1)).await?;
    placed.data(200);
    assert!(!placed.headers.contains_key("idempotency-replayed"));

    // What was begun and undone is answered as it was, although it would succeed by now.
    let undone = shop.buyer.client.keyed("too-many");
    let first = undone.post(CHECKOUT, shop.checkout(12)).await?;
    first.failed(409, "out_of_stock");
    assert!(!first.headers.contains_key("idempotency-replayed"), "its own answer");
    shop.import(10).await?;
    let again = undone.post(CHECKOUT, shop.checkout(12)).await?;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    shop.buyer
        .client
        .keyed("enough")
        .post(CHECKOUT, shop.checkout(12))
        .await?
        .data(200);
    assert_eq!(shop.stock().await?, (7, 13));

    // A read is a read, whatever key it carries.
    for key in ["later", "\"unclosed", ""] {
        let read = shop.buyer.client.keyed(key).get("/api/v1/order/cart").await?;
        read.data(200);
        assert!(!read.headers.contains_key("idempotency-replayed"));
    }
    for key in ["", "\"\"", "\"unclosed", "two keys", "a,b", &"x".repeat(256)] {
        let refused = shop.buyer.client.keyed(key).post(CHECKOUT, shop.checkout(1)).await?;
        refused.failed(400, "validation");
    }
    let twice = shop.buyer.client.keyed("a").with_header("idempotency-key", "b");
    twice.post(CHECKOUT, shop.checkout(1)).await?.failed(400, "validation");
    shop.buyer
        .client
        .keyed(&"x".repeat(255))
        .post(CHECKOUT, shop.checkout(1))
        .await?
        .data(200);

    // Other methods that change something have keys as well.
    let pending = shop
        .buyer
        .client
        .get("/api/v1/order/buyer/pending-items?limit=1")
        .await?;
    let path = format!("/api/v1/order/buyer/pending-items/{}", pending.data(200)[0]["id"]);
    let once = shop.buyer.client.keyed("away");
    let first = once.send(Method::DELETE, &path, None).await?;
    first.data(200);
    let again = once.send(Method::DELETE, &path, None).await?;
    assert_eq!(
        (again.status, &again.bytes),
        (first.status, &first.bytes),
        "not `item_already_cancelled`"
    );
    audit.settled().await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_answer_is_given_once_and_its_request_done_once() -> Result<()> {
    const REGISTER: &str = "/api/v1/account/auth/register/basic";
    let mut nexus = Nexus::start().await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let body = json!({ "username": "linh", "password": "correct-horse", "country": "VN" });
    let once = nexus.client().keyed("sign-up");
    let first = once.post(REGISTER, body.clone()).await?;
    first.data(201);
    audit.settled().await?;

    let spent = async |once: &component_tests::Client| {
        let again = once.post(REGISTER, body.clone()).await?;
        let message = again.failed(409, "idempotency_key_spent")["message"].to_string();
        assert!(message.contains("has completed"), "{message}");
        assert_eq!(again.headers["x-invocation-id"], first.headers["x-invocation-id"]);
        assert!(
            !again.headers.contains_key("retry-after"),
            "there is nothing to wait for"
        );
        Ok::<_, anyhow::Error>(())
    };
    spent(&once).await?;
    nexus.kill()?;
    nexus.restart(component_tests::NexusOptions::default()).await?;
    spent(&once.at(nexus.url())).await?;
    let other = json!({ "username": "mai", "password": "correct-horse", "country": "VN" });
    once.at(nexus.url())
        .post(REGISTER, other)
        .await?
        .failed(422, "idempotency_key_mismatch");
    assert_eq!(audit.count("SELECT count(*) FROM account.account").await?, 1);
    audit.books_hold().await
}
