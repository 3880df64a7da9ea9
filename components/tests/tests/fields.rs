//! The keys of every answer that existing clients read, nested ones too, each read once over HTTP: what the clients' contract names, and
//! apart from it what is ours besides. One that is missing breaks a client; one that is new is written down here.

use std::collections::BTreeSet;

use anyhow::Result;
use component_tests::{Answer, CHECKOUT, CONFIRM, Nexus, Shop};
use serde_json::{Value, json};

const TOKENS: &str = "access_token refresh_token";
const PROFILE: &str = "id date_created date_updated status phone email username gender name date_of_birth email_verified \
     phone_verified country currency default_contact_id avatar_url description";
const CONTACT: &str =
    "id account_id full_name phone phone_verified address_type date_created address latitude longitude";
const CATEGORY: &str = "id name description parent_id resources";
const TAG: &str = "id account_id name description";
const PRODUCT_SPU: &str = "id account_id slug category category.id category.name category.description category.parent_id \
     featured_sku_id name description is_enabled currency date_created date_updated rating rating.score rating.total \
     rating.breakdown tags resources specifications specifications.name specifications.value is_stale_embedding is_stale_metadata";
const PRODUCT_SKU: &str =
    "id spu_id price combinable date_created stock attributes attributes.name attributes.value package_details";
const PRODUCT_CARD: &str = "id slug seller_id category_id name description is_active currency date_created date_updated \
     date_deleted price original_price rating rating.score rating.total is_favorite resources promotions sold";
const PRODUCT_DETAIL: &str = "id slug seller_id name description is_enabled currency category category.id category.name \
     category.description category.parent_id rating rating.score rating.total rating.breakdown rating.breakdown.1 \
     rating.breakdown.2 rating.breakdown.3 rating.breakdown.4 rating.breakdown.5 is_favorite resources promotions skus skus.id \
     skus.price skus.original_price skus.attributes skus.attributes.name skus.attributes.value skus.taken skus.stock \
     specifications specifications.name specifications.value tags";
const STOCK: &str = "id ref_type ref_id stock taken serial_required date_created";
const STOCK_HISTORY: &str = "id stock_id change date_created";
const SERIAL: &str = "id stock_id status date_created";
const CART_ITEM: &str = "spu_id sku sku.id sku.spu_id sku.price sku.combinable sku.date_created sku.stock sku.attributes \
     sku.attributes.name sku.attributes.value sku.package_details quantity resource currency";
const PLACED: &str = "checkout_session_id payment_url";
const CONFIRMED: &str = "confirm_session_id payment_url";
const PAYMENT_SESSION: &str =
    "id kind status from_id to_id note currency total_amount data date_created date_paid date_expired";
const TRANSPORT: &str = "id option option_id status data date_created";
const ORDER_ITEM: &str = "id order_id account_id seller_id sku_id spu_id sku_name address note serial_ids quantity \
     transport_option subtotal_amount total_amount payment_session_id date_created date_cancelled cancelled_by_id slug image_url";
const ORDER: &str = "id buyer_id seller_id transport_id address date_created confirmed_by_id confirm_session_id note \
     total_amount items transport confirm_session payout_session";
const PAGINATION: &str = "limit total page next_page cursor next_cursor";
const ERROR: &str = "http_status code message";

/// What may hold anything: a module or a seller keeps there what it likes.
const FREE: [&str; 2] = ["data", "package_details"];

/// The keys of an object, below them those of the objects in it; of a list the keys of what it holds.
fn keys(value: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| keys(item, prefix, found)),
        Value::Object(fields) => {
            for (key, field) in fields {
                found.insert(format!("{prefix}{key}"));
                if !FREE.contains(&key.as_str()) {
                    keys(field, &format!("{prefix}{key}."), found);
                }
            }
        }
        _ => {}
    }
}

/// The object has the keys of the contract and what is ours besides, and no other.
#[track_caller]
fn has(value: &Value, contract: &str, besides: &[&str]) {
    assert!(value.is_object(), "{value}");
    let mut found = BTreeSet::new();
    keys(value, "", &mut found);
    let expected: BTreeSet<String> = contract
        .split_whitespace()
        .chain(besides.iter().copied())
        .map(str::to_owned)
        .collect();
    assert_eq!(found, expected, "{value}");
}

/// The same of the only item of a page.
#[track_caller]
fn lists(page: &Answer, contract: &str, besides: &[&str]) {
    has(&page.json["pagination"], PAGINATION, &[]);
    has(only(page), contract, besides);
}

#[track_caller]
fn only(list: &Answer) -> &Value {
    let items = list.data(200).as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(items.len(), 1, "{}", list.json);
    &items[0]
}

/// The keys of a contract below a key.
fn below(key: &str, contract: &str) -> Vec<String> {
    contract
        .split_whitespace()
        .map(|field| format!("{key}.{field}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_one_is_has_the_keys_that_clients_read() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 0).await?;
    let (nobody, buyer) = (nexus.client(), &shop.buyer.client);
    let ours = ["expires_in"];
    let credentials = json!({ "id": "an", "username": "an", "password": "correct-horse", "country": "VN" });
    let auth = async |path: &str, body: Value| nobody.post(&format!("/api/v1/account/auth/{path}"), body).await;
    has(
        auth("register/basic", credentials.clone()).await?.data(201),
        TOKENS,
        &ours,
    );
    let signed_in = auth("login/basic", credentials).await?;
    has(signed_in.data(200), TOKENS, &ours);
    let refresh = json!({ "refresh_token": signed_in.text(200, "refresh_token") });
    has(auth("refresh", refresh).await?.data(200), TOKENS, &ours);

    let me = "/api/v1/account/me";
    has(buyer.get(me).await?.data(200), PROFILE, &[]);
    has(buyer.patch(me, json!({ "name": "An" })).await?.data(200), PROFILE, &[]);
    // Others have the same keys; which of them are null is told in `accounts.rs`.
    let other = format!("/api/v1/account?account_id={}", shop.seller.id);
    has(buyer.get(&other).await?.data(200), PROFILE, &[]);

    let contact = "/api/v1/account/contact";
    let contacts = buyer.get(contact).await?;
    has(only(&contacts), CONTACT, &[]);
    let one = format!("{contact}/{}", only(&contacts)["id"].as_str().unwrap_or_default());
    has(buyer.get(&one).await?.data(200), CONTACT, &[]);
    let error = nobody.get(me).await?;
    has(error.failed(401, "unauthorized"), ERROR, &[]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sold_has_the_keys_that_clients_read() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 3).await?;
    let (nobody, seller) = (nexus.client(), &shop.seller.client);
    let get = async |path: &str| nobody.get(&format!("/api/v1/catalog/{path}")).await;
    let ours = ["version", "is_abridged"];
    let described = json!({ "id": shop.spu, "specifications": [{ "name": "Height", "value": "12 cm" }] });
    let patched = seller.patch("/api/v1/catalog/product-spu", described).await?;
    has(patched.data(200), PRODUCT_SPU, &ours);
    lists(&get("product-spu").await?, PRODUCT_SPU, &ours);
    let spu = get(&format!("product-spu/{}", shop.spu)).await?;
    has(spu.data(200), PRODUCT_SPU, &ours);
    assert_eq!(spu.data(200)["rating"]["breakdown"], json!({}), "of a listing always");

    let skus = get(&format!("product-sku?spu_id={}", shop.spu)).await?;
    has(only(&skus), PRODUCT_SKU, &["version"]);
    lists(&get("product-card").await?, PRODUCT_CARD, &[]);
    let card = get(&format!("product-card/{}", shop.spu)).await?;
    has(card.data(200), PRODUCT_CARD, &[]);
    let detail = get(&format!("product-detail?id={}", shop.spu)).await?;
    has(detail.data(200), PRODUCT_DETAIL, &[]);
    lists(&get("category?limit=1").await?, CATEGORY, &[]);
    lists(&get("tag").await?, TAG, &[]);

    let owner = format!("ref_id={}&ref_type=ProductSku", shop.sku);
    let inventory = async |path: &str| seller.get(&format!("/api/v1/inventory/{path}")).await;
    let stock = inventory(&format!("stock?{owner}")).await?;
    has(stock.data(200), STOCK, &[]);
    let ours = ["reason", "reference", "stock_after"];
    lists(
        &inventory(&format!("stock/history?{owner}")).await?,
        STOCK_HISTORY,
        &ours,
    );
    let numbered = json!({
        "ref_id": shop.sku, "ref_type": "ProductSku", "serial_required": true, "generate_serials": true,
    });
    let numbered = seller.patch("/api/v1/inventory/stock", numbered).await?;
    has(numbered.data(200), STOCK, &[]);
    let serials = format!("serial?limit=1&stock_id={}", stock.data(200)["id"]);
    lists(&inventory(&serials).await?, SERIAL, &[]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_bought_has_the_keys_that_clients_read() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 3).await?;
    let (buyer, seller) = (&shop.buyer.client, &shop.seller.client);
    let cart = "/api/v1/order/cart";
    let line = json!({ "sku_id": shop.sku, "quantity": 1 });
    buyer.post(cart, line).await?.data(200);
    has(only(&buyer.get(cart).await?), CART_ITEM, &[]);
    has(buyer.post(CHECKOUT, shop.checkout(1)).await?.data(200), PLACED, &[]);

    let session = below("payment_session", PAYMENT_SESSION);
    let mut with_session: Vec<&str> = session.iter().map(String::as_str).collect();
    with_session.push("payment_session");
    let pending = buyer.get("/api/v1/order/buyer/pending-items").await?;
    lists(&pending, ORDER_ITEM, &with_session);
    let waiting = seller.get("/api/v1/order/seller/pending").await?;
    lists(&waiting, ORDER_ITEM, &[]);
    let confirm = json!({ "item_ids": [only(&waiting)["id"]], "payment_option": "system-cod" });
    has(seller.post(CONFIRM, confirm).await?.data(200), CONFIRMED, &[]);

    let nested: Vec<String> = [
        ("items", ORDER_ITEM),
        ("transport", TRANSPORT),
        ("confirm_session", PAYMENT_SESSION),
        ("payout_session", PAYMENT_SESSION),
    ]
    .iter()
    .flat_map(|(key, contract)| below(key, contract))
    .collect();
    let nested: Vec<&str> = nested.iter().map(String::as_str).collect();
    let orders = buyer.get("/api/v1/order/buyer/pending-orders").await?;
    lists(&orders, ORDER, &nested);
    lists(&seller.get("/api/v1/order/seller/confirmed").await?, ORDER, &nested);
    let order = only(&orders)["id"].as_str().unwrap_or_default().to_owned();
    for (client, side) in [(buyer, "buyer/orders"), (seller, "seller/confirmed")] {
        let one = client.get(&format!("/api/v1/order/{side}/{order}")).await?;
        has(one.data(200), ORDER, &nested);
    }
    Ok(())
}
