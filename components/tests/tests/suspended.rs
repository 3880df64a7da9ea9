//! An account that an operator has suspended acts nowhere, from the next request on; and each request asks once whether it may.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use component_tests::{ADDRESS, Audit, CHECKOUT, Client, Nexus, Person, Shop, workspace};
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

/// A request: its method, its path below `/api/v1/`, its body.
type Asked = (Method, String, Value);

fn asked_for(method: Method, path: impl Into<String>, body: Value) -> Asked {
    (method, path.into(), body)
}

/// Everything that asks who calls, with bodies that would do something if the account might.
fn requests(shop: &Shop) -> Vec<Asked> {
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
    let contact = json!({ "full_name": "x", "phone": "1", "address": ADDRESS, "address_type": "Home" });
    let units = json!({ "serial_ids": ["a"], "status": "Inactive" });
    let get = |path: &str| asked_for(Method::GET, path, Value::Null);
    let post = |path: &str, body: Value| asked_for(Method::POST, path, body);
    let patch = |path: &str, body: Value| asked_for(Method::PATCH, path, body);
    let delete = |path: &str, body: Value| asked_for(Method::DELETE, path, body);
    vec![
        get("account/me"),
        patch("account/me", json!({ "name": "x" })),
        get(&format!("account?account_id={}", shop.buyer.id)),
        patch("account/profile/country", json!({ "country": "US" })),
        get("account/wallet"),
        get("account/contact"),
        get(&format!("account/contact/{NOBODYS}")),
        post("account/contact", contact),
        patch("account/contact", json!({ "contact_id": NOBODYS, "phone": "2" })),
        delete("account/contact", json!({ "contact_id": NOBODYS })),
        get("catalog/product-spu?my_products=true"),
        get("catalog/product-card"),
        post("catalog/product-spu", listing),
        patch("catalog/product-spu", json!({ "id": shop.spu, "name": "x" })),
        delete(&format!("catalog/product-spu/{}", shop.spu), Value::Null),
        post("catalog/product-sku", variant),
        patch("catalog/product-sku", json!({ "id": shop.sku, "price": 1 })),
        delete("catalog/product-sku", json!({ "id": shop.sku })),
        get("catalog/tag/coffee"),
        patch("inventory/stock", with(&stock, "serial_required", json!(true))),
        post("inventory/stock/import", with(&stock, "change", json!(1))),
        get(&format!("inventory/stock/history?{owner}")),
        get("inventory/serial?stock_id=1"),
        patch("inventory/serial", units),
        get("order/cart"),
        post("order/cart", json!({ "sku_id": shop.sku, "quantity": 1 })),
        delete("order/cart", Value::Null),
        post(
            "order/buyer/quote-transport",
            json!({ "address": ADDRESS, "items": [line] }),
        ),
        post("order/buyer/checkout", shop.checkout(1)),
        post(&format!("order/buyer/checkout/{NOBODYS}/cancel"), json!({})),
        post(&format!("order/buyer/checkout/{NOBODYS}/payment-url"), json!({})),
        get(&format!("order/buyer/checkout-summary/{NOBODYS}")),
        get("order/buyer/pending-items"),
        delete("order/buyer/pending-items/1", Value::Null),
        get("order/buyer/cancelled-items"),
        get("order/buyer/pending-orders"),
        get("order/buyer/completed-orders"),
        get("order/buyer/cancelled-orders"),
        get(&format!("order/buyer/orders/{NOBODYS}")),
        get("order/seller/pending"),
        post(
            "order/seller/pending/confirm",
            json!({ "item_ids": [1], "payment_option": "system-cod" }),
        ),
        post(&format!("order/seller/pending/confirm/{NOBODYS}/cancel"), json!({})),
        post(
            &format!("order/seller/pending/confirm/{NOBODYS}/payment-url"),
            json!({}),
        ),
        post("order/seller/pending/reject", json!({ "item_ids": [1] })),
        get("order/seller/confirmed"),
        get(&format!("order/seller/confirmed/{NOBODYS}")),
        get("common/stream"),
    ]
}

/// Everything that is open to everybody: with a token or without, suspended or not; and the status it has.
fn public(shop: &Shop, category: &str) -> Vec<(u16, Asked)> {
    let get = |path: &str| (200, asked_for(Method::GET, path, Value::Null));
    let post = |status: u16, path: &str, body: Value| (status, asked_for(Method::POST, path, body));
    let credentials = json!({ "id": "buyer", "password": "correct-horse" });
    let nameless = json!({ "password": "correct-horse", "country": "VN" });
    vec![
        post(200, "account/auth/login/basic", credentials),
        post(400, "account/auth/register/basic", nameless),
        post(401, "account/auth/refresh", json!({ "refresh_token": "none" })),
        get(&format!("catalog/product-detail?id={}", shop.spu)),
        get(&format!("catalog/product-card/{}", shop.spu)),
        get(&format!("catalog/product-spu/{}", shop.spu)),
        get(&format!("catalog/product-sku?spu_id={}", shop.spu)),
        get("catalog/category?limit=1"),
        get(&format!("catalog/category/{category}")),
        get("catalog/tag"),
        get(&format!("inventory/stock?ref_id={}&ref_type=ProductSku", shop.sku)),
        get("common/option?type=payment"),
        post(200, "common/geocode/forward", json!({ "address": ADDRESS })),
        post(
            200,
            "common/geocode/reverse",
            json!({ "latitude": 14.06, "longitude": 108.28 }),
        ),
        get("common/geocode/search?q=viet"),
        post(404, "payment/webhook/sandbox", json!({})),
        post(503, "transport/webhook/flat", json!({})),
    ]
}

/// The lines of the route tables of all modules, as their sources have them: `METHOD /api/v1/path`, and who may ask.
type Tables = BTreeMap<String, String>;

fn tables() -> Result<Tables> {
    let mut tables = Tables::new();
    for module in ["account", "catalog", "common", "inventory", "order"] {
        let source = workspace().join("components").join(module).join("src/http.rs");
        let source = std::fs::read_to_string(&source).with_context(|| source.display().to_string())?;
        let before = tables.len();
        for line in source.lines().filter(|line| line.contains("\" for ")) {
            let (method, rest) = line.trim().split_once(" \"").context("a method")?;
            let (pattern, rest) = rest.split_once("\" for ").context("a pattern")?;
            let (who, _) = rest.split_once(" => ").context("a handler")?;
            let before = tables.insert(format!("{method} {pattern}"), who.to_owned());
            ensure!(before.is_none(), "{line} stands twice");
        }
        ensure!(tables.len() > before, "{module} has no table that can be read");
    }
    Ok(tables)
}

/// The line of the tables that answers a request: a literal segment wins over a parameter.
fn line_of<'t>(tables: &'t Tables, (method, path, _): &Asked) -> Result<&'t str> {
    let path = path.split('?').next().unwrap_or_default();
    let asked = format!("{method} /api/v1/{path}");
    let answers = |line: &&String| {
        line.split('/').count() == asked.split('/').count()
            && line
                .split('/')
                .zip(asked.split('/'))
                .all(|(pattern, part)| pattern == part || pattern.starts_with(':'))
    };
    let line = tables
        .keys()
        .filter(answers)
        .min_by_key(|line| line.matches(':').count());
    line.map(String::as_str)
        .with_context(|| format!("nothing answers {asked}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_acts_nowhere_until_an_operator_says_otherwise() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let seller = &shop.seller.client;
    stands(&audit, &shop.seller, "Suspended").await?;
    let category = nexus.client().get("/api/v1/catalog/category?limit=1").await?;
    let category = category.data(200)[0]["id"].as_str().unwrap_or_default().to_owned();
    let (private, public) = (requests(&shop), public(&shop, &category));
    // Each route is on one of the two sides, and asked for once.
    let tables = tables()?;
    let mut lines = Vec::new();
    for request in private.iter().chain(public.iter().map(|(_, request)| request)) {
        lines.push(line_of(&tables, request)?);
    }
    lines.sort_unstable();
    assert_eq!(lines, tables.keys().map(String::as_str).collect::<Vec<_>>());

    let ask = async |client: &Client, (method, path, body): &Asked| {
        let body = (!body.is_null()).then(|| body.clone());
        client.send(method.clone(), &format!("/api/v1/{path}"), body).await
    };
    for request in &private {
        let answer = ask(seller, request).await?;
        let (method, path, _) = request;
        assert_eq!(
            answer.json["error"]["code"], "account_suspended",
            "{method} {path}: {}",
            answer.json
        );
        answer.failed(403, "account_suspended");
    }
    // The table says who may ask. Nobody is asked for a token before a body that is none is told.
    let nobody = seller.signed_out();
    for request in &private {
        let (method, path, body) = request;
        let status = ask(&nobody, request).await?.status;
        let expected = if tables[line_of(&tables, request)?] == "account" {
            401
        } else {
            200
        };
        assert_eq!(status, expected, "{method} {path}");
        if body.as_object().is_some_and(|fields| !fields.is_empty()) {
            let spoiled = asked_for(method.clone(), path.clone(), json!("no object"));
            ask(&nobody, &spoiled).await?.failed(400, "validation");
        }
    }
    for (_, request) in &public {
        assert_eq!(tables[line_of(&tables, request)?], "anyone", "{request:?}");
    }
    assert_eq!(shop.stock().await?, (10, 0));

    // What is open to everybody is open to them, with the token or without; so is it to those who come with none.
    for (status, request) in &public {
        for client in [seller, &seller.signed_out()] {
            let answer = ask(client, request).await?;
            let (method, path, _) = request;
            assert_eq!(answer.status, *status, "{method} {path}: {}", answer.json);
        }
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
