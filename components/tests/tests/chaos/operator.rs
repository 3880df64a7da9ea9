//! An operator who walks by: pauses and resumes what a filter chooses, ends checkouts and confirmations that wait for their money, begins again
//! what may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use component_tests::{Answer, Audit};
use http::StatusCode;
use serde_json::{Value, json};

use crate::world::{Dice, IMPATIENCE, LOOK, World};

/// Why something is paused here. Whatever else is paused is the host's doing, and is found at the end.
const WALKING_BY: &str = "the operator walks by";
/// How many of the latest open flows he looks at.
const LATEST: usize = 40;
/// Whose invocations he pauses.
const PAUSED: [&str; 6] = ["order", "order", "inventory", "teller", "listener", "flow"];
/// What may be begun again, when nothing that it did stands: a flow under its session's id, and what time brings.
const AGAIN: [&str; 3] = [
    "shop:order/workflows@0.1.0.checkout",
    "shop:order/workflows@0.1.0.confirm",
    "nexus:durable/scheduled.run",
];

/// Walks by until everybody else is gone; from closing time on he only sets going again what he stopped.
pub(crate) async fn walk_by(world: Arc<World>, is_alone: Arc<AtomicBool>, mut dice: Dice) -> Result<()> {
    while !is_alone.load(Ordering::SeqCst) {
        if world.is_closing() {
            resume(&world, &mut dice).await;
            tokio::time::sleep(LOOK).await;
            continue;
        }
        tokio::time::sleep(dice.pause(500)).await;
        match dice.below(9) {
            0 | 1 => pause(&world, &mut dice).await,
            2..=4 => resume(&world, &mut dice).await,
            5 | 6 => restart(&world, &mut dice).await,
            _ => {
                // Without the database there is nothing to be seen.
                let _ = end_a_flow(&world, &mut dice).await;
            }
        }
    }
    Ok(())
}

/// Resumes until nothing is paused by this operator.
pub(crate) async fn leave(world: &World, audit: &Audit, dice: &mut Dice) -> Result<()> {
    let paused =
        format!("SELECT count(*) FROM host.invocation WHERE status = 'paused' AND cause LIKE '%{WALKING_BY}%'");
    while audit.count(&paused).await? > 0 {
        resume(world, dice).await;
    }
    Ok(())
}

async fn pause(world: &World, dice: &mut Dice) {
    let status = *dice.of(&["suspended", "running"]).unwrap_or(&"running");
    let component = *dice.of(&PAUSED).unwrap_or(&PAUSED[0]);
    let (limit, reason) = (1 + dice.below(4), WALKING_BY);
    let many = json!({ "status": status, "component": component, "limit": limit, "reason": reason });
    say(world, dice, "pause", many).await;
}

async fn resume(world: &World, dice: &mut Dice) {
    let many = json!({ "status": "paused", "cause": WALKING_BY, "limit": 1_000, "reason": WALKING_BY });
    say(world, dice, "resume", many).await;
}

/// Refused, mostly: it would do again what stands.
async fn restart(world: &World, dice: &mut Dice) {
    let function = *dice.of(&AGAIN).unwrap_or(&AGAIN[0]);
    let path = format!("/v1/invocations?function={function}&limit=20");
    let Some(answer) = get(world, dice, &path).await else {
        return;
    };
    let ended: Vec<Value> = answer.json["invocations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|found| matches!(found["status"].as_str(), Some("completed" | "cancelled")))
        .cloned()
        .collect();
    let Some(id) = dice.of(&ended).and_then(|found| found["id"].as_str()) else {
        return;
    };
    let Some(shown) = get(world, dice, &format!("/v1/invocations/{id}")).await else {
        return;
    };
    // Before it is said: whether it was heard may never be known.
    if let Some(session) = shown.json["workflow"][1].as_str() {
        world.tells(|told| told.restarted.insert(session.to_owned()));
    }
    let said = json!({ "reason": WALKING_BY });
    let answer = post(world, dice, &format!("/v1/invocations/{id}/restart"), said).await;
    heard(world, "restart", answer.as_ref());
}

/// Gives up one of the latest checkouts and confirmations that wait for their money, whatever the gateway has reported and nobody has looked at
/// yet.
async fn end_a_flow(world: &World, dice: &mut Dice) -> Result<()> {
    let audit = tokio::time::timeout(IMPATIENCE, Audit::open(&world.database_url)).await??;
    let open = format!(
        "SELECT concat_ws(' ', i.id, split_part(w.function, '.', 2), w.id)
         FROM host_view.workflow w JOIN host_view.invocation i ON i.id = w.invocation_id
         WHERE w.component = 'order' AND (w.function LIKE '%.checkout' OR w.function LIKE '%.confirm')
             AND i.status IN ('running', 'suspended', 'paused')
         ORDER BY i.id DESC LIMIT {LATEST}"
    );
    let open = audit.texts(&open).await?;
    let words: Vec<&str> = dice.of(&open).context("an open flow")?.split(' ').collect();
    let [flow, what, session] = words[..] else {
        bail!("no flow: {words:?}");
    };
    // Before it is said, as above.
    world.tells(|told| match what {
        "confirm" => told.taken_back.insert(session.to_owned()),
        _ => told.given_up.insert(session.to_owned()),
    });
    let said = json!({ "reason": "it waits for too long" });
    let answer = post(world, dice, &format!("/v1/invocations/{flow}/cancel"), said).await;
    heard(world, &format!("cancel of a {what}"), answer.as_ref());
    Ok(())
}

async fn say(world: &World, dice: &mut Dice, verb: &str, many: Value) {
    let answer = post(world, dice, &format!("/v1/invocations/{verb}"), many).await;
    match answer {
        Some(answer) if answer.status == 200 => {
            let done = answer.json["done"].as_u64().unwrap_or_default();
            (0..done).for_each(|_| world.plays(format!("operator: {verb}")));
        }
        answer => heard(world, verb, answer.as_ref()),
    }
}

fn heard(world: &World, verb: &str, answer: Option<&Answer>) {
    world.plays(match answer.map(|answer| answer.status) {
        Some(StatusCode::OK) => format!("operator: {verb}"),
        Some(status) => format!("operator: {verb}, refused with {}", status.as_u16()),
        None => format!("operator: {verb}, unheard"),
    });
}

async fn get(world: &World, dice: &mut Dice, path: &str) -> Option<Answer> {
    let admin = world.door(dice).admin.anew();
    let answer = tokio::time::timeout(IMPATIENCE, admin.get(path)).await;
    answer.ok()?.ok().filter(|answer| answer.status == 200)
}

/// None when no host answered in time: what was said may happen all the same.
async fn post(world: &World, dice: &mut Dice, path: &str, body: Value) -> Option<Answer> {
    let admin = world.door(dice).admin.with_header("x-operator", "walker").anew();
    let answer = tokio::time::timeout(IMPATIENCE, admin.post(path, body)).await;
    answer.ok()?.ok()
}
