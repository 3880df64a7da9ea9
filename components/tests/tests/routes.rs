//! Routes that no flow of the other tests asks for: what each answers, to the letter.

use anyhow::Result;
use component_tests::{ADDRESS, Audit, Nexus, Person, Shop};
use serde_json::{Value, json};

const TAG: &str = "/api/v1/catalog/tag";
const CATEGORY: &str = "/api/v1/catalog/category";
const CART: &str = "/api/v1/order/cart";
const QUOTE: &str = "/api/v1/order/buyer/quote-transport";
const FORWARD: &str = "/api/v1/common/geocode/forward";
const REVERSE: &str = "/api/v1/common/geocode/reverse";
const SEARCH: &str = "/api/v1/common/geocode/search";
const NOBODYS: &str = "0190a5b2-7c11-7d3e-8f00-0123456789ab";

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_marketplace_has_the_base_categories_and_no_tag() -> Result<()> {
    const BASE: [&str; 33] = [
        "Arts & Crafts",
        "Automotive & Motorcycle",
        "Baby & Maternity",
        "Bags & Luggage",
        "Beauty & Personal Care",
        "Bedding & Bath",
        "Books & Media",
        "Computers & Networking",
        "Electronics",
        "Fashion & Clothing",
        "Fashion Accessories",
        "Garden & Outdoor Living",
        "General",
        "Grocery & Food",
        "Health & Wellness",
        "Home Decor & Lighting",
        "Home Furniture",
        "Industrial & Commercial",
        "Jewelry",
        "Kitchen & Dining",
        "Large Appliances",
        "Mobile Phones & Tablets",
        "Musical Instruments",
        "Pet Supplies",
        "Shoes & Footwear",
        "Small Appliances",
        "Software & Digital Goods",
        "Sports & Outdoors",
        "Stationery & Office Supplies",
        "Tools & Hardware",
        "Toys & Games",
        "Video Games & Gaming",
        "Watches",
    ];
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();
    let all = nobody.get(&format!("{CATEGORY}?limit=100")).await?;
    let listed = all.data(200).as_array().expect("a list");
    let mut names: Vec<&str> = listed.iter().filter_map(|category| category["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, BASE);
    assert!(
        listed.iter().all(|category| category["parent_id"].is_null()),
        "each is a root"
    );
    let ids: Vec<&str> = listed.iter().filter_map(|category| category["id"].as_str()).collect();
    assert!(ids.is_sorted(), "by id");
    assert_eq!(
        all.json["pagination"],
        json!({ "limit": 100, "total": 33, "page": 1, "next_page": null, "cursor": null, "next_cursor": null })
    );
    // Every installation has the same ids.
    let general = json!({
        "id": "ddcf81a3-3f6a-5187-9c5b-4754e31ff8ac", "name": "General", "description": "Whatever fits no other category",
        "parent_id": null, "resources": [],
    });
    let found = nobody.get(&format!("{CATEGORY}?search=GENERAL")).await?;
    assert_eq!(*found.data(200), json!([general]));
    let one = nobody
        .get(&format!("{CATEGORY}/ddcf81a3-3f6a-5187-9c5b-4754e31ff8ac"))
        .await?;
    assert_eq!(*one.data(200), general);
    assert_eq!(*nobody.get(TAG).await?.data(200), json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_come_by_name_in_pages_and_to_everybody() -> Result<()> {
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();
    let seller = Person::register(&nobody, "seller").await?;
    let category = nobody.get(&format!("{CATEGORY}?limit=1")).await?.data(200)[0]["id"].clone();
    let listing = json!({
        "category_id": category, "name": "Enamel pot", "description": "One litre", "currency": "VND", "is_enabled": true,
        "tags": ["kitchen", " Enamel ", "KITCHEN", "100% steel"],
    });
    seller
        .client
        .post("/api/v1/catalog/product-spu", listing)
        .await?
        .data(200);
    let tag = |id: &str| json!({ "id": id, "account_id": seller.id, "name": id, "description": null });
    let page = |limit: i64, total: i64, page: i64, next: Value| json!({ "limit": limit, "total": total, "page": page, "next_page": next });
    let listed = async |query: &str| -> Result<(Value, Value)> {
        let answer = nobody.get(&format!("{TAG}{query}")).await?;
        let mut pagination = answer.json["pagination"].clone();
        let cursors = pagination.as_object_mut().expect("an object");
        cursors.remove("cursor");
        cursors.remove("next_cursor");
        Ok((answer.data(200).clone(), pagination))
    };
    let all = json!([tag("100% steel"), tag("enamel"), tag("kitchen")]);
    assert_eq!(listed("").await?, (all, page(10, 3, 1, Value::Null)));
    assert_eq!(
        listed("?limit=2").await?,
        (json!([tag("100% steel"), tag("enamel")]), page(2, 3, 1, json!(2)))
    );
    assert_eq!(
        listed("?limit=2&page=2").await?,
        (json!([tag("kitchen")]), page(2, 3, 2, Value::Null))
    );
    // Any part of the name in any case; what means something to a pattern is a letter like any other.
    assert_eq!(
        listed("?search=ITCH").await?,
        (json!([tag("kitchen")]), page(10, 1, 1, Value::Null))
    );
    assert_eq!(
        listed("?search=0%25").await?,
        (json!([tag("100% steel")]), page(10, 1, 1, Value::Null))
    );
    assert_eq!(listed("?search=_").await?, (json!([]), page(10, 0, 1, Value::Null)));
    let first = nobody.get(&format!("{TAG}?limit=2")).await?;
    let cursor = first.json["pagination"]["next_cursor"]
        .as_str()
        .expect("a cursor")
        .to_owned();
    let cursor = cursor.replace('+', "%2B").replace('=', "%3D");
    let (rest, _) = listed(&format!("?limit=2&cursor={cursor}")).await?;
    assert_eq!(rest, json!([tag("kitchen")]));

    for (query, field) in [
        (format!("search={}", "x".repeat(101)), "search"),
        ("limit=0".to_owned(), "limit"),
        ("page=-1".to_owned(), "page"),
        ("page=x".to_owned(), "page"),
        ("cursor=x".to_owned(), "cursor"),
    ] {
        nobody.get(&format!("{TAG}?{query}")).await?.names(field);
    }
    // One by its name, in any spelling, to those who are signed in.
    assert_eq!(
        *seller.client.get(&format!("{TAG}/Kitchen")).await?.data(200),
        tag("kitchen")
    );
    seller
        .client
        .get(&format!("{TAG}/garden"))
        .await?
        .failed(404, "entity_not_found");
    nobody.get(&format!("{TAG}/kitchen")).await?.failed(401, "unauthorized");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_says_what_each_line_costs_to_carry_and_holds_nothing() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let lid = shop.seller.lists("Lid", "VND", 10).await?.sku;
    let rival = Person::register(&nexus.client(), "rival").await?;
    let cup = rival.lists("Cup", "VND", 10).await?.sku;
    let line = |sku: &str, quantity: i64, option: &str| json!({ "sku_id": sku, "quantity": quantity, "transport_option": option });
    let buyer = &shop.buyer.client;

    // A parcel per seller and option: 1,600 g of one seller share one, 2,400 g of the other go alone.
    let body = json!({ "address": ADDRESS, "items": [
        line(&shop.sku, 1, "standard"), line(&cup, 3, "standard"), line(&lid, 1, "standard"),
    ] });
    let cost = |sku: &str, cost: i64| json!({ "sku_id": sku, "transport_option": "standard", "cost": cost, "currency": "VND" });
    let quoted = buyer.post(QUOTE, body.clone()).await?;
    assert_eq!(
        quoted.json,
        json!({ "data": { "items": [cost(&shop.sku, 7_500), cost(&cup, 17_000), cost(&lid, 7_500)] } })
    );
    // What it says is what a checkout takes.
    let mut checkout = shop.checkout(1);
    checkout["buy_now"] = json!(false);
    checkout["items"] = body["items"].clone();
    assert_eq!(shop.stock().await?, (10, 0), "nothing is held by a quote");
    buyer.post("/api/v1/order/buyer/checkout", checkout).await?.data(200);
    let items = buyer.get("/api/v1/order/buyer/pending-items").await?;
    let shipping: i64 = items
        .data(200)
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| item["total_amount"].as_i64().unwrap_or(0) - item["subtotal_amount"].as_i64().unwrap_or(0))
        .sum();
    assert_eq!(shipping, 7_500 + 17_000 + 7_500);

    let ask = |items: Value| json!({ "address": ADDRESS, "items": items });
    for (body, field) in [
        (json!({ "items": [line(&shop.sku, 1, "standard")] }), "address"),
        (json!({ "address": ADDRESS }), "items"),
        (ask(json!([])), "items"),
        (ask(json!([line(&shop.sku, 0, "standard")])), "items[0].quantity"),
        (ask(json!([line(&shop.sku, 1, "")])), "items[0].transport_option"),
        (
            ask(json!([{ "quantity": 1, "transport_option": "standard" }])),
            "items[0].sku_id",
        ),
        (
            json!({ "address": "x".repeat(501), "items": [line(&shop.sku, 1, "standard")] }),
            "address",
        ),
    ] {
        buyer.post(QUOTE, body).await?.names(field);
    }
    for (line, status, code) in [
        (line(NOBODYS, 1, "standard"), 404, "order_item_not_found"),
        (line(&shop.sku, 1, "by-balloon"), 400, "unknown_transport_option"),
    ] {
        buyer.post(QUOTE, ask(json!([line]))).await?.failed(status, code);
    }
    shop.seller
        .client
        .post(QUOTE, body.clone())
        .await?
        .failed(409, "own_product");
    nexus.client().post(QUOTE, body).await?.failed(401, "unauthorized");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_found_by_its_last_part() -> Result<()> {
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();
    let found = nobody.post(FORWARD, json!({ "address": ADDRESS })).await?;
    assert_eq!(
        found.json,
        json!({ "data": { "address": ADDRESS, "country_code": "VN", "latitude": 14.06, "longitude": 108.28 } })
    );
    // Around it, blanks say nothing; where no country is known, none is named.
    let found = nobody
        .post(FORWARD, json!({ "address": " 1 Main Street, vnm \n" }))
        .await?;
    assert_eq!(found.data(200)["address"], "1 Main Street, vnm");
    assert_eq!(found.data(200)["country_code"], "VN");
    let nowhere = nobody
        .post(FORWARD, json!({ "address": "somewhere over the rainbow" }))
        .await?;
    assert_eq!(
        *nowhere.data(200),
        json!({ "address": "somewhere over the rainbow", "country_code": "", "latitude": 0.0, "longitude": 0.0 })
    );
    for body in [
        json!({}),
        json!({ "address": "" }),
        json!({ "address": null }),
        json!({ "address": 7 }),
    ] {
        nobody.post(FORWARD, body).await?.names("address");
    }
    nobody
        .post(FORWARD, json!({ "address": " \t" }))
        .await?
        .failed(400, "empty_address");
    // It changes nothing, so it leaves nothing.
    let audit = Audit::open(nexus.database_url()).await?;
    assert_eq!(audit.count("SELECT count(*) FROM host.invocation").await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinates_and_the_beginning_of_a_text_lead_to_places_that_are_known() -> Result<()> {
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();
    let vietnam = json!({ "address": "Viet Nam", "country_code": "VN", "latitude": 14.06, "longitude": 108.28 });
    let there = json!({ "latitude": 14.06, "longitude": "108.28" });
    assert_eq!(nobody.post(REVERSE, there).await?.json, json!({ "data": vietnam }));
    // What lies beside a centre is not guessed at, and neither is the place where equator and Greenwich meet.
    for elsewhere in [
        json!({ "latitude": 14.07, "longitude": 108.28 }),
        json!({ "latitude": 0, "longitude": 0 }),
    ] {
        let nowhere = nobody.post(REVERSE, elsewhere).await?;
        nowhere.failed(400, "address_not_found");
    }
    for (body, field) in [
        (json!({ "longitude": 0 }), "latitude"),
        (json!({ "latitude": 0, "longitude": null }), "longitude"),
        (json!({ "latitude": -90.5, "longitude": 0 }), "latitude"),
        (json!({ "latitude": 0, "longitude": 181 }), "longitude"),
        (json!({ "latitude": "NaN", "longitude": 0 }), "latitude"),
        (json!({ "latitude": true, "longitude": 0 }), "latitude"),
    ] {
        nobody.post(REVERSE, body).await?.names(field);
    }

    let search = async |query: &str| nobody.get(&format!("{SEARCH}?{query}")).await;
    assert_eq!(search("q=viet").await?.json, json!({ "data": [vietnam] }));
    let whole = search("q=8+Nguyen+Hue,+Vietnam").await?;
    assert_eq!(whole.data(200)[0]["address"], "8 Nguyen Hue, Vietnam");
    assert_eq!(whole.data(200)[0]["country_code"], "VN");
    assert_eq!(*search("q=somewhere+over").await?.data(200), json!([]));
    for (limit, found) in [
        ("", 5),
        ("&limit=2", 2),
        ("&limit=10", 10),
        ("&limit=11", 5),
        ("&limit=none", 5),
    ] {
        let places = search(&format!("q=sa{limit}")).await?;
        assert_eq!(places.data(200).as_array().map(Vec::len), Some(found), "{limit}");
    }
    for query in ["", "q=", "q=v", "q=+v+", "q=a%00b"] {
        search(query).await?.names("q");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_emptied_for_its_owner_alone() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let other = Person::register(&nexus.client(), "other").await?;
    let lid = shop.seller.lists("Lid", "VND", 4).await?;
    let buyer = &shop.buyer.client;
    for client in [buyer, &other.client] {
        for (sku, quantity) in [(&shop.sku, 2), (&lid.sku, 1)] {
            let body = json!({ "sku_id": sku, "quantity": quantity });
            assert_eq!(client.post(CART, body).await?.json, json!({ "data": "Cart updated" }));
        }
    }
    let cart = buyer.get(CART).await?;
    let mut line = cart.data(200)[1].clone();
    let created = line["sku"].as_object_mut().and_then(|sku| sku.remove("date_created"));
    assert!(created.is_some_and(|created| created.is_string()), "{}", cart.json);
    assert_eq!(
        line,
        json!({
            "spu_id": lid.spu,
            "sku": {
                "id": lid.sku, "spu_id": lid.spu, "price": 100_000, "combinable": true, "stock": 4,
                "attributes": [{ "name": "Color", "value": "Blue" }], "package_details": { "weight_grams": 800 },
            },
            "quantity": 1, "resource": null, "currency": "VND",
        })
    );

    // Twice: to empty an empty one is no mistake.
    for _ in 0..2 {
        assert_eq!(buyer.delete(CART, None).await?.json, json!({ "data": "Cart cleared" }));
        assert_eq!(buyer.get(CART).await?.json, json!({ "data": [] }));
    }
    assert_eq!(
        other.client.get(CART).await?.data(200).as_array().map(Vec::len),
        Some(2)
    );
    nexus.client().delete(CART, None).await?.failed(401, "unauthorized");
    Ok(())
}
