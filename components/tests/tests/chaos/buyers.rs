//! Buyers: each with a wallet and a cart of its own. Every other one pays at the gateway.

use std::sync::Arc;

use anyhow::Result;
use component_tests::CHECKOUT;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::told::Placed;
use crate::world::{Dice, LOOK, World, code, is_one_of};

/// What a checkout may be refused with.
const REFUSALS: [&str; 6] = [
    // The gateway declined the charge, or was too busy for it again and again.
    "payment_failed",
    "payment_provider_unavailable",
    // A checkout before this one had the money first.
    "ORDER_WALLET_INSUFFICIENT",
    // By an operator.
    "checkout_cancelled",
    "checkout_expired",
    "payment_session_closed",
];
/// What a wish about an open checkout may be refused with: somebody or something else was faster.
const TOO_LATE: [&str; 10] = [
    "payment_session_closed",
    "payment_in_progress",
    "payment_cannot_cancel",
    "payment_failed",
    "payment_provider_unavailable",
    "checkout_cancelled",
    "checkout_expired",
    "item_already_cancelled",
    "item_already_confirmed",
    "entity_not_found",
];

/// Buys one unit again and again, each under its own key; what was asked is asked until answered.
pub(crate) async fn buy(world: Arc<World>, number: usize, mut dice: Dice) -> Result<()> {
    let mut thoughts = JoinSet::new();
    for round in 0_u64.. {
        if world.is_closing() {
            break;
        }
        let name = format!("{number}-{round}");
        let body = wish(&world, number, &name, &mut dice).await?;
        let client = &world.buyers[number].client;
        let key = format!("buy-{name}");
        let answer = world
            .ask(&mut dice, client, &key, (Method::POST, CHECKOUT), Some(body.clone()))
            .await?;
        if answer.status != 200 {
            is_one_of("checkout", &answer, &REFUSALS)?;
            world.plays(format!("checkout refused, {}", code(&answer)));
            world.tells(|told| told.refused += 1);
            continue;
        }
        let placed = Placed {
            buyer: number,
            session: answer.text(200, "checkout_session_id"),
            url: answer.text(200, "payment_url"),
        };
        let (how, cart, wallet) = (
            if placed.url.is_empty() {
                "here"
            } else {
                "at the gateway"
            },
            if body["buy_now"] == false {
                ", from the cart"
            } else {
                ""
            },
            if body["use_wallet"] == true { ", wallet" } else { "" },
        );
        world.plays(format!("checkout {how}{cart}{wallet}"));
        world.tells(|told| {
            told.placed.push(placed.clone());
            if dice.one_in(20) {
                told.answered.push((number, key, body, answer.bytes.clone()));
            }
        });
        if !placed.url.is_empty() {
            let dice = Dice(dice.below(u64::MAX >> 33));
            thoughts.spawn(second_thoughts(Arc::clone(&world), placed, name, dice));
        }
        while let Some(thought) = thoughts.try_join_next() {
            thought??;
        }
    }
    while let Some(thought) = thoughts.join_next().await {
        thought??;
    }
    Ok(())
}

/// One unit, and how it is to be paid.
async fn wish(world: &World, number: usize, name: &str, dice: &mut Dice) -> Result<Value> {
    let mut body = world.shop.checkout(1);
    if number % 2 == 1 {
        body["payment_option"] = json!("sandbox-redirect");
    }
    body["use_wallet"] = json!(dice.one_in(3));
    if dice.one_in(4) {
        let line = json!({ "sku_id": world.shop.sku, "quantity": 1 });
        let (client, key) = (&world.buyers[number].client, format!("cart-{name}"));
        let cart = (Method::POST, "/api/v1/order/cart");
        world.ask(dice, client, &key, cart, Some(line)).await?.data(200);
        body["buy_now"] = json!(false);
    }
    Ok(body)
}

/// What a buyer does about a checkout that is open over there: mostly nothing.
async fn second_thoughts(world: Arc<World>, placed: Placed, name: String, mut dice: Dice) -> Result<()> {
    let client = &world.buyers[placed.buyer].client;
    let (action, word) = match dice.below(8) {
        0 => ("cancel", "checkout cancelled"),
        1 => {
            tokio::time::sleep(dice.pause(2_000)).await;
            ("cancel", "checkout cancelled")
        }
        2 => ("payment-url", "another address asked for"),
        _ => return Ok(()),
    };
    let path = format!("{CHECKOUT}/{}/{action}", placed.session);
    if action == "cancel" {
        world.tells(|told| told.unwanted.insert(placed.session.clone()));
    }
    let key = format!("{action}-{name}");
    let answer = world
        .ask(&mut dice, client, &key, (Method::POST, &path), Some(json!({})))
        .await?;
    if answer.status == 200 {
        world.plays(word);
        if action == "cancel" {
            world.tells(|told| told.ended.insert(placed.session.clone()));
        }
    } else {
        is_one_of(action, &answer, &TOO_LATE)?;
        world.plays(format!("{word}, but {}", code(&answer)));
    }
    Ok(())
}

/// Cancels some of what is bought and not confirmed.
pub(crate) async fn change_minds(world: Arc<World>, mut dice: Dice) -> Result<()> {
    for number in 0_u64.. {
        if world.is_closing() {
            break;
        }
        let buyer = dice.below(world.buyers.len() as u64) as usize;
        let client = &world.buyers[buyer].client;
        let items = world
            .listed(&mut dice, client, "/api/v1/order/buyer/pending-items?limit=1")
            .await;
        let Some(item) = items.first().and_then(|item| item["id"].as_i64()) else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        world.tells(|told| told.disliked.insert(item));
        let path = format!("/api/v1/order/buyer/pending-items/{item}");
        let key = format!("cancel-{number}");
        let answer = world
            .ask(&mut dice, client, &key, (Method::DELETE, &path), None)
            .await?;
        if answer.status == 200 {
            world.plays("item cancelled");
            world.tells(|told| told.returned.insert(item));
        } else {
            is_one_of("cancel an item", &answer, &TOO_LATE)?;
            world.plays(format!("item cancelled, but {}", code(&answer)));
        }
    }
    Ok(())
}
