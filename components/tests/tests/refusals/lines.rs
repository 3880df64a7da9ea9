//! Lines that cannot be confirmed, cancelled or rejected.

use anyhow::Result;
use component_tests::{Audit, Nexus, Person, Shop};
use futures_util::future::join;
use serde_json::{Value, json};

use crate::{CHECKOUT, CONFIRM, NOBODYS, REJECT, confirmation, place, statuses, with};

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_confirmed_cancelled_or_rejected_once_and_by_its_own_people() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 20).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let stranger = Person::register(&nexus.client(), "stranger").await?;

    strangers_find_nothing(&shop, &stranger).await?;
    cancelled_lines_give_their_stock_back(&shop).await?;
    rejected_lines_give_their_stock_back(&shop).await?;
    confirmed_lines_stay(&shop, &stranger).await?;
    lines_that_do_not_belong_together(&shop, &stranger).await?;
    audit.settled().await?;
    audit.books_hold().await?;

    races_have_one_winner(&shop).await?;
    audit.settled().await?;
    audit.books_hold().await
}

async fn strangers_find_nothing(shop: &Shop, stranger: &Person) -> Result<()> {
    let (session, item) = place(shop, &shop.buyer, 1).await?;
    let cancel = format!("{CHECKOUT}/{session}/cancel");
    for other in [&stranger.client, &shop.seller.client] {
        other.post(&cancel, json!({})).await?.failed(404, "entity_not_found");
        let path = format!("/api/v1/order/buyer/pending-items/{item}");
        other.delete(&path, None).await?.failed(404, "order_item_not_found");
        assert_eq!(
            other.get("/api/v1/order/buyer/pending-items").await?.data(200),
            &json!([])
        );
    }
    for other in [&stranger.client, &shop.buyer.client] {
        other
            .post(CONFIRM, confirmation(&[item]))
            .await?
            .failed(403, "item_not_owned_by_seller");
        other
            .post(REJECT, json!({ "item_ids": [item] }))
            .await?
            .failed(403, "item_not_owned_by_seller");
        assert_eq!(other.get("/api/v1/order/seller/pending").await?.data(200), &json!([]));
    }
    assert_eq!(shop.stock().await?, (19, 1), "nothing of it happened");

    let buyer = &shop.buyer.client;
    buyer
        .post(&format!("{CHECKOUT}/{NOBODYS}/cancel"), json!({}))
        .await?
        .failed(404, "entity_not_found");
    buyer
        .post(&format!("{CHECKOUT}/12/cancel"), json!({}))
        .await?
        .names("sessionID");
    buyer
        .delete("/api/v1/order/buyer/pending-items/999999", None)
        .await?
        .failed(404, "order_item_not_found");
    buyer
        .delete("/api/v1/order/buyer/pending-items/abc", None)
        .await?
        .names("id");
    buyer
        .get(&format!("/api/v1/order/buyer/orders/{NOBODYS}"))
        .await?
        .failed(404, "order_not_found");

    let seller = &shop.seller.client;
    seller
        .post(CONFIRM, confirmation(&[999_999]))
        .await?
        .failed(404, "order_item_not_found");
    seller
        .post(CONFIRM, confirmation(&[item, item]))
        .await?
        .failed(404, "order_item_not_found");
    seller.post(CONFIRM, confirmation(&[])).await?.names("item_ids");
    seller.post(CONFIRM, json!({})).await?.names("item_ids");
    seller
        .post(CONFIRM, json!({ "item_ids": ["x"] }))
        .await?
        .names("item_ids[0]");
    seller.post(REJECT, json!({ "item_ids": [] })).await?.names("item_ids");
    seller
        .post(REJECT, json!({ "item_ids": [999_999] }))
        .await?
        .failed(404, "order_item_not_found");
    let barter = json!({ "item_ids": [item], "payment_option": "barter" });
    seller
        .post(CONFIRM, barter)
        .await?
        .failed(400, "unknown_payment_option");

    buyer.post(&cancel, json!({})).await?.data(200);
    assert_eq!(shop.stock().await?, (20, 0));
    buyer
        .post(&cancel, json!({}))
        .await?
        .failed(410, "payment_session_closed");
    Ok(())
}

async fn cancelled_lines_give_their_stock_back(shop: &Shop) -> Result<()> {
    let (_, item) = place(shop, &shop.buyer, 4).await?;
    assert_eq!(shop.stock().await?, (16, 4));
    let path = format!("/api/v1/order/buyer/pending-items/{item}");
    shop.buyer.client.delete(&path, None).await?.data(200);
    assert_eq!(shop.stock().await?, (20, 0));

    shop.buyer
        .client
        .delete(&path, None)
        .await?
        .failed(409, "item_already_cancelled");
    shop.seller
        .client
        .post(CONFIRM, confirmation(&[item]))
        .await?
        .failed(409, "item_already_cancelled");
    let reject = json!({ "item_ids": [item] });
    shop.seller
        .client
        .post(REJECT, reject)
        .await?
        .failed(409, "item_already_cancelled");
    assert_eq!(shop.stock().await?, (20, 0), "given back once");

    let cancelled = shop.buyer.client.get("/api/v1/order/buyer/cancelled-items").await?;
    let line = &cancelled.data(200)[0];
    assert_eq!(
        (&line["id"], &line["cancelled_by_id"]),
        (&json!(item), &json!(shop.buyer.id))
    );
    assert_eq!(line["payment_session"]["status"], "Failed");
    Ok(())
}

async fn rejected_lines_give_their_stock_back(shop: &Shop) -> Result<()> {
    let (_, item) = place(shop, &shop.buyer, 5).await?;
    assert_eq!(shop.stock().await?, (15, 5));
    let reject = json!({ "item_ids": [item] });
    shop.seller.client.post(REJECT, reject.clone()).await?.data(200);
    assert_eq!(shop.stock().await?, (20, 0));

    shop.seller
        .client
        .post(REJECT, reject)
        .await?
        .failed(409, "item_already_cancelled");
    assert_eq!(shop.stock().await?, (20, 0), "given back once");
    let cancelled = shop.buyer.client.get("/api/v1/order/buyer/cancelled-items").await?;
    let line = &cancelled.data(200)[0];
    assert_eq!(
        (&line["id"], &line["cancelled_by_id"]),
        (&json!(item), &json!(shop.seller.id))
    );
    Ok(())
}

async fn confirmed_lines_stay(shop: &Shop, stranger: &Person) -> Result<()> {
    let (session, item) = place(shop, &shop.buyer, 2).await?;
    shop.seller.client.post(CONFIRM, confirmation(&[item])).await?.data(200);

    let seller = &shop.seller.client;
    seller
        .post(CONFIRM, confirmation(&[item]))
        .await?
        .failed(409, "item_already_confirmed");
    seller
        .post(REJECT, json!({ "item_ids": [item] }))
        .await?
        .failed(409, "item_already_confirmed");
    let path = format!("/api/v1/order/buyer/pending-items/{item}");
    shop.buyer
        .client
        .delete(&path, None)
        .await?
        .failed(409, "item_already_confirmed");
    let cancel = format!("{CHECKOUT}/{session}/cancel");
    shop.buyer
        .client
        .post(&cancel, json!({}))
        .await?
        .failed(409, "item_already_confirmed");
    assert_eq!(shop.stock().await?, (18, 2), "sold");

    let orders = shop.buyer.client.get("/api/v1/order/buyer/pending-orders").await?;
    let order = orders.data(200)[0]["id"].as_str().unwrap_or_default().to_owned();
    let (bought, sold) = (
        format!("/api/v1/order/buyer/orders/{order}"),
        format!("/api/v1/order/seller/confirmed/{order}"),
    );
    shop.buyer.client.get(&bought).await?.data(200);
    shop.seller.client.get(&sold).await?.data(200);
    for (client, path) in [
        (&stranger.client, &bought),
        (&stranger.client, &sold),
        (&shop.seller.client, &bought),
        (&shop.buyer.client, &sold),
    ] {
        client.get(path).await?.failed(404, "order_not_found");
    }
    Ok(())
}

async fn lines_that_do_not_belong_together(shop: &Shop, stranger: &Person) -> Result<()> {
    let (_, first) = place(shop, &shop.buyer, 1).await?;
    let (_, of_another) = place(shop, stranger, 1).await?;
    let seller = &shop.seller.client;
    seller
        .post(CONFIRM, confirmation(&[first, of_another]))
        .await?
        .failed(400, "items_not_same_buyer");

    let newest = async |body: Value| -> Result<i64> {
        shop.buyer.client.post(CHECKOUT, body).await?.data(200);
        let pending = shop
            .buyer
            .client
            .get("/api/v1/order/buyer/pending-items?limit=1")
            .await?;
        Ok(pending.data(200)[0]["id"].as_i64().expect("a number"))
    };
    let elsewhere = newest(with(&shop.checkout(1), "/address", json!("1 Le Loi, Hue, Vietnam"))).await?;
    seller
        .post(CONFIRM, confirmation(&[first, elsewhere]))
        .await?
        .failed(400, "items_not_same_address");
    let faster = newest(with(&shop.checkout(1), "/items/0/transport_option", json!("express"))).await?;
    seller
        .post(CONFIRM, confirmation(&[first, faster]))
        .await?
        .failed(400, "items_transport_mismatch");

    let all = json!({ "item_ids": [first, of_another, elsewhere, faster] });
    seller.post(REJECT, all).await?.data(200);
    assert_eq!(shop.stock().await?, (18, 2));
    Ok(())
}

async fn races_have_one_winner(shop: &Shop) -> Result<()> {
    let (_, item) = place(shop, &shop.buyer, 1).await?;
    let seller = &shop.seller.client;
    let answers = statuses((0..4).map(|_| seller.post(CONFIRM, confirmation(&[item])))).await?;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1, "{answers:?}");
    for answer in lost {
        answer.failed(409, "item_already_confirmed");
    }
    assert_eq!(shop.stock().await?, (17, 3));

    // A confirmation and a cancellation of one line: whichever comes first, the other is told so.
    let path = |item: i64| format!("/api/v1/order/buyer/pending-items/{item}");
    let mut sold = 3;
    for _ in 0..4 {
        let (_, item) = place(shop, &shop.buyer, 1).await?;
        let path = path(item);
        let (confirmed, cancelled) = join(
            seller.post(CONFIRM, confirmation(&[item])),
            shop.buyer.client.delete(&path, None),
        )
        .await;
        let (confirmed, cancelled) = (confirmed?, cancelled?);
        if confirmed.status == 200 {
            cancelled.failed(409, "item_already_confirmed");
            sold += 1;
        } else {
            confirmed.failed(409, "item_already_cancelled");
            cancelled.data(200);
        }
        assert_eq!(shop.stock().await?, (20 - sold, sold));
    }
    Ok(())
}
