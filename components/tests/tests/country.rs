//! Moving to another country: what is counted in the old currency must be over first.

use anyhow::{Context, Result, ensure};
use component_tests::{Answer, CHECKOUT, CONFIRM, Client, PaidShop, Person, UNIT};
use futures_util::future::join;
use serde_json::{Value, json};

const COUNTRY: &str = "/api/v1/account/profile/country";
const ME: &str = "/api/v1/account/me";

async fn moves(client: &Client, country: &str) -> Result<Answer> {
    client.patch(COUNTRY, json!({ "country": country })).await
}

/// A refusal, and that nothing has changed.
async fn stays(client: &Client, code: &str) -> Result<String> {
    let refused = moves(client, "US").await?;
    let told = refused.failed(409, code)["message"].to_string();
    ensure!(client.get(ME).await?.data(200)["country"] == "VN");
    Ok(told)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_nothing_in_the_old_currency_moves() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let nobody = world.nexus.client();
    moves(&nobody, "US").await?.failed(401, "unauthorized");
    let traveller = Person::sign_up(&nobody, "traveller", "VN").await?;
    for body in [json!({}), json!({ "country": null }), json!({ "country": "" })] {
        traveller.client.patch(COUNTRY, body).await?.names("country");
    }
    for shapeless in ["VNM", "1A"] {
        moves(&traveller.client, shapeless).await?.names("country");
    }
    for unknown in ["ZZ", "AQ"] {
        moves(&traveller.client, unknown).await?.failed(400, "invalid_country");
    }

    let before = traveller.client.get(ME).await?.data(200).clone();
    let moved = moves(&traveller.client, "us").await?;
    ensure!(*moved.data(200) == json!({ "country": "US", "inferred_currency": "USD" }));
    ensure!(moved.headers["cache-control"] == "no-store");
    let after = traveller.client.get(ME).await?.data(200).clone();
    ensure!(
        (&after["country"], &after["currency"]) == (&json!("US"), &json!("USD")),
        "{after}"
    );
    ensure!(after["date_updated"] != before["date_updated"], "{after}");
    let wallet = traveller.client.get("/api/v1/account/wallet").await?;
    ensure!(*wallet.data(200) == json!({ "balance": 0, "held": 0, "currency": "USD" }));
    // Somebody else's body does not name whom it moves.
    let other = json!({ "country": "DE", "id": world.shop.buyer.id, "account_id": world.shop.buyer.id });
    traveller.client.patch(COUNTRY, other).await?.data(200);
    ensure!(world.buyer().get(ME).await?.data(200)["country"] == "VN");

    // Where the currency stays the same, prices stay right.
    traveller.lists("Beer mug", "EUR", 3).await?;
    moves(&traveller.client, "FR").await?.data(200);
    let told = moves(&traveller.client, "VN")
        .await?
        .failed(409, "skus_in_old_currency")["message"]
        .to_string();
    ensure!(told.contains("priced in EUR are on sale (1 of them)"), "{told}");
    // To where one is: nothing changes.
    ensure!(moves(&traveller.client, "FR").await?.data(200)["inferred_currency"] == "EUR");

    // Both of two at once are answered, and one of them is where the account is.
    let drifter = Person::sign_up(&nobody, "drifter", "VN").await?;
    let (one, other) = join(moves(&drifter.client, "US"), moves(&drifter.client, "JP")).await;
    let moved: Vec<Value> = [one?, other?]
        .iter()
        .filter(|answer| answer.status == 200 || answer.failed(409, "country_changed").is_null())
        .map(|answer| answer.data(200)["country"].clone())
        .collect();
    let now = drifter.client.get(ME).await?.data(200)["country"].clone();
    ensure!(moved.contains(&now), "{moved:?}, {now}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_moves_away_from_open_payments_orders_goods_or_money() -> Result<()> {
    // Long enough to look at an order whose money is kept.
    let world = PaidShop::start_with(&[], "").await?;
    let (buyer, seller) = (world.buyer(), world.seller());

    // A payment that is awaited, then a line that waits for its seller.
    let opened = world.opens().await?;
    stays(buyer, "open_dealings").await?;
    world.settles(&opened).await?;
    stays(buyer, "open_dealings").await?;
    // What was given back is in the wallet.
    let item = world.item_of(&opened.session).await?;
    let path = format!("/api/v1/order/buyer/pending-items/{item}");
    buyer.delete(&path, None).await?.data(200);
    let told = stays(buyer, "wallet_not_empty").await?;
    ensure!(told.contains(&format!("{UNIT} VND")), "{told}");

    // Paid at the door: open for both, until the order is paid out.
    let other = Person::register(&world.nexus.client(), "other").await?;
    let unlucky = Person::register(&world.nexus.client(), "unlucky").await?;
    let mut items = Vec::new();
    for person in [&other, &unlucky] {
        let placed = person.client.post(CHECKOUT, world.shop.checkout(1)).await?;
        items.push(world.item_of(&placed.text(200, "checkout_session_id")).await?);
        stays(&person.client, "open_dealings").await?;
    }
    let told = stays(seller, "skus_in_old_currency").await?;
    ensure!(told.contains("priced in VND are on sale (1 of them)"), "{told}");
    let listing = format!("/api/v1/catalog/product-spu/{}", world.shop.spu);
    seller.delete(&listing, None).await?.data(200);
    stays(seller, "open_dealings").await?;
    for item in items {
        let confirm = json!({ "item_ids": [item], "payment_option": "system-cod" });
        seller.post(CONFIRM, confirm).await?.data(200);
    }
    for client in [&other.client, &unlucky.client, seller] {
        stays(client, "open_dealings").await?;
    }
    // One of the two parcels does not arrive.
    for (person, status) in [(&other, "delivered"), (&unlucky, "failed")] {
        let order = format!(
            "SELECT id::text FROM \"order\".\"order\" WHERE buyer_id = '{}'",
            person.id
        );
        let order = world.audit.texts(&order).await?.pop().context("an order")?;
        world.parcel(&order, status).await?;
    }
    let due = "UPDATE \"order\".payment_session SET date_expired = now() WHERE kind = 'seller-payout'";
    ensure!(world.audit.change(due).await? == 2);
    let timers =
        "UPDATE host.invocation SET due_at = now() WHERE component = 'order' AND ended_at IS NULL AND due_at > now()";
    ensure!(world.audit.change(timers).await? > 0);
    let decided = "SELECT count(*) FROM \"order\".payment_session
                   WHERE kind = 'seller-payout' AND status IN ('Success', 'Cancelled')";
    world.audit.becomes(decided, 2).await?;
    world.audit.settled().await?;
    stays(seller, "wallet_not_empty").await?;
    for person in [&other, &unlucky] {
        moves(&person.client, "US").await?.data(200);
    }
    world.books_hold().await
}
