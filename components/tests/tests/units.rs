//! The units of a variant and their record: serial numbers that several have, units that come back, and variants that are gone.

use anyhow::Result;
use component_tests::{Audit, CHECKOUT, CONFIRM, Nexus, Opened, PaidShop, Person, Shop};
use serde_json::{Value, json};

const SPU: &str = "/api/v1/catalog/product-spu";
const SKU: &str = "/api/v1/catalog/product-sku";
const STOCK: &str = "/api/v1/inventory/stock";
const IMPORT: &str = "/api/v1/inventory/stock/import";
const SERIAL: &str = "/api/v1/inventory/serial";

fn of(sku: &str, key: &str, value: Value) -> Value {
    json!({ "ref_id": sku, "ref_type": "ProductSku", key: value })
}

fn query(path: &str, sku: &str) -> String {
    format!("{path}?ref_id={sku}&ref_type=ProductSku")
}

/// From now on the units of this variant have serial numbers.
async fn requires_serials(seller: &Person, sku: &str) -> Result<Value> {
    let stock = seller
        .client
        .patch(STOCK, of(sku, "serial_required", json!(true)))
        .await?;
    Ok(stock.data(200)["id"].clone())
}

/// Units with these numbers.
async fn imports(seller: &Person, sku: &str, serials: &[String]) -> Result<()> {
    let mut units = of(sku, "change", json!(serials.len()));
    units["serial_ids"] = json!(serials);
    seller.client.post(IMPORT, units).await?.data(200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn units_come_back_whatever_numbers_their_seller_has_taken_meanwhile() -> Result<()> {
    let market = PaidShop::start(&[]).await?;
    let seller = &market.shop.seller;
    let phone = seller.lists("Phone", "VND", 3).await?.sku;
    let of_phone = |mut checkout: Value| {
        checkout["items"][0]["sku_id"] = json!(phone);
        checkout
    };
    let door = market
        .buyer()
        .post(CHECKOUT, of_phone(market.shop.checkout(2)))
        .await?
        .text(200, "checkout_session_id");
    let gateway = market.buyer().post(CHECKOUT, of_phone(market.checkout(1))).await?;
    let gateway = Opened::read(&gateway, "checkout_session_id").session;

    // They left without a number, and their seller reads which reservations have them.
    let history = seller
        .client
        .get(&query("/api/v1/inventory/stock/history", &phone))
        .await?;
    let history = history.data(200).as_array().expect("a list");
    let holds = history.iter().filter(|movement| movement["reason"] == "reserve");
    let holds: Vec<&str> = holds.filter_map(|movement| movement["reference"].as_str()).collect();
    assert_eq!(holds.len(), 2, "{history:?}");
    let numbers: Vec<String> = holds
        .iter()
        .flat_map(|hold| [1, 2].map(|unit| format!("{hold}-{unit}")))
        .collect();
    requires_serials(seller, &phone).await?;
    imports(seller, &phone, &numbers).await?;

    // Those of one come back because the buyer says so, that of the other because its time is over.
    let line = format!("/api/v1/order/buyer/pending-items/{}", market.item_of(&door).await?);
    market.buyer().delete(&line, None).await?.data(200);
    assert_eq!(seller.stock_of(&phone).await?, (6, 1));
    let hold = format!("SELECT reservation_id FROM \"order\".item WHERE payment_session_id = '{gateway}'");
    let over = format!("UPDATE inventory.reservation SET expires_at = now() WHERE state = 'held' AND id = ({hold})");
    assert_eq!(market.audit.change(&over).await?, 1);
    let timers = "UPDATE host.invocation SET due_at = now() WHERE component = 'inventory' AND ended_at IS NULL";
    assert!(market.audit.change(timers).await? > 0, "no timer is set");
    let ended = format!("SELECT count(*) FROM inventory.reservation WHERE released_by = 'expiry' AND id = ({hold})");
    market.audit.becomes(&ended, 1).await?;
    assert_eq!(seller.stock_of(&phone).await?, (7, 0));

    // Each has a number of its own, so all of them can be bought.
    let all = market.buyer().post(CHECKOUT, of_phone(market.shop.checkout(7))).await?;
    all.data(200);
    assert_eq!(seller.stock_of(&phone).await?, (0, 7));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_others_use_as_well_stand_in_nobodys_way() -> Result<()> {
    let nexus = Nexus::start().await?;
    let seller = Person::register(&nexus.client(), "seller").await?;
    let rival = Person::register(&nexus.client(), "rival").await?;
    let numbers: Vec<String> = (1..=1_000).map(|number| number.to_string()).collect();
    let mut stocks = Vec::new();
    for (person, name) in [(&seller, "Phone"), (&rival, "Copy"), (&rival, "Another copy")] {
        let sku = person.lists(name, "VND", 0).await?.sku;
        let stock = requires_serials(person, &sku).await?;
        imports(person, &sku, &numbers).await?;
        stocks.push((sku, stock));
    }
    let withheld = json!({ "serial_ids": numbers, "status": "Inactive" });
    seller.client.patch(SERIAL, withheld.clone()).await?.data(200);
    assert_eq!(seller.stock_of(&stocks[0].0).await?, (0, 0));

    // Who has a number twice says which is meant; nobody else's is, and nobody is told that there is one.
    rival.client.patch(SERIAL, withheld.clone()).await?.names("stock_id");
    let mut in_one = withheld.clone();
    in_one["stock_id"] = stocks[1].1.clone();
    rival.client.patch(SERIAL, in_one.clone()).await?.data(200);
    seller
        .client
        .patch(SERIAL, in_one)
        .await?
        .failed(404, "serial_not_found");
    for ((sku, _), free) in stocks[1..].iter().zip([0, 1_000]) {
        assert_eq!(rival.stock_of(sku).await?, (free, 0));
    }
    // Numbers that somebody else has are refused as those that nobody has.
    let mixed = json!({ "serial_ids": ["1", "1001"], "status": "Active" });
    let unknown = Person::register(&nexus.client(), "nobody").await?;
    let told = unknown.client.patch(SERIAL, mixed).await?;
    let told = told.failed(404, "serial_not_found")["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(told.ends_with(": 1, 1001"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_has_no_stock_any_more_and_gets_back_what_was_out() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let seller = &shop.seller;
    let numbers = ["a".to_owned(), "b".to_owned()];
    let phone = seller.lists("Phone", "VND", 0).await?;
    let stock = requires_serials(seller, &phone.sku).await?;
    imports(seller, &phone.sku, &numbers).await?;
    let session = shop
        .buyer
        .client
        .post(CHECKOUT, shop.checkout(4))
        .await?
        .text(200, "checkout_session_id");

    // A variant, and a listing with its variant.
    let gone = json!({ "id": shop.sku });
    seller.client.delete(SKU, Some(gone)).await?.data(200);
    let listing = format!("{SPU}/{}", phone.spu);
    seller.client.delete(&listing, None).await?.data(200);
    for sku in [&shop.sku, &phone.sku] {
        let nobody = nexus.client().get(&query(STOCK, sku)).await?;
        nobody.failed(404, "stock_not_found");
        let import = seller.client.post(IMPORT, of(sku, "change", json!(1))).await?;
        import.failed(404, "stock_not_found");
        for required in [true, false] {
            let settings = of(sku, "serial_required", json!(required));
            let settings = seller.client.patch(STOCK, settings).await?;
            settings.failed(404, "stock_not_found");
        }
    }
    let history = query("/api/v1/inventory/stock/history", &shop.sku);
    let history = seller.client.get(&history).await?;
    assert_eq!(
        history.data(200).as_array().map(Vec::len),
        Some(2),
        "what happened stays"
    );
    let serials = seller.client.get(&format!("{SERIAL}?stock_id={stock}")).await?;
    assert_eq!(serials.data(200).as_array().map(Vec::len), Some(2));
    let free = json!({ "serial_ids": numbers, "status": "Inactive" });
    let none = seller.client.patch(SERIAL, free.clone()).await?;
    none.failed(404, "serial_not_found");

    // What was out comes back, and is for sale no more.
    let line = format!("SELECT id::text FROM \"order\".item WHERE payment_session_id = '{session}'");
    let line = audit.texts(&line).await?.pop().unwrap_or_default();
    let line = format!("/api/v1/order/buyer/pending-items/{line}");
    shop.buyer.client.delete(&line, None).await?.data(200);
    let kept = format!(
        "SELECT count(*) FROM inventory.stock
         WHERE ref_id = '{}' AND stock = 10 AND taken = 0 AND date_archived IS NOT NULL",
        shop.sku
    );
    assert_eq!(audit.count(&kept).await?, 1);

    // Listed anew, the units have the numbers they had, and these mean the new ones.
    let anew = seller.lists("Phone", "VND", 0).await?.sku;
    requires_serials(seller, &anew).await?;
    imports(seller, &anew, &numbers).await?;
    seller.client.patch(SERIAL, free).await?.data(200);
    assert_eq!(seller.stock_of(&anew).await?, (0, 0));
    audit.settled().await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variant_whose_record_was_never_created_gets_one() -> Result<()> {
    let nexus = Nexus::start().await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let seller = Person::register(&nexus.client(), "seller").await?;
    let stranger = Person::register(&nexus.client(), "stranger").await?;
    let mut skus = Vec::new();
    for name in ["Pot", "Lid", "Pan"] {
        let listing = seller.lists(name, "VND", 0).await?;
        // As if an operator had ended the request between its two commits.
        let lost = format!("DELETE FROM inventory.stock WHERE ref_id = '{}'", listing.sku);
        assert_eq!(audit.change(&lost).await?, 1);
        skus.push(listing.sku);
    }
    let theirs = stranger.client.post(IMPORT, of(&skus[0], "change", json!(5))).await?;
    theirs.failed(403, "forbidden");
    seller.imports(&skus[0], 5).await?;
    assert_eq!(seller.stock_of(&skus[0]).await?, (5, 0));
    requires_serials(&seller, &skus[1]).await?;
    assert_eq!(seller.stock_of(&skus[1]).await?, (0, 0));
    // What is deleted gets none.
    let gone = json!({ "id": skus[2] });
    seller.client.delete(SKU, Some(gone)).await?.data(200);
    let import = seller.client.post(IMPORT, of(&skus[2], "change", json!(1))).await?;
    import.failed(404, "stock_not_found");
    audit.settled().await?;
    audit.books_hold().await
}

/// Reason, change and balance of each movement, oldest first.
async fn movements(seller: &Person, sku: &str) -> Result<Vec<(String, i64, i64)>> {
    let history = seller
        .client
        .get(&query("/api/v1/inventory/stock/history", sku))
        .await?;
    let rows = history.data(200).as_array().expect("a list").iter();
    let number = |row: &Value, key: &str| row[key].as_i64().expect("a number");
    Ok(rows
        .map(|row| {
            let reason = row["reason"].as_str().unwrap_or_default();
            (reason.to_owned(), number(row, "change"), number(row, "stock_after"))
        })
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_stay_while_none_are_required_and_every_movement_is_told() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 0).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let (seller, sku) = (&shop.seller, &shop.sku);
    let stock = requires_serials(seller, sku).await?;
    imports(seller, sku, &["a".to_owned(), "b".to_owned()]).await?;
    let numbers = async || -> Result<usize> {
        let serials = seller.client.get(&format!("{SERIAL}?stock_id={stock}")).await?;
        Ok(serials.data(200).as_array().map_or(0, Vec::len))
    };

    let off = of(sku, "serial_required", json!(false));
    assert_eq!(
        seller.client.patch(STOCK, off).await?.data(200)["serial_required"],
        false
    );
    let mut units = of(sku, "change", json!(3));
    units["serial_ids"] = json!(["passed over"]);
    seller.client.post(IMPORT, units).await?.data(200);
    assert_eq!((numbers().await?, shop.stock().await?), (2, (5, 0)));

    // On again: whatever is free needs a number, and can be given one.
    let mut on = of(sku, "serial_required", json!(true));
    let incomplete = seller.client.patch(STOCK, on.clone()).await?;
    incomplete.failed(409, "serials_incomplete");
    on["generate_serials"] = json!(true);
    seller.client.patch(STOCK, on).await?.data(200);
    assert_eq!(numbers().await?, 5);

    let line = async || -> Result<Value> {
        shop.buyer.client.post(CHECKOUT, shop.checkout(2)).await?.data(200);
        let waiting = seller.client.get("/api/v1/order/seller/pending?limit=1").await?;
        Ok(waiting.data(200)[0].clone())
    };
    let given_up = line().await?;
    assert_eq!(given_up["serial_ids"], json!(["a", "b"]), "the oldest");
    let path = format!("/api/v1/order/buyer/pending-items/{}", given_up["id"]);
    shop.buyer.client.delete(&path, None).await?.data(200);
    let damaged = json!({ "serial_ids": ["a"], "status": "Damaged" });
    seller.client.patch(SERIAL, damaged).await?.data(200);
    let kept = line().await?;
    let confirm = json!({ "item_ids": [kept["id"]], "payment_option": "system-cod" });
    seller.client.post(CONFIRM, confirm).await?.data(200);
    let expected = [
        ("import", 2, 2),
        ("import", 3, 5),
        ("reserve", -2, 3),
        ("release", 2, 5),
        ("adjust", -1, 4),
        ("reserve", -2, 2),
        ("sell", 0, 2),
    ];
    let expected = expected.map(|(reason, change, after)| (reason.to_owned(), change, after));
    assert_eq!(movements(seller, sku).await?, expected);
    audit.settled().await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_imports_of_one_number_one_is_refused() -> Result<()> {
    let nexus = Nexus::start().await?;
    let seller = Person::register(&nexus.client(), "seller").await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let phone = seller.lists("Phone", "VND", 0).await?.sku;
    requires_serials(&seller, &phone).await?;
    for round in 1..=5 {
        let mut units = of(&phone, "change", json!(2));
        units["serial_ids"] = json!([format!("shared {round}"), format!("own {round}")]);
        let mut others = units.clone();
        others["serial_ids"][1] = json!(format!("another {round}"));
        let other = seller.client.anew();
        let (one, other) = tokio::join!(seller.client.post(IMPORT, units), other.post(IMPORT, others));
        let mut statuses = [one?.status.as_u16(), other?.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        assert_eq!(
            seller.stock_of(&phone).await?,
            (2 * round, 0),
            "of what is refused nothing is kept"
        );
    }
    audit.settled().await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_that_does_not_add_up_is_found() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let numbered = shop.seller.lists("Phone", "VND", 0).await?.sku;
    requires_serials(&shop.seller, &numbered).await?;
    imports(&shop.seller, &numbered, &["a".to_owned(), "b".to_owned()]).await?;
    shop.buyer.client.post(CHECKOUT, shop.checkout(3)).await?.data(200);
    let found = "SELECT count(*) FROM inventory.discrepancy";
    assert_eq!(audit.count(found).await?, 0);
    let of = |sku: &str| format!("WHERE ref_id = '{sku}'");
    for (spoils, mends) in [
        (
            format!("UPDATE inventory.stock SET stock = stock + 1 {}", of(&shop.sku)),
            format!("UPDATE inventory.stock SET stock = stock - 1 {}", of(&shop.sku)),
        ),
        (
            format!("UPDATE inventory.stock SET taken = taken - 1 {}", of(&shop.sku)),
            format!("UPDATE inventory.stock SET taken = taken + 1 {}", of(&shop.sku)),
        ),
        (
            "UPDATE inventory.serial SET status = 'Damaged' WHERE id = 'a'".to_owned(),
            "UPDATE inventory.serial SET status = 'Active' WHERE id = 'a'".to_owned(),
        ),
        (
            "UPDATE inventory.reservation_item SET returned = 1".to_owned(),
            "UPDATE inventory.reservation_item SET returned = 0".to_owned(),
        ),
    ] {
        assert_eq!(audit.change(&spoils).await?, 1, "{spoils}");
        assert_eq!(audit.count(found).await?, 1, "{spoils}");
        assert_eq!(audit.change(&mends).await?, 1, "{mends}");
        assert_eq!(audit.count(found).await?, 0, "{mends}");
    }
    audit.books_hold().await
}
