//! The largest rows that may be made: each is refused one step beyond, and with them every list and page is answered.

use std::time::Duration;

use anyhow::Result;
use component_tests::{ADDRESS, Answer, Audit, Client, Nexus, NexusOptions, Person, Shop};
use serde_json::{Value, json};

const SPU: &str = "/api/v1/catalog/product-spu";
const SKU: &str = "/api/v1/catalog/product-sku";
const CARD: &str = "/api/v1/catalog/product-card";
const DETAIL: &str = "/api/v1/catalog/product-detail";
const IMPORT: &str = "/api/v1/inventory/stock/import";
const SERIAL: &str = "/api/v1/inventory/serial";
const CONTACT: &str = "/api/v1/account/contact";
const CHECKOUT: &str = "/api/v1/order/buyer/checkout";
/// How long a thousand lines may take that are confirmed at once.
const PATIENCE: Duration = Duration::from_secs(120);

/// One character, four bytes.
const WIDE: &str = "\u{1f4a1}";
const MAX_NUMBER: i64 = 9_007_199_254_740_991;

/// Pairs that take this many bytes as JSON, of which one has an empty value.
fn pairs(count: usize, bytes: usize) -> Value {
    let frame = r#"{"name":"n","value":""},"#.len();
    // The brackets are two bytes, and one comma is missing.
    let values = bytes - count * frame - 1;
    let first = "v".repeat(values);
    let pairs = (0..count).map(|number| json!({ "name": "n", "value": if number == 0 { first.as_str() } else { "" } }));
    let pairs: Value = pairs.collect();
    assert_eq!(pairs.to_string().len(), bytes);
    pairs
}

async fn listing(client: &Client, changes: Value) -> Result<Answer> {
    let category = client.get("/api/v1/catalog/category?limit=1").await?.data(200)[0]["id"].clone();
    let mut body = json!({
        "category_id": category, "name": "Lamp", "description": "Bright", "currency": "VND", "is_enabled": true, "tags": [],
    });
    let fields = changes.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(fields);
    client.post(SPU, body).await
}

fn largest_listing() -> Value {
    let tags: Vec<String> = (0..50)
        .map(|number| format!("{number:02}{}", WIDE.repeat(98)))
        .collect();
    json!({
        "name": WIDE.repeat(200), "description": WIDE.repeat(99_999), "tags": tags, "specifications": pairs(200, 65_536),
    })
}

fn largest_variant(spu: &str) -> Value {
    let frame = r#"{"note":""}"#.len();
    json!({
        "spu_id": spu, "price": MAX_NUMBER, "combinable": true, "attributes": pairs(20, 800),
        "package_details": { "note": "x".repeat(800 - frame) },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_a_row_may_be_is_refused_by_its_name() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 0).await?;
    let seller = &shop.seller.client;
    for (field, value) in [
        ("description", json!("x".repeat(100_001))),
        // Few characters, and many bytes once they are written.
        (
            "description",
            json!(format!("<a title='{}'>x</a>", "\"".repeat(90_000))),
        ),
        ("specifications", pairs(201, 10_000)),
        ("specifications", pairs(1, 65_537)),
        ("name", json!("x".repeat(201))),
    ] {
        listing(seller, json!({ field: value })).await?.names(field);
        seller
            .patch(SPU, json!({ "id": shop.spu, field: value }))
            .await?
            .names(field);
    }
    for (field, value) in [
        ("price", json!(MAX_NUMBER + 1)),
        ("attributes", pairs(21, 700)),
        ("attributes", pairs(1, 801)),
        ("package_details", json!({ "note": "x".repeat(800) })),
        ("package_details", json!({ "weight_grams": 1e300 })),
        ("package_details", json!({ "box": [{ "length_cm": 1e-300 }] })),
        ("package_details", json!({ "weight_grams": MAX_NUMBER + 2 })),
        ("package_details", json!([1])),
    ] {
        let mut variant = largest_variant(&shop.spu);
        variant[field] = value.clone();
        seller.post(SKU, variant).await?.names(field);
        seller
            .patch(SKU, json!({ "id": shop.sku, field: value }))
            .await?
            .names(field);
    }
    seller.post(SKU, largest_variant(&shop.spu)).await?.data(200);
    let too_many: Vec<String> = (0..1_001).map(|number| number.to_string()).collect();
    let change = json!({ "serial_ids": too_many, "status": "Inactive" });
    seller.patch(SERIAL, change).await?.names("serial_ids");
    Ok(())
}

/// Copies the variants of a listing until it has this many.
async fn multiply(audit: &Audit, spu: &str, count: i64, deleted: bool) -> Result<()> {
    let deleted = if deleted { "now()" } else { "NULL" };
    let copies = format!(
        "INSERT INTO catalog.product_sku
             (id, spu_id, price, shared_packaging, attributes, package_details, version, date_created, date_updated, date_deleted)
         SELECT gen_random_uuid(), spu_id, price, shared_packaging, attributes, package_details, version, date_created,
                date_updated, {deleted}
         FROM (SELECT * FROM catalog.product_sku WHERE spu_id = '{spu}' ORDER BY date_created LIMIT 1) s,
              generate_series(1, {count} - (SELECT count(*) FROM catalog.product_sku WHERE spu_id = '{spu}'))"
    );
    audit.change(&copies).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_has_five_hundred_variants_and_its_pages_show_them_all() -> Result<()> {
    let nexus = Nexus::start().await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let seller = Person::sign_up(&nexus.client(), "seller", "VN").await?.client;
    let whole = listing(&seller, largest_listing()).await?;
    let spu = whole.text(200, "id");
    let first = seller.post(SKU, largest_variant(&spu)).await?.text(200, "id");
    multiply(&audit, &spu, 500, false).await?;
    seller.post(SKU, largest_variant(&spu)).await?.names("spu_id");

    let detail = seller.get(&format!("{DETAIL}?id={spu}")).await?;
    assert_eq!(detail.data(200)["skus"].as_array().map(Vec::len), Some(500));
    assert_eq!(detail.data(200)["description"], whole.data(200)["description"]);
    let skus = seller.get(&format!("{SKU}?spu_id={spu}")).await?;
    let skus = skus.data(200).as_array().cloned().unwrap_or_default();
    let ids: std::collections::BTreeSet<&str> = skus.iter().filter_map(|sku| sku["id"].as_str()).collect();
    assert_eq!((skus.len(), ids.len()), (500, 500), "each once");
    assert!(ids.contains(first.as_str()));
    // A change reads the listing twice in one transaction.
    let renamed = seller.patch(SPU, json!({ "id": spu, "name": "Lamp" })).await?;
    assert_eq!(renamed.data(200)["specifications"], whole.data(200)["specifications"]);
    seller.patch(SKU, json!({ "id": first, "price": 1 })).await?.data(200);

    // One that goes makes room for one, but not for ever: what was sold of it is still counted.
    seller.delete(SKU, Some(json!({ "id": first }))).await?.data(200);
    seller.post(SKU, largest_variant(&spu)).await?.data(200);
    let other = listing(&seller, json!({})).await?.text(200, "id");
    seller.post(SKU, largest_variant(&other)).await?.data(200);
    multiply(&audit, &other, 1_000, true).await?;
    seller.post(SKU, largest_variant(&other)).await?.names("spu_id");
    let card = seller.get(&format!("{CARD}/{other}")).await?;
    assert_eq!(card.data(200)["sold"], 0);
    Ok(())
}

/// As many listings as a page has, each as large as may be, of which each has this many variants.
async fn crowd(nexus: &Nexus, seller: &Person, variants: i64) -> Result<String> {
    let audit = Audit::open(nexus.database_url()).await?;
    let spu = listing(&seller.client, largest_listing()).await?.text(200, "id");
    seller.client.post(SKU, largest_variant(&spu)).await?.data(200);
    audit
        .change(&format!(
            "INSERT INTO catalog.product_spu
                 (id, slug, account_id, category_id, name, description, is_enabled, currency, specifications, card_price, price_min,
                  price_max, date_created, date_updated)
             SELECT gen_random_uuid(), slug || copy, account_id, category_id, name, description, is_enabled, currency,
                    specifications, card_price, price_min, price_max, date_created + copy * interval '1 second', date_updated
             FROM catalog.product_spu, generate_series(1, 100) AS copy WHERE id = '{spu}'"
        ))
        .await?;
    audit
        .change(&format!(
            "INSERT INTO catalog.product_spu_tag (spu_id, tag)
             SELECT p.id, t.tag FROM catalog.product_spu p, catalog.product_spu_tag t
             WHERE t.spu_id = '{spu}' AND p.id <> '{spu}'"
        ))
        .await?;
    audit
        .change(&format!(
            "INSERT INTO catalog.product_sku
                 (id, spu_id, price, shared_packaging, attributes, package_details, version, date_created, date_updated)
             SELECT gen_random_uuid(), p.id, s.price, true, s.attributes, s.package_details, 1, s.date_created, s.date_updated
             FROM catalog.product_spu p, catalog.product_sku s, generate_series(1, {variants})
             WHERE s.spu_id = '{spu}' AND p.id <> '{spu}'"
        ))
        .await?;
    audit
        .change(
            "INSERT INTO inventory.stock (ref_type, ref_id, stock, taken, serial_required, date_created)
             SELECT 'ProductSku', id, 0, 2, false, date_created FROM catalog.product_sku
             ON CONFLICT (ref_type, ref_id) DO UPDATE SET taken = 2",
        )
        .await?;
    Ok(spu)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_largest_listings_are_answered() -> Result<()> {
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();
    let seller = Person::sign_up(&nobody, "seller", "VN").await?;
    let spu = crowd(&nexus, &seller, 200).await?;
    for limit in [100, 11, 10, 1] {
        for path in [
            format!("{CARD}?limit={limit}"),
            format!("{SPU}?limit={limit}"),
            format!("{SPU}?limit={limit}&search=%F0%9F%92%A1&page=2"),
            format!("{CARD}?limit={limit}&sort=price_asc"),
        ] {
            let page = nobody.get(&path).await?;
            page.data(200);
        }
    }
    let cards = nobody.get(&format!("{CARD}?limit=100")).await?;
    let cards = cards.data(200).as_array().cloned().unwrap_or_default();
    assert_eq!(cards.len(), 100);
    for card in &cards {
        assert_eq!(card["sold"], 400, "of all its variants: {}", card["id"]);
    }
    // In a list a large one is cut, and says so; by its id it is whole. What is small is never cut.
    let page = nobody.get(&format!("{SPU}?limit=100")).await?;
    let listed = &page.data(200)[0];
    assert_eq!(listed["is_abridged"], true);
    assert_eq!(listed["description"], WIDE.repeat(300) + "…");
    assert_eq!(listed["specifications"], json!([]));
    assert_eq!(listed["tags"].as_array().map(Vec::len), Some(5));
    let whole = nobody.get(&format!("{SPU}/{spu}")).await?;
    assert_eq!(whole.data(200)["is_abridged"], false);
    assert_eq!(whole.data(200)["description"], WIDE.repeat(99_999));
    seller.lists("Pot", "VND", 0).await?;
    let page = nobody.get(&format!("{SPU}?limit=100&search=Pot")).await?;
    assert_eq!(
        (&page.data(200)[0]["is_abridged"], &page.data(200)[0]["description"]),
        (&json!(false), &json!("One litre"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_holds_a_thousand_units_with_serials_and_not_one_more() -> Result<()> {
    // Together they are more than is collected at one door otherwise.
    let unbounded = NexusOptions::with(&[("SPIN_VARIABLE_COD_MAX_MINOR", "1000000000")]);
    let nexus = Nexus::start_with(unbounded).await?;
    let shop = Shop::open(&nexus.client(), 0).await?;
    let seller = &shop.seller.client;
    let owner = json!({ "ref_id": shop.sku, "ref_type": "ProductSku" });
    let with = |key: &str, value: Value| {
        let mut body = owner.clone();
        body[key] = value;
        body
    };
    seller
        .patch("/api/v1/inventory/stock", with("serial_required", json!(true)))
        .await?
        .data(200);
    // The longest there are: 128 characters of four bytes.
    let serials: Vec<String> = (0..1_001)
        .map(|number| format!("{number:04}{}", WIDE.repeat(124)))
        .collect();
    let mut units = with("change", json!(1_001));
    units["serial_ids"] = json!(serials);
    seller.post(IMPORT, units).await?.data(200);
    let status = |status: &str| json!({ "serial_ids": serials[..1_000], "status": status });
    seller.patch(SERIAL, status("Inactive")).await?.data(200);
    assert_eq!(shop.stock().await?, (1, 0));
    seller.patch(SERIAL, status("Active")).await?.data(200);

    let refused = shop.buyer.client.post(CHECKOUT, shop.checkout(1_001)).await?;
    refused.failed(409, "serial_shortage");
    assert_eq!(shop.stock().await?, (1_001, 0));
    shop.buyer.client.post(CHECKOUT, shop.checkout(1_000)).await?.data(200);
    assert_eq!(shop.stock().await?, (1, 1_000));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_a_hundred_contacts_and_its_list_shows_them_all() -> Result<()> {
    let nexus = Nexus::start().await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let person = Person::register(&nexus.client(), "person").await?;
    let me = &person.client;
    // The widest there are: 100 characters of four bytes for the name, 255 for the address.
    let rest = 254 - ADDRESS.len();
    let widest = json!({
        "full_name": WIDE.repeat(100), "phone": "+84912345678901", "address": format!("{} {ADDRESS}", WIDE.repeat(rest)),
        "address_type": "Home",
    });
    me.post(CONTACT, widest.clone()).await?.data(200);
    let copies = format!(
        "INSERT INTO account.contact
             (id, account_id, full_name, phone, phone_verified, address_type, date_created, address, latitude, longitude)
         SELECT gen_random_uuid(), account_id, full_name, phone, phone_verified, address_type, date_created, address, latitude, longitude
         FROM account.contact, generate_series(1, 97) WHERE account_id = '{}' AND phone = '+84912345678901'",
        person.id
    );
    assert_eq!(audit.change(&copies).await?, 97);
    let last = me.post(CONTACT, widest.clone()).await?.text(200, "id");
    me.post(CONTACT, widest.clone()).await?.failed(409, "contacts_full");
    let listed = me.get(CONTACT).await?;
    assert_eq!(listed.data(200).as_array().map(Vec::len), Some(100));
    // One that is there may still be changed, and one that goes makes room for one.
    me.patch(CONTACT, json!({ "contact_id": last, "full_name": "An" }))
        .await?
        .data(200);
    me.delete(CONTACT, Some(json!({ "contact_id": last }))).await?.data(200);
    me.post(CONTACT, widest).await?.data(200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_and_lists_of_the_widest_lines_are_answered() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let (buyer, seller) = (&shop.buyer.client, &shop.seller.client);
    let session = buyer.post(CHECKOUT, shop.checkout(1)).await?;
    let session = session.text(200, "checkout_session_id");
    let waiting = seller.get("/api/v1/order/seller/pending").await?;
    let confirm = json!({ "item_ids": [waiting.data(200)[0]["id"]], "payment_option": "system-cod" });
    seller
        .post("/api/v1/order/seller/pending/confirm", confirm)
        .await?
        .data(200);
    let audit = Audit::open(nexus.database_url()).await?;
    // Beside the line of the order 299 as wide as may be, and a page of such lines that wait for their seller; each has the longest numbers of
    // this many units.
    for (lines, of_order, units) in [(299, true, 10), (100, false, UNITS)] {
        let copy = format!(
            "INSERT INTO \"order\".item
                 (order_id, confirm_session_id, account_id, seller_id, sku_id, spu_id, slug, sku_name, address, note, serial_ids, quantity,
                  weight_grams, transport_option, currency, unit_amount, subtotal_amount, shipping_amount, total_amount,
                  payment_session_id, reservation_id, date_created)
             SELECT CASE WHEN {of_order} THEN order_id END, CASE WHEN {of_order} THEN confirm_session_id END, account_id, seller_id,
                    gen_random_uuid(), spu_id, slug, repeat('{WIDE}', 400), repeat('{WIDE}', 500), repeat('{WIDE}', 500),
                    (SELECT jsonb_agg(lpad(copy || '-' || unit, 128, '{WIDE}')) FROM generate_series(1, {units}) AS unit), quantity, weight_grams,
                    transport_option, currency, unit_amount, subtotal_amount, shipping_amount, total_amount, payment_session_id,
                    gen_random_uuid(), date_created + copy * interval '1 ms'
             FROM \"order\".item, generate_series(1, {lines}) AS copy
             WHERE payment_session_id = '{session}' AND order_id IS NOT NULL AND note IS NULL"
        );
        assert_eq!(audit.change(&copy).await?, lines);
    }
    let sold = seller.get("/api/v1/order/seller/confirmed?limit=100").await?;
    let order = sold.data(200)[0]["id"].as_str().unwrap_or_default().to_owned();
    for path in [
        format!("/api/v1/order/buyer/orders/{order}"),
        format!("/api/v1/order/seller/confirmed/{order}"),
    ] {
        let shown = seller_or_buyer(&shop, &path).get(&path).await?;
        let items = shown.data(200)["items"].as_array().expect("a list");
        assert_eq!(items.len(), 300, "{path}");
        let ids: Vec<i64> = items.iter().filter_map(|item| item["id"].as_i64()).collect();
        assert!(ids.is_sorted(), "{ids:?}");
        assert_eq!(items[299]["serial_ids"].as_array().map(Vec::len), Some(10));
    }
    // A page that has no room for the numbers of all units says of which lines they are missing, and a smaller page has them.
    let page = seller.get("/api/v1/order/seller/pending?limit=100").await?;
    let lines = page.data(200).as_array().expect("a list");
    assert_eq!(lines.len(), 100);
    let whole = lines
        .iter()
        .take_while(|line| line["serial_ids"].as_array().map(Vec::len) == Some(UNITS));
    let whole = whole.count();
    assert!((8..50).contains(&whole), "{whole}");
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(
            (line["serial_ids"].is_null(), &line["is_abridged"]),
            (number >= whole, &flag(number >= whole))
        );
    }
    let next = seller.get("/api/v1/order/seller/pending?limit=8&page=12").await?;
    for line in next.data(200).as_array().expect("a list") {
        assert_eq!(line["serial_ids"].as_array().map(Vec::len), Some(UNITS));
        assert_eq!(line["is_abridged"], Value::Null);
    }
    let bought = buyer.get("/api/v1/order/buyer/pending-items?limit=100").await?;
    assert_eq!(bought.data(200).as_array().map(Vec::len), Some(100));
    // All of it is given up as it was taken.
    let cancel = format!("{CHECKOUT}/{session}/cancel");
    buyer.post(&cancel, json!({})).await?.data(200);
    let left = "SELECT count(*) FROM \"order\".item WHERE order_id IS NULL AND date_cancelled IS NULL";
    audit.becomes(left, 0).await
}

/// Of what is said only where it is so.
fn flag(is_said: bool) -> Value {
    if is_said { json!(true) } else { Value::Null }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_many_orders_of_the_widest_lines_are_answered() -> Result<()> {
    const ORDERS: u64 = 12;
    const LINES: i64 = 1_000;
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    shop.buyer.client.post(CHECKOUT, shop.checkout(1)).await?.data(200);
    let waiting = shop.seller.client.get("/api/v1/order/seller/pending").await?;
    let confirm = json!({ "item_ids": [waiting.data(200)[0]["id"]], "payment_option": "system-cod" });
    let confirmed = shop.seller.client.post("/api/v1/order/seller/pending/confirm", confirm);
    confirmed.await?.data(200);
    let audit = Audit::open(nexus.database_url()).await?;
    // A character that JSON has six bytes for.
    let copies = format!(
        "WITH parcel AS (
             INSERT INTO \"order\".transport (option, provider, direction, status, data, cost_amount, currency, date_created)
             SELECT option, provider, direction, status, data, cost_amount, currency, date_created
             FROM \"order\".transport, generate_series(1, {ORDERS}) RETURNING id
         ), fee AS (
             INSERT INTO \"order\".payment_session
                 (id, kind, status, from_id, note, currency, total_amount, collect_on_delivery, data, date_created, date_paid, date_expired)
             SELECT gen_random_uuid(), kind, status, from_id, note, currency, total_amount, collect_on_delivery, data, date_created, date_paid,
                    date_expired
             FROM \"order\".payment_session, generate_series(1, {ORDERS}) WHERE kind = 'seller-confirmation-fee' RETURNING id
         ), pair AS (
             SELECT parcel.id AS parcel, fee.id AS fee
             FROM (SELECT id, row_number() OVER () AS nth FROM parcel) parcel JOIN (SELECT id, row_number() OVER () AS nth FROM fee) fee USING (nth)
         ), copied AS (
             INSERT INTO \"order\".\"order\"
                 (id, buyer_id, seller_id, transport_id, address, date_created, confirmed_by_id, confirm_session_id, note)
             SELECT gen_random_uuid(), buyer_id, seller_id, parcel, address, date_created + parcel * interval '1 ms', confirmed_by_id, fee, note
             FROM \"order\".\"order\", pair RETURNING id
         )
         INSERT INTO \"order\".item
             (order_id, confirm_session_id, account_id, seller_id, sku_id, spu_id, slug, sku_name, address, note, quantity, weight_grams,
              transport_option, currency, unit_amount, subtotal_amount, shipping_amount, total_amount, payment_session_id,
              reservation_id, date_created)
         SELECT copied.id, confirm_session_id, account_id, seller_id, gen_random_uuid(), spu_id, slug, repeat('{WIDE}', 400), repeat('{WIDE}', 500),
                repeat(chr(1), 500), quantity, weight_grams, transport_option, currency, unit_amount, subtotal_amount, shipping_amount,
                total_amount, payment_session_id, gen_random_uuid(), date_created
         FROM \"order\".item, copied, generate_series(1, {LINES})"
    );
    assert_eq!(audit.change(&copies).await?, ORDERS * LINES as u64);
    let shown = |page: &Answer| -> Vec<(usize, bool, i64)> {
        let orders = page.data(200).as_array().expect("a list");
        let of = |order: &Value| {
            let lines = order["items"].as_array().map_or(0, Vec::len);
            let total = order["total_amount"].as_i64().unwrap_or_default();
            (lines, order["is_abridged"] == true, total)
        };
        orders.iter().map(of).collect()
    };
    let all = LINES * 115_000;
    for (path, client) in [
        ("/api/v1/order/seller/confirmed", &shop.seller.client),
        ("/api/v1/order/buyer/pending-orders", &shop.buyer.client),
    ] {
        // Every order is there, and of each as much as there is room for; the small one, the oldest, is whole.
        let page = client.get(&format!("{path}?limit=100")).await?;
        let orders = shown(&page);
        assert_eq!(orders.len(), 13);
        assert_eq!(orders[12], (1, false, 115_000));
        for (lines, is_abridged, total) in &orders[..12] {
            assert!((50..LINES as usize).contains(lines) && *is_abridged, "{orders:?}");
            assert_eq!(*total, all);
        }
        // By number or by cursor, one after the other: all of each.
        let mut cursor = String::new();
        for number in 1..=12 {
            let page = client.get(&format!("{path}?limit=1&page={number}")).await?;
            assert_eq!(shown(&page), [(LINES as usize, false, all)], "{number}");
            let same = client.get(&format!("{path}?limit=1&cursor={cursor}")).await?;
            assert_eq!(same.data(200), page.data(200), "{number}");
            cursor = same.json["pagination"]["next_cursor"]
                .as_str()
                .unwrap_or_default()
                .replace('=', "%3D");
        }
    }
    Ok(())
}

/// Units of each line of the page: as many as may be.
const UNITS: usize = 1_000;

fn seller_or_buyer<'s>(shop: &'s Shop, path: &str) -> &'s Client {
    if path.contains("/seller/") {
        &shop.seller.client
    } else {
        &shop.buyer.client
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_of_the_widest_lines_as_may_be_are_confirmed_and_given_up_at_once() -> Result<()> {
    const LINES: u64 = 1_000;
    // Together they are more than is collected at one door otherwise.
    let unbounded = NexusOptions::with(&[("SPIN_VARIABLE_COD_MAX_MINOR", "1000000000")]);
    let nexus = Nexus::start_with(unbounded).await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let session = shop.buyer.client.post(CHECKOUT, shop.checkout(1)).await?;
    let session = session.text(200, "checkout_session_id");
    let audit = Audit::open(nexus.database_url()).await?;
    let widest = format!("UPDATE \"order\".item SET address = repeat('{WIDE}', 500), note = address");
    assert_eq!(audit.change(&widest).await?, 1);
    // As many checkouts of one line each.
    let copies = format!(
        "WITH copy AS MATERIALIZED (
             SELECT gen_random_uuid() AS session, gen_random_uuid() AS reservation FROM generate_series(2, {LINES})
         ), copied_session AS (
             INSERT INTO \"order\".payment_session
                 (id, kind, status, from_id, note, currency, total_amount, collect_on_delivery, data, date_created, date_expired)
             SELECT copy.session, kind, status, from_id, note, currency, total_amount, collect_on_delivery, data, date_created, date_expired
             FROM \"order\".payment_session, copy
         ), reservation AS (
             INSERT INTO inventory.reservation (id, state, expires_at, date_created, date_updated)
             SELECT copy.reservation, state, expires_at, date_created, date_updated FROM inventory.reservation, copy
         ), reservation_item AS (
             INSERT INTO inventory.reservation_item (reservation_id, stock_id, sku_id, quantity, serial_ids)
             SELECT copy.reservation, stock_id, sku_id, quantity, serial_ids FROM inventory.reservation_item, copy
         )
         INSERT INTO \"order\".item
             (account_id, seller_id, sku_id, spu_id, slug, sku_name, address, note, quantity, weight_grams, transport_option, currency,
              unit_amount, subtotal_amount, shipping_amount, total_amount, payment_session_id, reservation_id, date_created)
         SELECT account_id, seller_id, sku_id, spu_id, slug, sku_name, address, note, quantity, weight_grams, transport_option, currency,
                unit_amount, subtotal_amount, shipping_amount, total_amount, copy.session, copy.reservation, date_created
         FROM \"order\".item, copy WHERE payment_session_id = '{session}'"
    );
    assert_eq!(audit.change(&copies).await?, LINES - 1);
    let taken = format!("UPDATE inventory.stock SET taken = {LINES}");
    assert_eq!(audit.change(&taken).await?, 1);
    let ids = audit.texts("SELECT id::text FROM \"order\".item ORDER BY id").await?;
    let ids: Vec<i64> = ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?;
    let confirm = json!({ "item_ids": ids, "payment_option": "system-cod" });
    let seller = shop.seller.client.keyed("all-of-them");
    let confirmed = seller
        .post_until_answered("/api/v1/order/seller/pending/confirm", &confirm, PATIENCE)
        .await?;
    confirmed.data(200);
    let ordered = "SELECT count(*) FROM \"order\".item WHERE order_id IS NOT NULL";
    assert_eq!(audit.count(ordered).await?, 1_000);
    // And all of it is lost.
    let order = audit.texts("SELECT id::text FROM \"order\".\"order\"").await?;
    let lost = "UPDATE \"order\".transport SET status = 'Cancelled'";
    assert_eq!(audit.change(lost).await?, 1);
    let due = format!(
        "UPDATE \"order\".payment_session SET date_expired = now() WHERE id = '{}'",
        order[0]
    );
    assert_eq!(audit.change(&due).await?, 1);
    let timers =
        "UPDATE host.invocation SET due_at = now() WHERE component = 'order' AND ended_at IS NULL AND due_at > now()";
    assert!(audit.change(timers).await? > 0);
    audit
        .becomes("SELECT count(*) FROM \"order\".item WHERE date_cancelled IS NULL", 0)
        .await?;
    let sold = "SELECT count(*) FROM inventory.reservation WHERE state <> 'released'";
    audit.becomes(sold, 0).await
}
