//! What a listing shows of its variants, and how buyers and sellers look through many.

use anyhow::Result;
use component_tests::{Audit, CHECKOUT, Client, Nexus, Person, Shop};
use serde_json::{Value, json};

const SPU: &str = "/api/v1/catalog/product-spu";
const SKU: &str = "/api/v1/catalog/product-sku";
const CARD: &str = "/api/v1/catalog/product-card";
const DETAIL: &str = "/api/v1/catalog/product-detail";
const CATEGORY: &str = "/api/v1/catalog/category";

/// A further variant of a listing.
async fn variant(seller: &Client, spu: &str, price: i64, changes: Value) -> Result<String> {
    let mut body = json!({ "spu_id": spu, "price": price, "package_details": {} });
    let fields = changes.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(fields);
    Ok(seller.post(SKU, body).await?.text(200, "id"))
}

/// The texts under a key of a list's rows.
fn each(rows: &Value, key: &str) -> Vec<String> {
    let rows = rows.as_array().expect("a list").iter();
    rows.map(|row| row[key].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_shows_the_variant_that_is_featured_and_counts_what_was_sold_of_all() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let seller = &shop.seller.client;
    let shown = async || -> Result<(String, i64, i64)> {
        let spu = seller.get(&format!("{SPU}/{}", shop.spu)).await?;
        let card = nexus.client().get(&format!("{CARD}/{}", shop.spu)).await?;
        let (featured, card) = (&spu.data(200)["featured_sku_id"], card.data(200));
        assert_eq!(card["price"], card["original_price"]);
        let number = |key: &str| card[key].as_i64().unwrap_or(-1);
        Ok((
            featured.as_str().unwrap_or_default().to_owned(),
            number("price"),
            number("sold"),
        ))
    };
    // The first one is, although others come that cost less.
    let cheap = variant(seller, &shop.spu, 50_000, json!({})).await?;
    let middle = variant(seller, &shop.spu, 70_000, json!({})).await?;
    assert_eq!(shown().await?, (shop.sku.clone(), 100_000, 0));
    let features = json!({ "id": shop.spu, "featured_sku_id": middle });
    assert_eq!(seller.patch(SPU, features).await?.data(200)["featured_sku_id"], middle);
    assert_eq!(shown().await?, (middle.clone(), 70_000, 0));

    shop.seller.imports(&middle, 5).await?;
    for (sku, quantity) in [(&shop.sku, 2), (&middle, 1)] {
        let mut checkout = shop.checkout(quantity);
        checkout["items"][0]["sku_id"] = json!(sku);
        shop.buyer.client.post(CHECKOUT, checkout).await?.data(200);
    }
    assert_eq!(shown().await?, (middle.clone(), 70_000, 3));
    // It follows its price, and when it goes the cheapest takes its place; what was sold of it stays.
    let dearer = json!({ "id": middle, "price": 80_000 });
    seller.patch(SKU, dearer).await?.data(200);
    assert_eq!(shown().await?, (middle.clone(), 80_000, 3));
    seller.delete(SKU, Some(json!({ "id": middle }))).await?.data(200);
    assert_eq!(shown().await?, (cheap.clone(), 50_000, 3));
    let detail = nexus.client().get(&format!("{DETAIL}?id={}", shop.spu)).await?;
    let mut left = each(&detail.data(200)["skus"], "id");
    left.sort();
    let mut expected = [cheap.clone(), shop.sku.clone()];
    expected.sort();
    assert_eq!(left, expected);
    for gone in [&cheap, &shop.sku] {
        seller.delete(SKU, Some(json!({ "id": gone }))).await?.data(200);
    }
    assert_eq!(shown().await?, (String::new(), 0, 3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_that_saw_one_version_the_second_is_refused() -> Result<()> {
    let nexus = Nexus::start().await?;
    let seller = Person::register(&nexus.client(), "seller").await?;
    let listing = seller.lists("Pot", "VND", 0).await?;
    for (path, id, change) in [
        (SKU, &listing.sku, json!({ "combinable": false })),
        (SPU, &listing.spu, json!({ "description": "Two litres" })),
    ] {
        let seen = match path {
            SKU => seller
                .client
                .get(&format!("{SKU}?spu_id={}", listing.spu))
                .await?
                .data(200)[0]["version"]
                .clone(),
            _ => seller.client.get(&format!("{SPU}/{id}")).await?.data(200)["version"].clone(),
        };
        let mut body = change;
        body["id"] = json!(id);
        body["version"] = seen.clone();
        let other = seller.client.anew();
        let (one, other) = tokio::join!(seller.client.patch(path, body.clone()), other.patch(path, body.clone()));
        let (done, refused) = match (one?, other?) {
            (one, other) if one.status == 200 => (one, other),
            (one, other) => (other, one),
        };
        let now = done.data(200)["version"].clone();
        assert_eq!(now.as_i64(), seen.as_i64().map(|seen| seen + 1), "{path}");
        refused.failed(409, "version_conflict");
        // Who has seen what it is now may go on.
        body["version"] = now;
        seller.client.patch(path, body).await?.data(200);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn buyers_find_what_they_filter_for_in_the_order_they_ask_for() -> Result<()> {
    let nexus = Nexus::start().await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let nobody = nexus.client();
    let seller = Person::register(&nobody, "seller").await?;
    let other = Person::register(&nobody, "other").await?;
    // A category below another one, and what is in it.
    let parent = nobody.get(&format!("{CATEGORY}?limit=1")).await?.data(200)[0]["id"].clone();
    let parent = parent.as_str().unwrap_or_default().to_owned();
    let child = "fff0a5b2-7c11-7d3e-8f00-0000000000c1";
    let below = format!(
        "INSERT INTO catalog.category (id, name, description, parent_id) VALUES ('{child}', 'Below', 'All things enamelled', '{parent}')"
    );
    assert_eq!(audit.change(&below).await?, 1);

    let mut spus = Vec::new();
    for (number, name) in ["one", "two", "three", "four", "five"].into_iter().enumerate() {
        let owner = if name == "five" { &other } else { &seller };
        let listing = owner.lists(name, "VND", 0).await?;
        // 1,000 to 4,000 in steps, and the last one like the second.
        let price = if name == "five" {
            2_000
        } else {
            1_000 * (number as i64 + 1)
        };
        let change = json!({ "id": listing.sku, "price": price });
        owner.client.patch(SKU, change).await?.data(200);
        spus.push(listing);
    }
    let mine = &seller.client;
    variant(mine, &spus[0].spu, 9_000, json!({ "combinable": false })).await?;
    let tags = json!({ "id": spus[1].spu, "tags": ["coffee", "steel"] });
    mine.patch(SPU, tags).await?.data(200);
    let moved = json!({ "id": spus[2].spu, "category_id": child });
    mine.patch(SPU, moved).await?.data(200);
    // A day between each two, from the first on.
    for (days, listing) in spus.iter().enumerate() {
        let made = format!(
            "UPDATE catalog.product_spu SET date_created = to_timestamp({}) WHERE id = '{}'",
            86_400 * (days + 1),
            listing.spu
        );
        assert_eq!(audit.change(&made).await?, 1);
    }

    let names = async |query: &str| -> Result<Vec<String>> {
        let page = nobody.get(&format!("{CARD}?{query}")).await?;
        let names = each(page.data(200), "name");
        assert_eq!(page.json["pagination"]["total"], names.len(), "{query}");
        Ok(names)
    };
    for (query, expected) in [
        ("", vec!["five", "four", "three", "two", "one"]),
        // Of the variants one is not cheaper, and one is not dearer.
        ("price_min=5000", vec!["one"]),
        ("price_max=1000", vec!["one"]),
        ("price_min=3000&price_max=3500", vec!["three", "one"]),
        ("price_min=9001", vec![]),
        ("tag=Coffee&tag=steel", vec!["two"]),
        ("tag=coffee&tag=wood", vec![]),
        (&format!("category_id={child}"), vec!["three"]),
        (
            &format!("category_id={parent}"),
            vec!["five", "four", "three", "two", "one"],
        ),
        (&format!("seller_id={}", other.id), vec!["five"]),
        ("date_created_from=345600", vec!["five", "four"]),
        ("date_created_to=172800", vec!["two", "one"]),
        ("date_created_from=172800&date_created_to=259200&tag=steel", vec!["two"]),
        ("sort=price_asc&price_max=2500", ["one", "two", "five"].to_vec()),
        ("sort=price_desc&price_min=2500", vec!["four", "three", "one"]),
        ("sort=rating&price_max=2500", ["five", "two", "one"].to_vec()),
    ] {
        assert_eq!(names(query).await?, expected, "{query}");
    }

    // Cursors lead through each order, past two of one price, and all of one rating.
    let ascending = ["one", "two", "five", "three", "four"];
    for (sort, expected) in [
        ("price_asc", ascending.to_vec()),
        ("price_desc", ascending.iter().rev().copied().collect()),
        ("rating", vec!["five", "four", "three", "two", "one"]),
    ] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = nobody.get(&format!("{CARD}?sort={sort}&limit=2{cursor}")).await?;
            seen.extend(each(page.data(200), "name"));
            let Some(next) = page.json["pagination"]["next_cursor"].as_str() else {
                break;
            };
            cursor = format!(
                "&cursor={}",
                next.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
            );
        }
        assert_eq!(seen, expected, "{sort}");
    }

    // What was sold of which is not known here.
    for sort in ["popular", "cheapest"] {
        nobody.get(&format!("{CARD}?sort={sort}&limit=2")).await?.names("sort");
    }

    // What a seller looks a listing up by.
    let (one, two) = (spus[0].spu.as_str(), spus[1].spu.as_str());
    let slug = mine.get(&format!("{SPU}/{two}")).await?.text(200, "slug");
    let other_slug = mine.get(&format!("{SPU}/{one}")).await?.text(200, "slug");
    for (query, expected) in [
        ("search=TWO".to_owned(), vec!["two"]),
        (format!("search={slug}"), vec!["two"]),
        (format!("search={two}"), vec!["two"]),
        ("search=litre".to_owned(), vec![]),
        (format!("slug={slug},{other_slug}"), vec!["two", "one"]),
        (format!("category_id={child}"), vec!["three"]),
    ] {
        let listed = mine.get(&format!("{SPU}?{query}")).await?;
        assert_eq!(each(listed.data(200), "name"), expected, "{query}");
    }
    // A page is found by its slug as well; an id says which one when both are given.
    for (query, expected) in [(format!("slug={slug}"), two), (format!("slug={slug}&id={one}"), one)] {
        let detail = nobody.get(&format!("{DETAIL}?{query}")).await?;
        assert_eq!(detail.data(200)["id"], expected, "{query}");
    }
    let variants = async |query: &str| -> Result<Vec<i64>> {
        let listed = nobody.get(&format!("{SKU}?{query}")).await?;
        let rows = listed.data(200).as_array().expect("a list");
        Ok(rows.iter().filter_map(|row| row["price"].as_i64()).collect())
    };
    for (query, expected) in [
        ("price_from=1", vec![]),
        (&format!("spu_id={one}"), vec![1_000, 9_000]),
        (&format!("spu_id={one}&price_from=1001"), vec![9_000]),
        (&format!("spu_id={one}&price_to=8999"), vec![1_000]),
        (&format!("spu_id={one}&combinable=false"), vec![9_000]),
        (&format!("spu_id={one}&combinable=true"), vec![1_000]),
    ] {
        assert_eq!(variants(query).await?, expected, "{query}");
    }
    for (query, field) in [
        ("price_from=0", "price_from"),
        ("price_from=9&price_to=8", "price_to"),
        ("combinable=1", "combinable"),
    ] {
        let refused = nobody.get(&format!("{SKU}?spu_id={one}&{query}")).await?;
        refused.names(field);
    }
    let long = format!("search={}", "x".repeat(101));
    for (query, field) in [
        (long.as_str(), "search"),
        ("price_max=-1", "price_max"),
        ("date_created_from=-1", "date_created_from"),
        ("date_created_to=-1", "date_created_to"),
        ("seller_id=x", "seller_id"),
        ("category_id=x", "category_id"),
    ] {
        nobody.get(&format!("{CARD}?{query}")).await?.names(field);
    }
    for (query, expected) in [
        (format!("id={child}&id={parent}"), vec![parent.as_str(), child]),
        ("search=ENAMELLED".to_owned(), vec![child]),
        ("search=below".to_owned(), vec![child]),
    ] {
        let listed = nobody.get(&format!("{CATEGORY}?{query}")).await?;
        assert_eq!(each(listed.data(200), "id"), expected, "{query}");
    }
    Ok(())
}
