//! What cannot be bought.

use anyhow::Result;
use bytes::Bytes;
use component_tests::{ADDRESS, Audit, Client, Nexus, Person, Shop};
use http::Method;
use serde_json::json;

use crate::{CHECKOUT, CONFIRM, NOBODYS, confirmation, message, statuses, with};

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
    let crowd = with(&whole, "/items", json!(vec![line.clone(); 101]));
    buyer.post(CHECKOUT, crowd).await?.names("items");
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

    // Who moved away while it was for sale could not be paid for it.
    let moved = Person::register(&nexus.client(), "moved").await?;
    let listing = moved.lists("Atlas", "VND", 1).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let move_away = format!("UPDATE account.profile SET country = 'US' WHERE id = '{}'", moved.id);
    assert_eq!(audit.change(&move_away).await?, 1);
    let unpayable = with(&whole, "/items/0/sku_id", json!(listing.sku));
    buyer
        .post(CHECKOUT, unpayable)
        .await?
        .failed(503, "fx_rate_unavailable");
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
