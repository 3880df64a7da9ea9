//! The seller: confirms most of what is bought, rejects some of it, and pays fees from the wallet, at the gateway, or not at all.

use std::sync::Arc;

use anyhow::Result;
use component_tests::{CONFIRM, Opened};
use http::Method;
use serde_json::{Value, json};

use crate::world::{Dice, LOOK, World, code, is_one_of};

const REJECT: &str = "/api/v1/order/seller/pending/reject";
/// Buyers, deadlines and payers are faster with some of them.
const TOO_LATE: [&str; 12] = [
    "item_already_cancelled",
    "item_already_confirmed",
    "order_item_not_found",
    "checkout_expired",
    "seller_confirm_timeout",
    "payment_failed",
    "payment_provider_unavailable",
    "ORDER_WALLET_INSUFFICIENT",
    "fee_not_settled",
    "confirm_expired",
    "payment_session_closed",
    "payment_in_progress",
];

/// What a confirmation is refused with whose flow an operator has ended.
const ENDED: &str = "confirm_cancelled";

/// Takes what waits for the seller, as one clerk of several who do not speak to each other.
pub(crate) async fn sell(world: Arc<World>, clerk: u64, mut dice: Dice) -> Result<()> {
    let mut unpaid: Vec<String> = Vec::new();
    for number in 0_u64.. {
        if world.is_closing() {
            break;
        }
        let (seller, path) = (&world.shop.seller.client, "/api/v1/order/seller/pending?limit=30");
        let waiting = world.listed(&mut dice, seller, path).await;
        let items = batch(&waiting, &mut dice);
        if items.is_empty() {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        if dice.one_in(6) {
            reject(&world, &items[0], &format!("{clerk}-{number}"), &mut dice).await?;
            continue;
        }
        unpaid.extend(confirm(&world, &items, &format!("{clerk}-{number}"), &mut dice).await?);
        if unpaid.len() > 2 && dice.one_in(4) {
            let session = unpaid.swap_remove(dice.below(unpaid.len() as u64) as usize);
            give_up(&world, &session, &mut dice).await?;
        }
    }
    Ok(())
}

/// Lines that may become one order: all of them one buyer's, and a few at most.
fn batch(waiting: &[Value], dice: &mut Dice) -> Vec<Value> {
    let buyer = dice.of(waiting).map(|item| &item["account_id"]);
    let same = waiting.iter().filter(|item| Some(&item["account_id"]) == buyer);
    same.take(1 + dice.below(3) as usize).cloned().collect()
}

/// Whether it is to be paid at the gateway, as far as its buyer knows.
fn is_paid_elsewhere(world: &World, item: &Value) -> bool {
    world.tells(|told| {
        let mut placed = told.placed.iter().rev();
        let placed = placed.find(|placed| item["payment_session_id"] == *placed.session);
        placed.is_some_and(|placed| !placed.url.is_empty())
    })
}

async fn reject(world: &World, item: &Value, name: &str, dice: &mut Dice) -> Result<()> {
    let (seller, id) = (&world.shop.seller.client, item["id"].as_i64().unwrap_or_default());
    world.tells(|told| told.disliked.insert(id));
    let body = json!({ "item_ids": [id] });
    let key = format!("reject-{name}");
    let answer = world
        .ask(dice, seller, &key, (Method::POST, REJECT), Some(body))
        .await?;
    if answer.status == 200 {
        let elsewhere = is_paid_elsewhere(world, item);
        world.plays(if elsewhere {
            "item paid at the gateway rejected"
        } else {
            "item rejected"
        });
        world.tells(|told| told.returned.insert(id));
    } else {
        is_one_of("reject", &answer, &TOO_LATE)?;
        world.plays(format!("item rejected, but {}", code(&answer)));
    }
    Ok(())
}

/// Returns the session of a fee that is to be paid at the gateway.
async fn confirm(world: &World, items: &[Value], name: &str, dice: &mut Dice) -> Result<Option<String>> {
    let seller = &world.shop.seller.client;
    let ids: Vec<&Value> = items.iter().map(|item| &item["id"]).collect();
    // Not needed when the fee is netted from what the carrier collects.
    let body = json!({ "item_ids": ids, "use_wallet": dice.one_in(2), "payment_option": "sandbox-redirect" });
    let key = format!("confirm-{name}");
    let answer = world
        .ask(dice, seller, &key, (Method::POST, CONFIRM), Some(body))
        .await?;
    if answer.status != 200 {
        if answer.status == 409 && code(&answer) == ENDED {
            world.tells(|told| told.unconfirmed += 1);
        } else {
            is_one_of("confirm", &answer, &TOO_LATE)?;
        }
        world.plays(format!("items confirmed, but {}", code(&answer)));
        return Ok(None);
    }
    let fee = Opened::read(&answer, "confirm_session_id");
    world.tells(|told| told.confirmed.insert(fee.session.clone()));
    let elsewhere = !fee.url.is_empty();
    world.plays(if elsewhere {
        "items confirmed, fee at the gateway"
    } else {
        "items confirmed"
    });
    Ok(elsewhere.then_some(fee.session))
}

/// The fee is not going to be paid, unless it is by now.
pub(crate) async fn give_up(world: &World, session: &str, dice: &mut Dice) -> Result<()> {
    let path = format!("{CONFIRM}/{session}/cancel");
    let (seller, key) = (&world.shop.seller.client, format!("give-up-{session}"));
    let answer = world
        .ask(dice, seller, &key, (Method::POST, &path), Some(json!({})))
        .await?;
    if answer.status == 200 {
        world.plays("fee given up");
    } else {
        is_one_of("give a fee up", &answer, &TOO_LATE)?;
        world.plays(format!("fee given up, but {}", code(&answer)));
    }
    Ok(())
}
