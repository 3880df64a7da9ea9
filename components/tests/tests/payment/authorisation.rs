//! Whose session it is: everybody else's is not found.

use anyhow::{Result, ensure};
use component_tests::{CHECKOUT, CONFIRM, PaidShop, Person};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_found_by_its_payer_alone_and_under_its_own_kind() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let stranger = Person::register(&world.nexus.client(), "stranger").await?;
    let (_, item) = world.pays().await?;
    let fee = world.confirms(&[item], "sandbox-redirect").await?;
    let checkout = world.opens().await?;
    let nobody = world.nexus.client();

    for (prefix, session, others) in [
        (CHECKOUT, &checkout.session, [world.seller(), &stranger.client]),
        (CONFIRM, &fee.session, [world.buyer(), &stranger.client]),
        // The payer's own, by the door of the other kind.
        (CHECKOUT, &fee.session, [world.seller(), world.buyer()]),
        (CONFIRM, &checkout.session, [world.buyer(), world.seller()]),
    ] {
        for action in ["payment-url", "cancel"] {
            let path = format!("{prefix}/{session}/{action}");
            for other in others {
                other.post(&path, json!({})).await?.failed(404, "entity_not_found");
            }
            nobody.post(&path, json!({})).await?.failed(401, "unauthorized");
        }
    }
    for action in ["payment-url", "cancel"] {
        world
            .buyer()
            .post(&format!("{CHECKOUT}/no-id/{action}"), json!({}))
            .await?
            .names("sessionID");
    }
    for session in [&checkout.session, &fee.session] {
        world.is(session, "Pending").await?;
    }
    let wallet = nobody.get("/api/v1/account/wallet").await?;
    wallet.failed(401, "unauthorized");
    ensure!(world.wallet(&stranger.client).await? == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_at_the_door_has_nowhere_to_be_paid_at() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let session = world.buyer().post(CHECKOUT, world.shop.checkout(1)).await?;
    let session = session.text(200, "checkout_session_id");
    let path = format!("{CHECKOUT}/{session}/payment-url");
    ensure!(
        world
            .buyer()
            .post(&path, json!({}))
            .await?
            .text(200, "payment_url")
            .is_empty()
    );
    world.books_hold().await
}
