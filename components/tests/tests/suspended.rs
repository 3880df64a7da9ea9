//! An account that an operator has suspended acts nowhere, from the next request on; and each request asks once whether it may.

use anyhow::{Context, Result};
use component_tests::{ADDRESS, Audit, CHECKOUT, Client, Nexus, Person, Shop};
use http::Method;
use serde_json::{Value, json};

const NOBODYS: &str = "0190a5b2-7c11-7d3e-8f00-0123456789ab";
const SPU: &str = "/api/v1/catalog/product-spu";

/// An operator's word: `Suspended` or `Active`.
async fn stands(audit: &Audit, person: &Person, status: &str) -> Result<()> {
    let change = format!(
        "UPDATE account.account SET status = '{status}' WHERE id = '{}'",
        person.id
    );
    assert_eq!(audit.change(&change).await?, 1);
    Ok(())
}

/// Everything that needs a token, with bodies that would do something if the account might.
fn requests(shop: &Shop) -> Vec<(Method, String, Value)> {
    let stock = json!({ "ref_id": shop.sku, "ref_type": "ProductSku" });
    let owner = format!("ref_id={}&ref_type=ProductSku", shop.sku);
    let with = |body: &Value, key: &str, value: Value| {
        let mut body = body.clone();
        body[key] = value;
        body
    };
    let listing = json!({
        "category_id": NOBODYS, "name": "x", "description": "x", "currency": "VND", "is_enabled": true, "tags": [],
    });
    let variant = json!({ "spu_id": shop.spu, "price": 1, "package_details": {} });
    let line = json!({ "sku_id": shop.sku, "quantity": 1, "transport_option": "standard" });
    let (get, post, patch, delete) = (Method::GET, Method::POST, Method::PATCH, Method::DELETE);
    let none = Value::Null;
    let of = |method: &Method, path: &str, body: &Value| (method.clone(), format!("/api/v1/{path}"), body.clone());
    vec![
        of(&get, "catalog/product-spu?my_products=true", &none),
        of(&get, "catalog/product-card", &none),
        of(&post, "catalog/product-spu", &listing),
        of(&patch, "catalog/product-spu", &json!({ "id": shop.spu, "name": "x" })),
        of(&delete, &format!("catalog/product-spu/{}", shop.spu), &none),
        of(&post, "catalog/product-sku", &variant),
        of(&patch, "catalog/product-sku", &json!({ "id": shop.sku, "price": 1 })),
        of(&delete, "catalog/product-sku", &json!({ "id": shop.sku })),
        of(&get, "catalog/tag/coffee", &none),
        of(&patch, "inventory/stock", &with(&stock, "serial_required", json!(true))),
        of(&post, "inventory/stock/import", &with(&stock, "change", json!(1))),
        of(&get, &format!("inventory/stock/history?{owner}"), &none),
        of(&get, "inventory/serial?stock_id=1", &none),
        of(
            &patch,
            "inventory/serial",
            &json!({ "serial_ids": ["a"], "status": "Inactive" }),
        ),
        of(&get, "order/cart", &none),
        of(&post, "order/cart", &json!({ "sku_id": shop.sku, "quantity": 1 })),
        of(&delete, "order/cart", &none),
        of(
            &post,
            "order/buyer/quote-transport",
            &json!({ "address": ADDRESS, "items": [line] }),
        ),
        of(&post, "order/buyer/checkout", &shop.checkout(1)),
        of(&get, "order/buyer/pending-items", &none),
        of(&get, &format!("order/buyer/orders/{NOBODYS}"), &none),
        of(&get, "order/seller/pending", &none),
        of(&post, "order/seller/pending/reject", &json!({ "item_ids": [1] })),
        of(&get, "account/me", &none),
        of(&patch, "account/me", &json!({ "name": "x" })),
        of(&get, &format!("account?account_id={}", shop.buyer.id), &none),
        of(&get, "account/wallet", &none),
        of(&get, "account/contact", &none),
        of(&get, "common/stream", &none),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_acts_nowhere_until_an_operator_says_otherwise() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let seller = &shop.seller.client;
    stands(&audit, &shop.seller, "Suspended").await?;
    for (method, path, body) in requests(&shop) {
        let body = (!body.is_null()).then_some(body);
        let answer = seller.send(method.clone(), &path, body).await?;
        assert_eq!(
            answer.json["error"]["code"], "account_suspended",
            "{method} {path}: {}",
            answer.json
        );
        answer.failed(403, "account_suspended");
    }
    assert_eq!(shop.stock().await?, (10, 0));

    // What is open to everybody is open to them, with the token or without; so is it to those who come with none.
    let public = [
        format!("{SPU}/{}", shop.spu),
        format!("/api/v1/catalog/product-sku?spu_id={}", shop.spu),
        format!("/api/v1/catalog/product-detail?id={}", shop.spu),
        "/api/v1/catalog/category?limit=1".to_owned(),
        "/api/v1/common/option?type=payment".to_owned(),
    ];
    for path in &public {
        seller.get(path).await?.data(200);
        seller.signed_out().get(path).await?.data(200);
    }
    seller.signed_out().get("/api/v1/catalog/product-card").await?.data(200);

    // Nobody else is touched by it, but that nothing of theirs is bought; and it ends with the operator's word.
    let buyer = &shop.buyer.client;
    buyer.get("/api/v1/order/cart").await?.data(200);
    let refused = buyer.post(CHECKOUT, shop.checkout(1)).await?;
    refused.failed(409, "seller_suspended");
    audit.settled().await?;
    assert_eq!(shop.stock().await?, (10, 0));
    stands(&audit, &shop.seller, "Active").await?;
    buyer.post(CHECKOUT, shop.checkout(1)).await?.data(200);
    assert_eq!(shop.stock().await?, (9, 1));
    let renamed = json!({ "id": shop.spu, "name": "Pot" });
    assert_eq!(seller.patch(SPU, renamed).await?.text(200, "name"), "Pot");
    shop.import(1).await?;
    Ok(())
}

/// How often the request that was answered last asked account who calls.
async fn asked(client: &Client, nexus: &Nexus, method: Method, path: &str, body: Value) -> Result<usize> {
    let answer = client.send(method, path, Some(body)).await?;
    answer.data(200);
    let id = answer.headers["x-invocation-id"].to_str()?;
    let shown: Value = serde_json::from_str(&nexus.run(&["invocations", "show", id, "--json"])?)?;
    let journal = shown["journal"].as_array().context("a journal")?;
    let targets = journal.iter().filter_map(|entry| entry["target"].as_str());
    Ok(targets
        .filter(|target| target.contains("shop:account/profiles"))
        .count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_asks_once_whether_its_account_may_act() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let category = nexus.client().get("/api/v1/catalog/category?limit=1").await?.data(200)[0]["id"].clone();
    let listing = json!({
        "category_id": category, "name": "Lid", "description": "Round", "currency": "VND", "is_enabled": true, "tags": [],
    });
    let stock = json!({ "ref_id": shop.sku, "ref_type": "ProductSku", "change": 1 });
    for (method, path, body) in [
        (Method::POST, SPU, listing),
        // The currency is judged by what was asked for already.
        (Method::PATCH, SPU, json!({ "id": shop.spu, "currency": "VND" })),
        (
            Method::PATCH,
            "/api/v1/catalog/product-sku",
            json!({ "id": shop.sku, "price": 7 }),
        ),
        (Method::POST, "/api/v1/inventory/stock/import", stock),
    ] {
        assert_eq!(
            asked(&shop.seller.client, &nexus, method, path, body).await?,
            1,
            "{path}"
        );
    }
    let line = json!({ "sku_id": shop.sku, "quantity": 1 });
    assert_eq!(
        asked(&shop.buyer.client, &nexus, Method::POST, "/api/v1/order/cart", line).await?,
        1
    );
    // Once of who buys, and once of who sells.
    let checkout = shop.checkout(1);
    assert_eq!(
        asked(&shop.buyer.client, &nexus, Method::POST, CHECKOUT, checkout).await?,
        2
    );
    Ok(())
}
