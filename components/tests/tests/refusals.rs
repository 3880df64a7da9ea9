//! What cannot be bought, confirmed or cancelled, in the words clients read; and that a refusal leaves nothing behind.

use anyhow::Result;
use bytes::Bytes;
use component_tests::{ADDRESS, Answer, Audit, Client, Nexus, NexusOptions, Person, Shop};
use futures_util::future::{join, join_all};
use http::Method;
use serde_json::{Value, json};

const CHECKOUT: &str = "/api/v1/order/buyer/checkout";
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
async fn what_cannot_be_bought_is_refused_and_changes_nothing() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;

    bodies_that_are_none(&shop).await?;
    goods_that_are_not_for_sale(&nexus, &shop).await?;
    addresses_and_options(&shop).await?;
    callers_without_a_token(&nexus, &shop).await?;

    assert_eq!(shop.stock().await?, (10, 0));
    audit.settled().await?;
    assert_eq!(audit.count("SELECT count(*) FROM \"order\".payment_session").await?, 0);
    assert_eq!(audit.count("SELECT count(*) FROM \"order\".item").await?, 0);
    audit.books_hold().await?;

    the_last_units(&nexus, &shop).await?;
    audit.settled().await?;
    audit.books_hold().await
}

async fn bodies_that_are_none(shop: &Shop) -> Result<()> {
    let buyer = &shop.buyer.client;
    let whole = shop.checkout(1);
    for broken in ["{", "[]", "[false, \"x\"]", "{} {}", "not json", "\u{1}"] {
        let sent = buyer
            .send_raw(Method::POST, CHECKOUT, Some("application/json"), Bytes::from(broken))
            .await?;
        sent.names("body");
    }
    let form = buyer
        .send_raw(
            Method::POST,
            CHECKOUT,
            Some("application/x-www-form-urlencoded"),
            "a=b".into(),
        )
        .await?;
    form.failed(415, "unsupported_media_type");

    let empty = buyer.send(Method::POST, CHECKOUT, None).await?;
    empty.names("address");
    empty.names("items");
    for (pointer, value, field) in [
        ("/address", json!(5), "address"),
        ("/address", json!(""), "address"),
        ("/address", json!("x".repeat(501)), "address"),
        ("/items", json!([]), "items"),
        ("/items", json!(null), "items"),
        ("/items", json!({}), "items"),
        ("/items/0/sku_id", json!("not-a-uuid"), "items[0].sku_id"),
        (
            "/items/0/sku_id",
            json!("00000000-0000-0000-0000-000000000000"),
            "items[0].sku_id",
        ),
        ("/items/0/quantity", json!("two"), "items[0].quantity"),
        ("/items/0/quantity", json!(1.5), "items[0].quantity"),
        ("/items/0/quantity", json!(0), "items[0].quantity"),
        ("/items/0/quantity", json!(-1), "items[0].quantity"),
        ("/items/0/quantity", json!(100_001), "items[0].quantity"),
        ("/items/0/transport_option", json!(""), "items[0].transport_option"),
        ("/payment_option", json!("x".repeat(101)), "payment_option"),
    ] {
        buyer.post(CHECKOUT, with(&whole, pointer, value)).await?.names(field);
    }
    let mut noted = whole.clone();
    noted["items"][0]["note"] = json!("n".repeat(501));
    buyer.post(CHECKOUT, noted).await?.names("items[0].note");

    let line = whole["items"][0].clone();
    let two = with(&whole, "/items", json!([line, line]));
    buyer
        .post(CHECKOUT, two.clone())
        .await?
        .failed(400, "buy_now_single_sku_only");
    // The same SKU twice is one that cannot be found a second time.
    buyer
        .post(CHECKOUT, with(&two, "/buy_now", json!(false)))
        .await?
        .failed(404, "order_item_not_found");

    buyer
        .post("/api/v1/order/cart", json!({ "sku_id": shop.sku }))
        .await?
        .failed(400, "quantity_param_required");
    buyer
        .post("/api/v1/order/cart", json!({ "sku_id": shop.sku, "quantity": 1001 }))
        .await?
        .names("quantity");
    let unknown = json!({ "sku_id": NOBODYS, "quantity": 1 });
    buyer
        .post("/api/v1/order/cart", unknown)
        .await?
        .failed(404, "order_item_not_found");
    Ok(())
}

async fn goods_that_are_not_for_sale(nexus: &Nexus, shop: &Shop) -> Result<()> {
    let buyer = &shop.buyer.client;
    let whole = shop.checkout(1);
    let unknown = with(&whole, "/items/0/sku_id", json!(NOBODYS));
    buyer.post(CHECKOUT, unknown).await?.failed(404, "order_item_not_found");
    shop.seller
        .client
        .post(CHECKOUT, whole.clone())
        .await?
        .failed(409, "own_product");

    let enabled = |is_enabled: bool| json!({ "id": shop.spu, "is_enabled": is_enabled });
    shop.seller
        .client
        .patch("/api/v1/catalog/product-spu", enabled(false))
        .await?
        .data(200);
    buyer
        .post(CHECKOUT, whole.clone())
        .await?
        .failed(409, "product_disabled");
    shop.seller
        .client
        .patch("/api/v1/catalog/product-spu", enabled(true))
        .await?
        .data(200);

    let gone = shop.seller.lists("Gone", "VND", 1).await?;
    shop.seller
        .client
        .delete("/api/v1/catalog/product-sku", Some(json!({ "id": gone.sku })))
        .await?
        .data(200);
    let deleted = with(&whole, "/items/0/sku_id", json!(gone.sku));
    buyer.post(CHECKOUT, deleted).await?.failed(404, "order_item_not_found");

    // Nobody knows where this seller's parcels would leave from.
    let nomad = Person::sign_up(&nexus.client(), "nomad", "VN").await?;
    let listing = nomad.lists("Tent", "VND", 1).await?;
    let homeless = with(&whole, "/items/0/sku_id", json!(listing.sku));
    buyer.post(CHECKOUT, homeless).await?.failed(404, "no_default_contact");

    // There are no exchange rates, and no checkout in two currencies.
    let abroad = Person::sign_up(&nexus.client(), "abroad", "US").await?;
    let listing = abroad.lists("Mug", "USD", 1).await?;
    let dollars = with(&whole, "/items/0/sku_id", json!(listing.sku));
    buyer
        .post(CHECKOUT, dollars.clone())
        .await?
        .failed(503, "fx_rate_unavailable");
    let mixed = json!([whole["items"][0], dollars["items"][0]]);
    let mixed = with(&with(&whole, "/items", mixed), "/buy_now", json!(false));
    buyer.post(CHECKOUT, mixed).await?.failed(400, "mixed_currency_cart");
    Ok(())
}

async fn addresses_and_options(shop: &Shop) -> Result<()> {
    let buyer = &shop.buyer.client;
    let whole = shop.checkout(1);
    for (address, code) in [
        ("   ", "empty_address"),
        ("350 Fifth Avenue, New York, United States", "address_country_mismatch"),
        ("somewhere over the rainbow", "address_country_unresolved"),
    ] {
        let refused = buyer.post(CHECKOUT, with(&whole, "/address", json!(address))).await?;
        refused.failed(400, code);
    }
    let abroad = with(&whole, "/address", json!("350 Fifth Avenue, New York, United States"));
    let refused = buyer.post(CHECKOUT, abroad).await?;
    let told = message(refused.failed(400, "address_country_mismatch")).to_owned();
    assert!(
        told.contains("address resolves to US, buyer country is VN"),
        "the web client parses this: {told}"
    );

    let refused = buyer
        .post(CHECKOUT, with(&whole, "/payment_option", json!("barter")))
        .await?;
    assert!(message(refused.failed(400, "unknown_payment_option")).contains("barter"));
    let refused = buyer
        .post(CHECKOUT, with(&whole, "/items/0/transport_option", json!("pigeon")))
        .await?;
    assert!(message(refused.failed(400, "unknown_transport_option")).contains("pigeon"));

    // The balance covers nothing yet, whether or not it may be used.
    let mut unpaid = whole.clone();
    for use_wallet in [true, false] {
        unpaid["use_wallet"] = json!(use_wallet);
        unpaid["payment_option"] = json!("");
        buyer
            .post(CHECKOUT, unpaid.clone())
            .await?
            .failed(402, "ORDER_WALLET_INSUFFICIENT");
    }
    Ok(())
}

async fn callers_without_a_token(nexus: &Nexus, shop: &Shop) -> Result<()> {
    let nobody = nexus.client();
    let signed = shop.buyer.client.get("/api/v1/account/me").await?;
    signed.data(200);
    let forged = [
        // Unsigned, signed by somebody else, and no token at all.
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiIwMTkwYTViMi03YzExLTdkM2UtOGYwMC0wMTIzNDU2Nzg5YWIiLCJleHAiOjk5OTk5OTk5OTl9.",
        "eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiIwMTkwYTViMi03YzExLTdkM2UtOGYwMC0wMTIzNDU2Nzg5YWIiLCJleHAiOjk5OTk5OTk5OTl9.AAAA",
        "garbage",
    ];
    let mut strangers = vec![nobody.clone()];
    strangers.extend(forged.iter().map(|token| nobody.signed_in(token)));
    for stranger in &strangers {
        let refused = stranger.post(CHECKOUT, shop.checkout(1)).await?;
        refused.failed(401, "unauthorized");
        assert_eq!(refused.headers["www-authenticate"], "Bearer");
        for path in [
            "order/cart",
            "order/buyer/pending-items",
            "order/seller/pending",
            "account/me",
            "account/contact",
        ] {
            stranger
                .get(&format!("/api/v1/{path}"))
                .await?
                .failed(401, "unauthorized");
        }
        stranger
            .post(CONFIRM, confirmation(&[1]))
            .await?
            .failed(401, "unauthorized");
    }
    // A bad body is told before a missing token.
    nobody.post(CHECKOUT, json!({})).await?.names("items");
    Ok(())
}

/// What is left goes to one buyer, and of a checkout that lacks one line nothing is held.
async fn the_last_units(nexus: &Nexus, shop: &Shop) -> Result<()> {
    let refused = shop.buyer.client.post(CHECKOUT, shop.checkout(11)).await?;
    let told = message(refused.failed(409, "out_of_stock")).to_owned();
    assert!(told.contains("Enamel pot - Blue: requested 11, available 10"), "{told}");
    assert_eq!(shop.stock().await?, (10, 0));

    let rare = shop.seller.lists("Rare pot", "VND", 1).await?;
    let plenty = shop.checkout(3)["items"][0].clone();
    let scarce = json!({ "sku_id": rare.sku, "quantity": 2, "transport_option": "standard" });
    let cart = json!({ "address": ADDRESS, "payment_option": "system-cod", "items": [plenty, scarce] });
    shop.buyer
        .client
        .post(CHECKOUT, cart)
        .await?
        .failed(409, "out_of_stock");
    assert_eq!(shop.stock().await?, (10, 0), "the line that was there is not held");
    assert_eq!(shop.seller.stock_of(&rare.sku).await?, (1, 0));

    let rival = Person::register(&nexus.client(), "rival").await?;
    let mut one = shop.checkout(1);
    one["items"][0]["sku_id"] = json!(rare.sku);
    let buyers = [&shop.buyer.client, &rival.client];
    let answers = statuses(buyers.map(|buyer: &Client| buyer.post(CHECKOUT, one.clone()))).await?;
    let (sold, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((sold.len(), refused.len()), (1, 1), "{answers:?}");
    refused[0].failed(409, "out_of_stock");
    assert_eq!(shop.seller.stock_of(&rare.sku).await?, (0, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_confirmed_cancelled_or_rejected_once_and_by_its_own_people() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 20).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let stranger = Person::register(&nexus.client(), "stranger").await?;

    strangers_find_nothing(&shop, &stranger).await?;
    cancelled_lines_give_their_stock_back(&shop).await?;
    rejected_lines_give_their_stock_back(&shop).await?;
    confirmed_lines_stay(&shop, &stranger).await?;
    lines_that_do_not_belong_together(&shop, &stranger).await?;
    audit.settled().await?;
    audit.books_hold().await?;

    races_have_one_winner(&shop).await?;
    audit.settled().await?;
    audit.books_hold().await
}

async fn strangers_find_nothing(shop: &Shop, stranger: &Person) -> Result<()> {
    let (session, item) = place(shop, &shop.buyer, 1).await?;
    let cancel = format!("{CHECKOUT}/{session}/cancel");
    for other in [&stranger.client, &shop.seller.client] {
        other.post(&cancel, json!({})).await?.failed(404, "entity_not_found");
        let path = format!("/api/v1/order/buyer/pending-items/{item}");
        other.delete(&path, None).await?.failed(404, "order_item_not_found");
        assert_eq!(
            other.get("/api/v1/order/buyer/pending-items").await?.data(200),
            &json!([])
        );
    }
    for other in [&stranger.client, &shop.buyer.client] {
        other
            .post(CONFIRM, confirmation(&[item]))
            .await?
            .failed(403, "item_not_owned_by_seller");
        other
            .post(REJECT, json!({ "item_ids": [item] }))
            .await?
            .failed(403, "item_not_owned_by_seller");
        assert_eq!(other.get("/api/v1/order/seller/pending").await?.data(200), &json!([]));
    }
    assert_eq!(shop.stock().await?, (19, 1), "nothing of it happened");

    let buyer = &shop.buyer.client;
    buyer
        .post(&format!("{CHECKOUT}/{NOBODYS}/cancel"), json!({}))
        .await?
        .failed(404, "entity_not_found");
    buyer
        .post(&format!("{CHECKOUT}/12/cancel"), json!({}))
        .await?
        .names("sessionID");
    buyer
        .delete("/api/v1/order/buyer/pending-items/999999", None)
        .await?
        .failed(404, "order_item_not_found");
    buyer
        .delete("/api/v1/order/buyer/pending-items/abc", None)
        .await?
        .names("id");
    buyer
        .get(&format!("/api/v1/order/buyer/orders/{NOBODYS}"))
        .await?
        .failed(404, "order_not_found");

    let seller = &shop.seller.client;
    seller
        .post(CONFIRM, confirmation(&[999_999]))
        .await?
        .failed(404, "order_item_not_found");
    seller
        .post(CONFIRM, confirmation(&[item, item]))
        .await?
        .failed(404, "order_item_not_found");
    seller.post(CONFIRM, confirmation(&[])).await?.names("item_ids");
    seller.post(CONFIRM, json!({})).await?.names("item_ids");
    seller
        .post(CONFIRM, json!({ "item_ids": ["x"] }))
        .await?
        .names("item_ids[0]");
    seller.post(REJECT, json!({ "item_ids": [] })).await?.names("item_ids");
    seller
        .post(REJECT, json!({ "item_ids": [999_999] }))
        .await?
        .failed(404, "order_item_not_found");
    let barter = json!({ "item_ids": [item], "payment_option": "barter" });
    seller
        .post(CONFIRM, barter)
        .await?
        .failed(400, "unknown_payment_option");

    buyer.post(&cancel, json!({})).await?.data(200);
    assert_eq!(shop.stock().await?, (20, 0));
    buyer
        .post(&cancel, json!({}))
        .await?
        .failed(410, "payment_session_closed");
    Ok(())
}

async fn cancelled_lines_give_their_stock_back(shop: &Shop) -> Result<()> {
    let (_, item) = place(shop, &shop.buyer, 4).await?;
    assert_eq!(shop.stock().await?, (16, 4));
    let path = format!("/api/v1/order/buyer/pending-items/{item}");
    shop.buyer.client.delete(&path, None).await?.data(200);
    assert_eq!(shop.stock().await?, (20, 0));

    shop.buyer
        .client
        .delete(&path, None)
        .await?
        .failed(409, "item_already_cancelled");
    shop.seller
        .client
        .post(CONFIRM, confirmation(&[item]))
        .await?
        .failed(409, "item_already_cancelled");
    let reject = json!({ "item_ids": [item] });
    shop.seller
        .client
        .post(REJECT, reject)
        .await?
        .failed(409, "item_already_cancelled");
    assert_eq!(shop.stock().await?, (20, 0), "given back once");

    let cancelled = shop.buyer.client.get("/api/v1/order/buyer/cancelled-items").await?;
    let line = &cancelled.data(200)[0];
    assert_eq!(
        (&line["id"], &line["cancelled_by_id"]),
        (&json!(item), &json!(shop.buyer.id))
    );
    assert_eq!(line["payment_session"]["status"], "Cancelled");
    Ok(())
}

async fn rejected_lines_give_their_stock_back(shop: &Shop) -> Result<()> {
    let (_, item) = place(shop, &shop.buyer, 5).await?;
    assert_eq!(shop.stock().await?, (15, 5));
    let reject = json!({ "item_ids": [item] });
    shop.seller.client.post(REJECT, reject.clone()).await?.data(200);
    assert_eq!(shop.stock().await?, (20, 0));

    shop.seller
        .client
        .post(REJECT, reject)
        .await?
        .failed(409, "item_already_cancelled");
    assert_eq!(shop.stock().await?, (20, 0), "given back once");
    let cancelled = shop.buyer.client.get("/api/v1/order/buyer/cancelled-items").await?;
    let line = &cancelled.data(200)[0];
    assert_eq!(
        (&line["id"], &line["cancelled_by_id"]),
        (&json!(item), &json!(shop.seller.id))
    );
    Ok(())
}

async fn confirmed_lines_stay(shop: &Shop, stranger: &Person) -> Result<()> {
    let (session, item) = place(shop, &shop.buyer, 2).await?;
    shop.seller.client.post(CONFIRM, confirmation(&[item])).await?.data(200);

    let seller = &shop.seller.client;
    seller
        .post(CONFIRM, confirmation(&[item]))
        .await?
        .failed(409, "item_already_confirmed");
    seller
        .post(REJECT, json!({ "item_ids": [item] }))
        .await?
        .failed(409, "item_already_confirmed");
    let path = format!("/api/v1/order/buyer/pending-items/{item}");
    shop.buyer
        .client
        .delete(&path, None)
        .await?
        .failed(409, "item_already_confirmed");
    let cancel = format!("{CHECKOUT}/{session}/cancel");
    shop.buyer
        .client
        .post(&cancel, json!({}))
        .await?
        .failed(409, "item_already_confirmed");
    assert_eq!(shop.stock().await?, (18, 2), "sold");

    let orders = shop.buyer.client.get("/api/v1/order/buyer/pending-orders").await?;
    let order = orders.data(200)[0]["id"].as_str().unwrap_or_default().to_owned();
    let (bought, sold) = (
        format!("/api/v1/order/buyer/orders/{order}"),
        format!("/api/v1/order/seller/confirmed/{order}"),
    );
    shop.buyer.client.get(&bought).await?.data(200);
    shop.seller.client.get(&sold).await?.data(200);
    for (client, path) in [
        (&stranger.client, &bought),
        (&stranger.client, &sold),
        (&shop.seller.client, &bought),
        (&shop.buyer.client, &sold),
    ] {
        client.get(path).await?.failed(404, "order_not_found");
    }
    Ok(())
}

async fn lines_that_do_not_belong_together(shop: &Shop, stranger: &Person) -> Result<()> {
    let (_, first) = place(shop, &shop.buyer, 1).await?;
    let (_, of_another) = place(shop, stranger, 1).await?;
    let seller = &shop.seller.client;
    seller
        .post(CONFIRM, confirmation(&[first, of_another]))
        .await?
        .failed(400, "items_not_same_buyer");

    let newest = async |body: Value| -> Result<i64> {
        shop.buyer.client.post(CHECKOUT, body).await?.data(200);
        let pending = shop
            .buyer
            .client
            .get("/api/v1/order/buyer/pending-items?limit=1")
            .await?;
        Ok(pending.data(200)[0]["id"].as_i64().expect("a number"))
    };
    let elsewhere = newest(with(&shop.checkout(1), "/address", json!("1 Le Loi, Hue, Vietnam"))).await?;
    seller
        .post(CONFIRM, confirmation(&[first, elsewhere]))
        .await?
        .failed(400, "items_not_same_address");
    let faster = newest(with(&shop.checkout(1), "/items/0/transport_option", json!("express"))).await?;
    seller
        .post(CONFIRM, confirmation(&[first, faster]))
        .await?
        .failed(400, "items_transport_mismatch");

    let all = json!({ "item_ids": [first, of_another, elsewhere, faster] });
    seller.post(REJECT, all).await?.data(200);
    assert_eq!(shop.stock().await?, (18, 2));
    Ok(())
}

async fn races_have_one_winner(shop: &Shop) -> Result<()> {
    let (_, item) = place(shop, &shop.buyer, 1).await?;
    let seller = &shop.seller.client;
    let answers = statuses((0..4).map(|_| seller.post(CONFIRM, confirmation(&[item])))).await?;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1, "{answers:?}");
    for answer in lost {
        answer.failed(409, "item_already_confirmed");
    }
    assert_eq!(shop.stock().await?, (17, 3));

    // A confirmation and a cancellation of one line: whichever comes first, the other is told so.
    let path = |item: i64| format!("/api/v1/order/buyer/pending-items/{item}");
    let mut sold = 3;
    for _ in 0..4 {
        let (_, item) = place(shop, &shop.buyer, 1).await?;
        let path = path(item);
        let (confirmed, cancelled) = join(
            seller.post(CONFIRM, confirmation(&[item])),
            shop.buyer.client.delete(&path, None),
        )
        .await;
        let (confirmed, cancelled) = (confirmed?, cancelled?);
        if confirmed.status == 200 {
            cancelled.failed(409, "item_already_confirmed");
            sold += 1;
        } else {
            confirmed.failed(409, "item_already_cancelled");
            cancelled.data(200);
        }
        assert_eq!(shop.stock().await?, (20 - sold, sold));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_nobody_confirms_ends_at_its_deadline() -> Result<()> {
    let environment = vec![("SPIN_VARIABLE_SESSION_SECONDS".to_owned(), "2".to_owned())];
    let nexus = Nexus::start_with(NexusOptions { environment }).await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    shop.buyer.client.post(CHECKOUT, shop.checkout(3)).await?.data(200);

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
