//! From a listing to an order, paid at the door.

use anyhow::{Result, ensure};
use component_tests::{Audit, Nexus, Shop};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_listed_stocked_bought_and_confirmed() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    assert_eq!(shop.stock().await?, (10, 0));

    let options = nexus.client().get("/api/v1/common/option?type=payment").await?;
    assert_eq!(options.data(200)[0]["id"], "system-cod");

    let cart = json!({ "sku_id": shop.sku, "quantity": 3 });
    shop.buyer.client.post("/api/v1/order/cart", cart).await?.data(200);
    let cart = shop.buyer.client.get("/api/v1/order/cart").await?;
    assert_eq!(cart.data(200)[0]["quantity"], 3);

    let mut checkout = shop.checkout(3);
    checkout["buy_now"] = json!(false);
    let placed = shop.buyer.client.post("/api/v1/order/buyer/checkout", checkout).await?;
    let session = placed.data(200)["checkout_session_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(placed.data(200)["payment_url"], "");
    assert!(placed.headers.contains_key("x-invocation-id"));
    assert_eq!(shop.stock().await?, (7, 3));
    let cart = shop.buyer.client.get("/api/v1/order/cart").await?;
    assert_eq!(cart.data(200), &json!([]));

    let pending = shop.buyer.client.get("/api/v1/order/buyer/pending-items").await?;
    let item = &pending.data(200)[0];
    assert_eq!(item["payment_session_id"], session);
    assert_eq!(item["subtotal_amount"], 300_000);
    // 2,400 g, standard: 15,000 and 2,000 for the full kilogram above the first.
    assert_eq!(item["total_amount"], 317_000);

    let waiting = shop.seller.client.get("/api/v1/order/seller/pending").await?;
    let item_id = waiting.data(200)[0]["id"].clone();
    let confirm = json!({ "item_ids": [item_id], "use_wallet": false, "payment_option": "system-cod" });
    let confirmed = shop
        .seller
        .client
        .post("/api/v1/order/seller/pending/confirm", confirm.clone())
        .await?;
    assert_eq!(confirmed.data(200)["payment_url"], "");
    let again = shop
        .seller
        .client
        .post("/api/v1/order/seller/pending/confirm", confirm)
        .await?;
    again.failed(409, "item_already_confirmed");

    let bought = shop.buyer.client.get("/api/v1/order/buyer/pending-orders").await?;
    let sold = shop.seller.client.get("/api/v1/order/seller/confirmed").await?;
    assert_eq!(bought.data(200)[0]["id"], sold.data(200)[0]["id"]);
    assert_eq!(bought.data(200)[0]["total_amount"], 317_000);
    let order = bought.data(200)[0]["id"].as_str().unwrap_or_default().to_owned();
    let detail = shop
        .buyer
        .client
        .get(&format!("/api/v1/order/buyer/orders/{order}"))
        .await?;
    assert_eq!(detail.data(200)["items"][0]["quantity"], 3);

    // A seller finds it by any part of its id, in any case; what means something to a pattern is no part of one.
    let part = order[5..31].to_uppercase();
    let (one, none) = ((1, json!(1)), (0, json!(0)));
    for (search, expected) in [
        (part.as_str(), &one),
        (&order, &one),
        ("", &one),
        ("0190a5b2-7c11-7d3e-8f00-0123456789ab", &none),
        ("%25", &none),
        ("_", &none),
    ] {
        let path = format!("/api/v1/order/seller/confirmed?search={search}");
        let found = shop.seller.client.get(&path).await?;
        let rows = found.data(200).as_array().map_or(0, Vec::len);
        let total = found.json["pagination"]["total"].clone();
        assert_eq!(&(rows, total), expected, "{search}");
    }

    let audit = Audit::open(nexus.database_url()).await?;
    audit.settled().await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_is_cancelled_gives_the_cart_back_what_it_took_and_no_more() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let other = shop.seller.lists("Coffee mill", "VND", 10).await?;
    let buyer = &shop.buyer.client;
    for sku in [&shop.sku, &other.sku] {
        let line = json!({ "sku_id": sku, "quantity": 2 });
        buyer.post("/api/v1/order/cart", line).await?.data(200);
    }
    let mut checkout = shop.checkout(2);
    checkout["buy_now"] = json!(false);
    checkout["items"] = json!([
        { "sku_id": shop.sku, "quantity": 2, "transport_option": "standard" },
        { "sku_id": other.sku, "quantity": 2, "transport_option": "standard" },
    ]);
    let placed = buyer.post("/api/v1/order/buyer/checkout", checkout).await?;
    let session = placed.text(200, "checkout_session_id");
    assert_eq!(buyer.get("/api/v1/order/cart").await?.data(200), &json!([]));

    // One of the lines becomes an order: it does not come back, and what was put in meanwhile is added to.
    let waiting = shop.seller.client.get("/api/v1/order/seller/pending").await?;
    let waiting = waiting.data(200).as_array().map_or(&[][..], Vec::as_slice);
    let taken = waiting.iter().find(|line| line["sku_id"] == other.sku.as_str());
    let confirm = json!({ "item_ids": [taken.map(|line| &line["id"])], "payment_option": "system-cod" });
    let seller = &shop.seller.client;
    seller
        .post("/api/v1/order/seller/pending/confirm", confirm)
        .await?
        .data(200);
    let again = json!({ "sku_id": shop.sku, "quantity": 1 });
    buyer.post("/api/v1/order/cart", again).await?.data(200);
    let cancel = format!("/api/v1/order/buyer/checkout/{session}/cancel");
    buyer.post(&cancel, json!({})).await?.data(200);
    let cart = buyer.get("/api/v1/order/cart").await?;
    let lines = cart.data(200).as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(lines.len(), 1, "{}", cart.json);
    assert_eq!(
        (&lines[0]["sku"]["id"], &lines[0]["quantity"]),
        (&json!(shop.sku), &json!(3))
    );

    let audit = Audit::open(nexus.database_url()).await?;
    audit.settled().await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_has_so_many_lines_and_no_more() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let add = async |sku: &str| {
        let line = json!({ "sku_id": sku, "delta_quantity": 1 });
        shop.buyer.client.post("/api/v1/order/cart", line).await
    };
    add(&shop.sku).await?.data(200);
    // Ninety-nine others, of listings that are gone: they count, and are not shown.
    let others = format!(
        "INSERT INTO \"order\".cart_item (account_id, sku_id, quantity)
         SELECT '{}', gen_random_uuid(), 1 FROM generate_series(1, 99)",
        shop.buyer.id
    );
    ensure!(audit.change(&others).await? == 99);

    let further = shop.seller.lists("Coffee mill", "VND", 10).await?;
    let refused = add(&further.sku).await?;
    assert!(
        refused.failed(409, "cart_full")["message"]
            .to_string()
            .contains("100 lines")
    );
    let set = json!({ "sku_id": further.sku, "quantity": 1 });
    let set = shop.buyer.client.post("/api/v1/order/cart", set).await?;
    set.failed(409, "cart_full");
    // What is in it can be changed, and taken out for something else.
    add(&shop.sku).await?.data(200);
    let cart = shop.buyer.client.get("/api/v1/order/cart").await?;
    assert_eq!(cart.data(200)[0]["quantity"], 2);
    let out = json!({ "sku_id": shop.sku, "quantity": 0 });
    shop.buyer.client.post("/api/v1/order/cart", out).await?.data(200);
    add(&further.sku).await?.data(200);
    Ok(())
}
