//! From a listing to an order, paid at the door.

use anyhow::Result;
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

    let audit = Audit::open(nexus.database_url()).await?;
    audit.settled().await?;
    audit.books_hold().await
}
