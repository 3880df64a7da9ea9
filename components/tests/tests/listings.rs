//! Products and their stock as sellers manage them, and what everybody else sees and may not do.

use std::collections::BTreeSet;

use anyhow::Result;
use component_tests::{Audit, Client, Listing, Nexus, Person, Shop};
use serde_json::{Value, json};

const SPU: &str = "/api/v1/catalog/product-spu";
const SKU: &str = "/api/v1/catalog/product-sku";
const CARD: &str = "/api/v1/catalog/product-card";
const STOCK: &str = "/api/v1/inventory/stock";
const IMPORT: &str = "/api/v1/inventory/stock/import";
const HISTORY: &str = "/api/v1/inventory/stock/history";
const SERIAL: &str = "/api/v1/inventory/serial";
const NOBODYS: &str = "0190a5b2-7c11-7d3e-8f00-0123456789ab";

/// The ids of a list.
fn ids(list: &Value) -> Vec<String> {
    let items = list.as_array().expect("a list").iter();
    items
        .map(|item| item["id"].as_str().expect("a text").to_owned())
        .collect()
}

fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_changed_by_its_seller_and_keeps_what_is_not_given() -> Result<()> {
    let nexus = Nexus::start().await?;
    let seller = Person::register(&nexus.client(), "seller").await?;
    let stranger = Person::register(&nexus.client(), "stranger").await?;
    let mine = &seller.client;
    let category = mine.get("/api/v1/catalog/category?limit=1").await?.data(200)[0]["id"].clone();
    let whole = json!({
        "category_id": category, "name": "Café filter", "description": "<p onclick=\"x()\">Drips<script>x()</script></p>",
        "currency": "VND", "is_enabled": true, "tags": [" Summer ", "summer", "SALE"],
        "specifications": [{ "name": "Steel", "value": "18/10" }],
    });
    let with = |key: &str, value: Value| {
        let mut body = whole.clone();
        body[key] = value;
        body
    };

    let empty = mine.post(SPU, json!({})).await?;
    ["category_id", "name", "description", "currency", "tags"]
        .iter()
        .for_each(|field| empty.names(field));
    for (field, value) in [
        ("name", json!("x".repeat(201))),
        ("description", json!("x".repeat(100_001))),
        ("currency", json!("vnd")),
        ("tags", json!([" "])),
        ("tags", json!("coffee")),
        ("specifications", json!([{ "name": " ", "value": "x" }])),
    ] {
        mine.post(SPU, with(field, value)).await?.names(field);
    }
    mine.post(SPU, with("currency", json!("USD")))
        .await?
        .failed(400, "currency_mismatch");
    mine.post(SPU, with("category_id", json!(NOBODYS)))
        .await?
        .failed(404, "category_not_found");
    mine.post(SPU, with("resource_ids", json!([NOBODYS])))
        .await?
        .failed(404, "resource_not_found");
    nexus
        .client()
        .post(SPU, whole.clone())
        .await?
        .failed(401, "unauthorized");
    assert_eq!(
        mine.get(&format!("{SPU}?my_products=true")).await?.data(200),
        &json!([]),
        "nothing of it was kept"
    );

    let made = mine.post(SPU, whole.clone()).await?.data(200).clone();
    assert_eq!(texts(&made["tags"]), BTreeSet::from(["sale", "summer"]));
    let description = made["description"].as_str().unwrap_or_default();
    assert!(description.contains("Drips") && !description.contains("script") && !description.contains("onclick"));

    // Absent and null change nothing; an empty list clears.
    let id = &made["id"];
    let renamed = mine
        .patch(SPU, json!({ "id": id, "name": "Phin", "tags": null }))
        .await?
        .data(200)
        .clone();
    assert_eq!(renamed["name"], "Phin");
    for key in [
        "slug",
        "description",
        "category",
        "currency",
        "is_enabled",
        "tags",
        "specifications",
        "date_created",
    ] {
        assert_eq!(renamed[key], made[key], "{key} was not given");
    }
    let cleared = mine
        .patch(SPU, json!({ "id": id, "tags": [], "specifications": [] }))
        .await?
        .data(200)
        .clone();
    assert_eq!((&cleared["tags"], &cleared["specifications"]), (&json!([]), &json!([])));
    assert_eq!(cleared["name"], "Phin");
    let moved = json!({ "id": id, "name": "Phin", "regenerate_slug": true });
    assert_ne!(mine.patch(SPU, moved).await?.data(200)["slug"], made["slug"]);

    mine.patch(SPU, json!({ "name": "x" })).await?.names("id");
    mine.patch(SPU, json!({ "id": id, "name": "" })).await?.names("name");
    mine.patch(SPU, json!({ "id": NOBODYS, "name": "x" }))
        .await?
        .failed(404, "entity_not_found");
    mine.patch(SPU, json!({ "id": id, "currency": "USD" }))
        .await?
        .failed(400, "currency_mismatch");
    mine.patch(SPU, json!({ "id": id, "category_id": NOBODYS }))
        .await?
        .failed(404, "category_not_found");
    mine.patch(SPU, json!({ "id": id, "version": 1, "name": "late" }))
        .await?
        .failed(409, "version_conflict");

    let variant = json!({
        "spu_id": id, "price": 5_000, "combinable": true, "attributes": [{ "name": "Size", "value": "L" }],
        "package_details": { "weight_grams": 80 },
    });
    let incomplete = mine.post(SKU, json!({ "price": 0 })).await?;
    ["spu_id", "price", "package_details"]
        .iter()
        .for_each(|field| incomplete.names(field));
    let mut unknown = variant.clone();
    unknown["spu_id"] = json!(NOBODYS);
    mine.post(SKU, unknown).await?.failed(404, "entity_not_found");
    let sku = mine.post(SKU, variant.clone()).await?.data(200).clone();
    let dearer = mine
        .patch(SKU, json!({ "id": sku["id"], "price": "6000" }))
        .await?
        .data(200)
        .clone();
    assert_eq!(dearer["price"], 6_000);
    for key in ["attributes", "package_details", "combinable", "stock", "spu_id"] {
        assert_eq!(dearer[key], sku[key], "{key} was not given");
    }
    mine.patch(SKU, json!({ "id": sku["id"], "price": 0 }))
        .await?
        .names("price");
    mine.patch(SKU, json!({ "id": NOBODYS, "price": 1 }))
        .await?
        .failed(404, "entity_not_found");

    // A stranger changes nothing, whatever is asked for.
    let theirs = &stranger.client;
    theirs
        .patch(SPU, json!({ "id": id, "name": "mine" }))
        .await?
        .failed(403, "forbidden");
    theirs
        .patch(SPU, json!({ "id": id, "currency": "USD" }))
        .await?
        .failed(403, "forbidden");
    theirs
        .delete(&format!("{SPU}/{}", id.as_str().unwrap_or_default()), None)
        .await?
        .failed(403, "forbidden");
    theirs.post(SKU, variant).await?.failed(403, "forbidden");
    theirs
        .patch(SKU, json!({ "id": sku["id"], "price": 1 }))
        .await?
        .failed(403, "forbidden");
    theirs
        .delete(SKU, Some(json!({ "id": sku["id"] })))
        .await?
        .failed(403, "forbidden");
    let other = stranger.lists("Other", "VND", 0).await?;
    let foreign = json!({ "id": id, "featured_sku_id": other.sku });
    mine.patch(SPU, foreign).await?.failed(400, "sku_not_belong_to_spu");
    let detail = mine
        .get(&format!(
            "/api/v1/catalog/product-detail?id={}",
            id.as_str().unwrap_or_default()
        ))
        .await?;
    assert_eq!(
        (&detail.data(200)["name"], &detail.data(200)["skus"][0]["price"]),
        (&json!("Phin"), &json!(6_000))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_without_what_is_not_for_everybody() -> Result<()> {
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();
    let seller = Person::register(&nobody, "seller").await?;
    let mut listings = Vec::new();
    for name in ["one", "two", "three", "four", "five"] {
        listings.push(seller.lists(name, "VND", 0).await?);
    }
    let newest_first: Vec<String> = listings.iter().rev().map(|listing| listing.spu.clone()).collect();

    for path in [SPU, CARD] {
        pages(&nobody, path, &newest_first).await?;
    }
    hidden(&nobody, &seller, &listings[2], &newest_first).await?;

    let gone = &listings[0];
    seller
        .client
        .delete(&format!("{SPU}/{}", gone.spu), None)
        .await?
        .data(200);
    seller
        .client
        .delete(&format!("{SPU}/{}", gone.spu), None)
        .await?
        .failed(404, "entity_not_found");
    nobody
        .get(&format!("{SPU}/{}", gone.spu))
        .await?
        .failed(404, "entity_not_found");
    nobody
        .get(&format!("{CARD}/{}", gone.spu))
        .await?
        .failed(404, "product_not_found");
    nobody
        .get(&format!("/api/v1/catalog/product-detail?id={}", gone.spu))
        .await?
        .failed(404, "entity_not_found");
    nobody
        .get("/api/v1/catalog/product-detail")
        .await?
        .failed(404, "entity_not_found");
    nobody
        .get(&format!("/api/v1/catalog/category/{NOBODYS}"))
        .await?
        .failed(404, "category_not_found");
    nobody.get(&format!("{CARD}/not-a-uuid")).await?.names("id");
    nobody.get(&format!("{CARD}?price_min=-1")).await?.names("price_min");
    let left = seller.client.get(&format!("{SPU}?my_products=true")).await?;
    assert_eq!(ids(left.data(200)), newest_first[..4]);
    Ok(())
}

async fn pages(nobody: &Client, path: &str, newest_first: &[String]) -> Result<()> {
    let page = async |query: &str| -> Result<(Vec<String>, Value)> {
        let answer = nobody.get(&format!("{path}?{query}")).await?;
        Ok((ids(answer.data(200)), answer.json["pagination"].clone()))
    };
    let (rows, first) = page("page=1&limit=2").await?;
    assert_eq!(rows, newest_first[..2]);
    assert_eq!(
        (&first["total"], &first["page"], &first["limit"]),
        (&json!(5), &json!(1), &json!(2))
    );
    assert_eq!((&first["next_page"], &first["cursor"]), (&json!(2), &Value::Null));
    let (rows, last) = page("page=3&limit=2").await?;
    assert_eq!(rows, newest_first[4..]);
    assert_eq!((&last["next_page"], &last["next_cursor"]), (&Value::Null, &Value::Null));
    let (rows, beyond) = page("page=9&limit=2").await?;
    assert_eq!(
        (rows.len(), &beyond["total"]),
        (0, &json!(5)),
        "a page past the end still counts"
    );
    let (_, clamped) = page("limit=1000").await?;
    assert_eq!(clamped["limit"], 100);

    // Cursors lead through everything once.
    let mut seen = Vec::new();
    let mut cursor = first["next_cursor"].as_str().expect("there is more").to_owned();
    seen.extend_from_slice(&newest_first[..2]);
    loop {
        let escaped = cursor.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let (rows, next) = page(&format!("limit=2&cursor={escaped}")).await?;
        assert_eq!(
            (&next["cursor"], &next["next_page"]),
            (&json!(cursor), &Value::Null),
            "echoed"
        );
        seen.extend(rows);
        match next["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, newest_first);

    for (query, field) in [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("limit=0", "limit"),
        ("limit=ten", "limit"),
        ("cursor=nonsense", "cursor"),
    ] {
        nobody.get(&format!("{path}?{query}")).await?.names(field);
    }
    Ok(())
}

/// A disabled listing is on its seller's lists alone, and still found by whoever has its address.
async fn hidden(nobody: &Client, seller: &Person, listing: &Listing, all: &[String]) -> Result<()> {
    let spu = &listing.spu;
    seller
        .client
        .patch(SPU, json!({ "id": spu, "is_enabled": false }))
        .await?
        .data(200);
    for path in [SPU, CARD] {
        let seen = nobody.get(path).await?;
        assert!(!ids(seen.data(200)).contains(spu), "{path}");
        assert_eq!(seen.json["pagination"]["total"], 4);
        let invalid = nobody.signed_in("garbage").get(path).await?;
        assert_eq!(
            ids(invalid.data(200)),
            ids(seen.data(200)),
            "an invalid token is nobody's"
        );
        assert_eq!(ids(seller.client.get(path).await?.data(200)), all);
    }
    let searched = nobody.get(&format!("{CARD}?search=three")).await?;
    assert_eq!(searched.data(200), &json!([]));
    let disabled = nobody.get(&format!("{SPU}?is_enabled=false")).await?;
    assert_eq!(disabled.data(200), &json!([]), "asking for it does not help");
    let detail = nobody.get(&format!("/api/v1/catalog/product-detail?id={spu}")).await?;
    assert_eq!(detail.data(200)["is_enabled"], false);
    let card = nobody.get(&format!("{CARD}/{spu}")).await?;
    assert_eq!(card.data(200)["is_active"], false);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_its_sellers_and_every_unit_has_its_history() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 0).await?;
    let stranger = Person::register(&nexus.client(), "stranger").await?;
    let audit = Audit::open(nexus.database_url()).await?;
    imports_and_history(&nexus, &shop, &stranger).await?;
    serial_numbers(&shop, &stranger).await?;
    audit.settled().await?;
    audit.books_hold().await
}

async fn imports_and_history(nexus: &Nexus, shop: &Shop, stranger: &Person) -> Result<()> {
    let mine = &shop.seller.client;
    let import = |sku: &str, change: Value| json!({ "ref_id": sku, "ref_type": "ProductSku", "change": change });
    for change in [json!(0), json!(-5), json!(null), json!("many"), json!(1.5)] {
        mine.post(IMPORT, import(&shop.sku, change)).await?.names("change");
    }
    let lost = mine.post(IMPORT, json!({ "change": 1 })).await?;
    ["ref_id", "ref_type"].iter().for_each(|field| lost.names(field));
    mine.post(IMPORT, import(NOBODYS, json!(1)))
        .await?
        .failed(404, "stock_not_found");
    let promotion = json!({ "ref_id": shop.sku, "ref_type": "Promotion", "change": 1 });
    mine.post(IMPORT, promotion).await?.failed(404, "stock_not_found");
    stranger
        .client
        .post(IMPORT, import(&shop.sku, json!(5)))
        .await?
        .failed(403, "forbidden");
    nexus
        .client()
        .post(IMPORT, import(&shop.sku, json!(5)))
        .await?
        .failed(401, "unauthorized");
    let required = json!({ "ref_id": shop.sku, "ref_type": "ProductSku", "serial_required": true });
    stranger.client.patch(STOCK, required).await?.failed(403, "forbidden");
    assert_eq!(shop.stock().await?, (0, 0), "nothing of it happened");

    let nobody = nexus.client();
    nobody
        .get(&format!("{STOCK}?ref_id={NOBODYS}&ref_type=ProductSku"))
        .await?
        .failed(404, "stock_not_found");
    nobody
        .get(&format!("{STOCK}?ref_type=ProductSku"))
        .await?
        .names("ref_id");
    nobody
        .get(&format!("{STOCK}?ref_id={NOBODYS}&ref_type=Nothing"))
        .await?
        .names("ref_type");

    shop.import(7).await?;
    mine.post(IMPORT, import(&shop.sku, json!("3"))).await?.data(200);
    shop.buyer
        .client
        .post("/api/v1/order/buyer/checkout", shop.checkout(4))
        .await?
        .data(200);
    let history = format!("{HISTORY}?ref_id={}&ref_type=ProductSku", shop.sku);
    let log = mine.get(&history).await?;
    let moves = |list: &Value| -> Vec<(i64, i64, String)> {
        let each = |item: &Value| {
            let number = |key: &str| item[key].as_i64().expect("a number");
            (
                number("change"),
                number("stock_after"),
                item["reason"].as_str().unwrap_or_default().to_owned(),
            )
        };
        list.as_array().expect("a list").iter().map(each).collect()
    };
    let expected = vec![
        (7, 7, "import".to_owned()),
        (3, 10, "import".to_owned()),
        (-4, 6, "reserve".to_owned()),
    ];
    assert_eq!(moves(log.data(200)), expected);
    let newest = mine.get(&format!("{history}&sort=desc&limit=1")).await?;
    assert_eq!(moves(newest.data(200)), expected[2..]);
    assert_eq!(newest.json["pagination"]["total"], 3);
    mine.get(&format!("{history}&sort=up")).await?.names("sort");
    stranger.client.get(&history).await?.failed(403, "forbidden");
    nobody.get(&history).await?.failed(401, "unauthorized");
    Ok(())
}

async fn serial_numbers(shop: &Shop, stranger: &Person) -> Result<()> {
    let mine = &shop.seller.client;
    let phone = shop.seller.lists("Phone", "VND", 0).await?;
    let tracked = json!({ "ref_id": phone.sku, "ref_type": "ProductSku", "serial_required": true });
    let incomplete = json!({ "ref_id": shop.sku, "ref_type": "ProductSku", "serial_required": true });
    mine.patch(STOCK, incomplete).await?.failed(409, "serials_incomplete");
    let stock = mine.patch(STOCK, tracked.clone()).await?.data(200).clone();
    assert_eq!(stock["serial_required"], true);

    let import = |change: i64, serials: &[&str]| json!({ "ref_id": phone.sku, "ref_type": "ProductSku", "change": change, "serial_ids": serials });
    mine.post(IMPORT, import(2, &["a"]))
        .await?
        .failed(400, "serial_count_mismatch");
    mine.post(IMPORT, import(1, &[""])).await?.names("serial_ids");
    mine.post(IMPORT, import(1, &["x".repeat(129).as_str()]))
        .await?
        .names("serial_ids");
    mine.post(IMPORT, import(2, &["a", "a"]))
        .await?
        .failed(409, "duplicate_serial");
    mine.post(IMPORT, import(2, &["a", "b"])).await?.data(200);
    let twice = mine.post(IMPORT, import(2, &["b", "c"])).await?;
    let told = twice.failed(409, "duplicate_serial")["message"].to_string();
    assert!(
        told.contains("exist already: b\""),
        "the offenders are listed, and only they: {told}"
    );
    assert_eq!(
        shop.seller.stock_of(&phone.sku).await?,
        (2, 0),
        "of a refused import nothing is kept"
    );
    mine.post(IMPORT, import(1, &[])).await?.data(200);
    assert_eq!(shop.seller.stock_of(&phone.sku).await?, (3, 0));

    let listed = format!("{SERIAL}?stock_id={}", stock["id"]);
    let serials = mine.get(&listed).await?;
    assert_eq!(serials.data(200).as_array().map(Vec::len), Some(3), "one was made up");
    stranger.client.get(&listed).await?.failed(403, "forbidden");
    mine.get(SERIAL).await?.names("stock_id");
    mine.get(&format!("{SERIAL}?stock_id=0")).await?.names("stock_id");
    mine.get(&format!("{SERIAL}?stock_id=999999"))
        .await?
        .failed(404, "stock_not_found");
    let status = async |serial: &str| -> Result<String> {
        let serials = mine.get(&listed).await?;
        let serials = serials
            .data(200)
            .as_array()
            .expect("a list")
            .iter()
            .find(|item| item["id"] == serial)
            .cloned();
        Ok(serials.map_or_else(String::new, |item| {
            item["status"].as_str().unwrap_or_default().to_owned()
        }))
    };

    let set = |serials: &[&str], status: &str| json!({ "serial_ids": serials, "status": status });
    let unknown = mine.patch(SERIAL, set(&["a", "nope"], "Damaged")).await?;
    assert!(
        unknown.failed(404, "serial_not_found")["message"]
            .to_string()
            .contains("nope")
    );
    assert_eq!(status("a").await?, "Active", "all or none");
    stranger
        .client
        .patch(SERIAL, set(&["a"], "Damaged"))
        .await?
        .failed(404, "serial_not_found");
    mine.patch(SERIAL, set(&["a"], "Lost")).await?.names("status");
    mine.patch(SERIAL, json!({ "status": "Active" }))
        .await?
        .names("serial_ids");
    mine.patch(SERIAL, set(&["a"], "Taken"))
        .await?
        .failed(409, "serial_transition_not_allowed");
    mine.patch(SERIAL, set(&["b"], "Damaged")).await?.data(200);
    assert_eq!(
        shop.seller.stock_of(&phone.sku).await?,
        (2, 0),
        "what is damaged is not for sale"
    );
    mine.patch(SERIAL, set(&["b"], "Inactive"))
        .await?
        .failed(409, "serial_transition_not_allowed");
    mine.patch(SERIAL, set(&["b"], "Active")).await?.data(200);
    assert_eq!(shop.seller.stock_of(&phone.sku).await?, (3, 0));

    // Another seller may hold the same numbers.
    let other = stranger.lists("Other phone", "VND", 0).await?;
    let mut theirs = tracked.clone();
    theirs["ref_id"] = json!(other.sku);
    stranger.client.patch(STOCK, theirs).await?.data(200);
    let mut same = import(1, &["a"]);
    same["ref_id"] = json!(other.sku);
    stranger.client.post(IMPORT, same).await?.data(200);

    // The oldest units are sold first, and a cancelled line puts back exactly those it held.
    let mut checkout = shop.checkout(2);
    checkout["items"][0]["sku_id"] = json!(phone.sku);
    shop.buyer
        .client
        .post("/api/v1/order/buyer/checkout", checkout)
        .await?
        .data(200);
    let pending = shop
        .buyer
        .client
        .get("/api/v1/order/buyer/pending-items?limit=1")
        .await?;
    let line = &pending.data(200)[0];
    assert_eq!(line["serial_ids"], Value::Null, "no unit is the buyer's yet");
    let waiting = mine.get("/api/v1/order/seller/pending?limit=1").await?;
    assert_eq!(
        texts(&waiting.data(200)[0]["serial_ids"]),
        BTreeSet::from(["a", "b"]),
        "the seller is to send these"
    );
    assert_eq!(status("a").await?, "Taken");
    mine.patch(SERIAL, set(&["a"], "Active"))
        .await?
        .failed(409, "serial_transition_not_allowed");
    let path = format!("/api/v1/order/buyer/pending-items/{}", line["id"]);
    shop.buyer.client.delete(&path, None).await?.data(200);
    assert_eq!(
        (status("a").await?, status("b").await?),
        ("Active".to_owned(), "Active".to_owned())
    );
    assert_eq!(shop.seller.stock_of(&phone.sku).await?, (3, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variant_is_priced_in_the_currency_its_seller_sells_in() -> Result<()> {
    let nexus = Nexus::start().await?;
    let seller = Person::sign_up(&nexus.client(), "seller", "VN").await?;
    let mine = &seller.client;
    let listing = seller.lists("Pot", "VND", 0).await?;
    let variant = |changes: Value| {
        let mut body = json!({ "spu_id": listing.spu, "price": 5_000, "package_details": {} });
        body.as_object_mut()
            .expect("an object")
            .extend(changes.as_object().expect("an object").clone());
        body
    };
    // A currency that is given is that of the listing, with a price or without; it is not passed over.
    mine.post(SKU, variant(json!({ "currency": "VND" }))).await?.data(200);
    mine.post(SKU, variant(json!({ "currency": "USD" })))
        .await?
        .failed(400, "currency_mismatch");
    mine.post(SKU, variant(json!({ "currency": "vnd" })))
        .await?
        .names("currency");
    let changed = |changes: Value| {
        let mut body = json!({ "id": listing.sku });
        body.as_object_mut()
            .expect("an object")
            .extend(changes.as_object().expect("an object").clone());
        body
    };
    for mismatch in [json!({ "currency": "USD" }), json!({ "price": 1, "currency": "USD" })] {
        mine.patch(SKU, changed(mismatch))
            .await?
            .failed(400, "currency_mismatch");
    }
    let kept = mine.patch(SKU, changed(json!({ "currency": "VND" }))).await?;
    assert_eq!(kept.data(200)["price"], 100_000);
    mine.patch(SKU, changed(json!({ "currency": "dong" })))
        .await?
        .names("currency");

    // Once the seller sells in another one, nothing is priced in the old.
    let audit = Audit::open(nexus.database_url()).await?;
    let moves = format!("UPDATE account.profile SET country = 'US' WHERE id = '{}'", seller.id);
    assert_eq!(audit.change(&moves).await?, 1);
    mine.post(SKU, variant(json!({})))
        .await?
        .failed(400, "currency_mismatch");
    for mismatch in [
        json!({ "price": 1 }),
        json!({ "currency": "VND" }),
        json!({ "currency": "USD" }),
    ] {
        mine.patch(SKU, changed(mismatch))
            .await?
            .failed(400, "currency_mismatch");
    }
    mine.patch(SKU, changed(json!({ "combinable": false })))
        .await?
        .data(200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_character_that_no_text_column_keeps_is_the_callers_mistake_wherever_it_stands() -> Result<()> {
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();
    let seller = Person::register(&nobody, "seller").await?;
    let mine = &seller.client;
    let listing = seller.lists("Pot", "VND", 0).await?;
    let stock = nobody
        .get(&format!(
            "/api/v1/inventory/stock?ref_id={}&ref_type=ProductSku",
            listing.sku
        ))
        .await?;
    let serials = format!("/api/v1/inventory/serial?stock_id={}", stock.data(200)["id"]);
    // "\u0000" as JSON, in base64: what a cursor by text would be.
    let cursor = "cursor=Ilx1MDAwMCI%3D";
    for (path, field) in [
        (format!("/api/v1/catalog/tag?{cursor}"), "cursor"),
        (format!("{serials}&{cursor}"), "cursor"),
        ("/api/v1/catalog/tag?search=a%00b".to_owned(), "search"),
        ("/api/v1/catalog/tag/a%00b".to_owned(), "tag"),
        ("/api/v1/catalog/category?search=%00".to_owned(), "search"),
        (format!("{SPU}?slug=a,b%00"), "slug"),
        (format!("{SPU}?search=%00"), "search"),
        (format!("{CARD}?search=%00"), "search"),
        (format!("{CARD}?tag=%00"), "tag"),
        ("/api/v1/catalog/product-detail?slug=%00".to_owned(), "slug"),
    ] {
        mine.get(&path).await?.names(field);
    }
    mine.patch(SPU, json!({ "id": listing.spu, "name": "a\0b" }))
        .await?
        .names("body");
    Ok(())
}
