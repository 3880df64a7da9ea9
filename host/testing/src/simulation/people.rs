//! Who uses the market: buyers who ask until they are answered, a seller's clerks who confirm and reject, the provider's webhooks, an
//! operator who meddles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use host_invoker::{Asked, Handlers};
use host_journal::{Body, CommandKind, InvocationStatus};
use host_types::{
    HttpCall, HttpOutcome, HttpRequest, IdempotencyKey, Identity, InvocationClient, InvocationId, Position, Rng,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::instance::encode;
use super::market::{CHECKOUT, CONFIRM, FLOW, ORDER, PAID, REJECT, RETURN, SHOP, WEBHOOK, paid};
use super::provider::{CAPTURED, DECLINED, Notification, UNKNOWN};
use super::tables;
use super::world::{ITEMS, Node, World};

/// What a client was told in the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    Response(u16, String),
    /// An operator ended it: there is no answer, and the key is used up.
    Spent,
    /// The key belongs to another request.
    Mismatch,
}

/// What all clients were told.
#[derive(Default)]
pub(crate) struct Answered {
    /// By key; everything that was told under it.
    pub(crate) by_key: BTreeMap<String, Vec<Told>>,
    /// Another request under a known key was answered with this.
    pub(crate) mismatched: Vec<Told>,
    /// Requests that nobody answered.
    pub(crate) unanswered: Vec<String>,
    /// Checkouts that an operator began again.
    pub(crate) restarted: BTreeSet<i64>,
    /// Checkouts that an operator wanted to cancel.
    pub(crate) cancelled: BTreeSet<i64>,
}

/// How long a client waits for one answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// A client that was not answered this often never will be.
const TRIES: u32 = 200;

/// Numbers of flows begin here.
pub(crate) const FLOWS: i64 = 1_000;

/// Sends everybody shopping.
pub(crate) fn buyers(world: &Arc<World>) -> Vec<JoinHandle<()>> {
    let count = world.dice.between(3, 8).cast_signed();
    let flows = world.dice.between(1, 4).cast_signed();
    let alone = (0..count).map(|number| tokio::spawn(buy(Arc::clone(world), number)));
    let together = (FLOWS..FLOWS + flows).map(|number| tokio::spawn(buy_together(Arc::clone(world), number)));
    alone.chain(together).collect()
}

/// Two who ask for the same flow, about at once and each under a key of its own; one of them may ask for its opening alone.
async fn buy_together(world: Arc<World>, number: i64) {
    let dice = world.dice.clone();
    sleep(dice.time_ms(0, 9_000)).await;
    let (item, quantity) = (
        dice.between(1, ITEMS + 1).cast_signed(),
        dice.between(1, 4).cast_signed(),
    );
    let until_opened = i64::from(dice.per_mille(500));
    let keys = [format!("flow {number} first"), format!("flow {number} second")];
    let second = async {
        sleep(dice.time_ms(0, 40)).await;
        insist(&world, ORDER, &[number, item, quantity, until_opened], &keys[1]).await;
    };
    let asked = [number, item, quantity, 0];
    tokio::join!(biased; insist(&world, ORDER, &asked, &keys[0]), second);
}

async fn buy(world: Arc<World>, number: i64) {
    let dice = world.dice.clone();
    sleep(dice.time_ms(0, 9_000)).await;
    let (item, quantity) = (
        dice.between(1, ITEMS + 1).cast_signed(),
        dice.between(1, 4).cast_signed(),
    );
    let key = format!("checkout {number}");
    let order = [number, item, quantity];
    // An impatient one clicks twice, and meets two nodes.
    let twice = dice.per_mille(250);
    let second = async {
        if twice {
            sleep(dice.time_ms(0, 30)).await;
            insist(&world, CHECKOUT, &order, &key).await;
        }
    };
    let (told, ()) = tokio::join!(biased; insist(&world, CHECKOUT, &order, &key), second);
    if dice.per_mille(300) {
        sleep(dice.time_ms(0, 2_000)).await;
        insist(&world, CHECKOUT, &order, &key).await;
    }
    if dice.per_mille(150) {
        let told = ask(&world, CHECKOUT, &[number, item, quantity + 1], Some(&key)).await;
        world.answered.lock().mismatched.extend(told);
    }
    let bought = match &told {
        Some(Told::Response(200, body)) => body.strip_prefix("order ").and_then(|order| order.parse().ok()),
        _ => None,
    };
    if let Some(order) = bought
        && dice.per_mille(350)
    {
        sleep(dice.time_ms(0, 4_500)).await;
        insist(&world, RETURN, &[order], &format!("return {number}")).await;
    }
}

/// Sends the seller's clerks to work. Neither knows what the other says.
pub(crate) fn clerks(world: &Arc<World>) -> [JoinHandle<()>; 2] {
    [0, 1].map(|clerk| tokio::spawn(sell(Arc::clone(world), clerk)))
}

/// Confirms some orders that are paid and rejects others, each once, as long as there is trouble; what is left is paid out by itself.
async fn sell(world: Arc<World>, clerk: u32) {
    let dice = world.dice.clone();
    let mut answered = BTreeSet::new();
    while world.is_rough() {
        sleep(dice.time_ms(100, 2_500)).await;
        let mut orders = paid_orders(&world);
        orders.retain(|order| !answered.contains(order));
        let Some(order) = dice.one_of(&orders) else { continue };
        answered.insert(order);
        let (path, word) = match dice.per_mille(600) {
            true => (CONFIRM, "confirm"),
            false => (REJECT, "reject"),
        };
        insist(&world, path, &[order], &format!("{word} {order} by {clerk}")).await;
    }
}

/// What the seller has to answer.
fn paid_orders(world: &World) -> Vec<i64> {
    let tables = world.database.tables.lock();
    let orders = tables.rows.iter().filter(|((table, _), _)| *table == "order");
    let paid = orders.filter(|(_, row)| row[0] == PAID);
    paid.map(|((_, order), _)| order.cast_signed()).collect()
}

/// Asks under a key until it is answered, and keeps what was told.
async fn insist(world: &Arc<World>, path: &'static str, arguments: &[i64], key: &str) -> Option<Told> {
    let told = ask(world, path, arguments, Some(key)).await;
    let mut answered = world.answered.lock();
    match &told {
        Some(told) => answered.by_key.entry(key.to_owned()).or_default().push(told.clone()),
        None => answered.unanswered.push(key.to_owned()),
    }
    told
}

/// Asks one node after another.
async fn ask(world: &Arc<World>, path: &'static str, arguments: &[i64], key: Option<&str>) -> Option<Told> {
    for _ in 0..TRIES {
        if let Some(node) = some_node(world)
            && let Some(outcome) = once(world, &node, path, arguments, key).await
        {
            match outcome {
                HttpOutcome::Response { response, .. } => {
                    let body = String::from_utf8_lossy(&response.body).into_owned();
                    return Some(Told::Response(response.status, body));
                }
                HttpOutcome::KeySpent { .. } | HttpOutcome::Cancelled { .. } => return Some(Told::Spent),
                HttpOutcome::KeyMismatch => return Some(Told::Mismatch),
                HttpOutcome::Failed { .. }
                | HttpOutcome::Pending { .. }
                | HttpOutcome::KeyInProgress { .. }
                | HttpOutcome::Full { .. }
                | HttpOutcome::Overloaded { .. } => {}
            }
        }
        sleep(world.dice.time_ms(100, 700)).await;
    }
    None
}

/// One request to one node; `None`: no answer arrived.
async fn once(
    world: &Arc<World>,
    node: &Node,
    path: &'static str,
    arguments: &[i64],
    key: Option<&str>,
) -> Option<HttpOutcome> {
    let entropy: &dyn Rng = &world.dice;
    let call = HttpCall {
        invocation: InvocationId::new(world.database.now_ms(), entropy.bytes()),
        component: SHOP.into(),
        route: path.into(),
        request: HttpRequest {
            method: "POST".into(),
            path: path.into(),
            query: String::new(),
            headers: Vec::new(),
            identity: Identity::Anonymous,
            peer: "127.0.0.1".into(),
            body: minicbor::to_vec(arguments).expect("numbers have an encoding").into(),
        },
        idempotency_key: key.map(|key| IdempotencyKey(key.to_owned())),
        trace_parent: None,
        sensitive: false,
        wait_ms: 2_500,
    };
    let answer = async {
        node.gate.pass().await;
        let outcome = node.invoker.handle_http(call).await;
        node.gate.pass().await;
        outcome
    };
    let is_lost = world.is_rough() && world.dice.per_mille(30);
    tokio::select! {
        biased;
        () = node.gate.died() => None,
        outcome = tokio::time::timeout(PATIENCE, answer) => outcome.ok().filter(|_| !is_lost),
    }
}

fn some_node(world: &World) -> Option<Arc<Node>> {
    let nodes: Vec<_> = world.nodes.lock().values().map(Arc::clone).collect();
    world.dice.one_of(&nodes)
}

/// The provider's notifications, each until it is acknowledged, some twice.
pub(crate) async fn deliver(world: Arc<World>, mut notifications: mpsc::UnboundedReceiver<Notification>) {
    while let Some(Notification { notify, state }) = notifications.recv().await {
        for _ in 0..=u32::from(world.dice.per_mille(300)) {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                ask(&world, WEBHOOK, &[notify, state], None).await;
            });
        }
    }
}

/// Says a word about some invocation, now and then.
pub(crate) async fn operate(world: Arc<World>) {
    loop {
        sleep(world.dice.time_ms(200, 1_500)).await;
        let Some(node) = some_node(&world) else { continue };
        let checkouts = choose(&world, |_, begun| begun == CHECKOUT || begun == FLOW);
        let said = async {
            match world.dice.between(0, 14) {
                0..3 => {
                    let open = choose(&world, |status, _| !status.is_final());
                    if let Some((invocation, _)) = world.dice.one_of(&open) {
                        // Whether it had an effect is for the auditor to see.
                        let _ = node.invoker.pause(invocation, &asked()).await;
                    }
                }
                3..7 => {
                    if let Some((invocation, number)) = world.dice.one_of(&checkouts) {
                        world.answered.lock().cancelled.insert(number);
                        let _ = node.invoker.cancel(invocation, &asked()).await;
                    }
                }
                7 => restart(&world, &node, &checkouts).await,
                8..11 => answer(&world, &node).await,
                11 => bring(&world, &node).await,
                _ => {
                    let paused = choose(&world, |status, _| status == InvocationStatus::Paused);
                    if let Some((invocation, _)) = world.dice.one_of(&paused) {
                        set_going(&world, &node, invocation).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = node.gate.died() => {}
            _ = tokio::time::timeout(PATIENCE, said) => {}
        }
    }
}

/// Pauses what was just given to a node, now and then, about when that fences it; and sets some of it going again at once, elsewhere.
pub(crate) async fn interrupt(world: Arc<World>) {
    let gives = Arc::clone(&world.database.tables.lock().gives);
    loop {
        gives.notified().await;
        let given = std::mem::take(&mut world.database.tables.lock().given);
        if !world.dice.per_mille(60) {
            continue;
        }
        let (Some(invocation), Some(node)) = (world.dice.one_of(&given), some_node(&world)) else {
            continue;
        };
        let said = async {
            let _ = node.invoker.pause(invocation, &asked()).await;
            if world.dice.per_mille(400) {
                let _ = node.invoker.resume(invocation, &asked()).await;
            }
        };
        tokio::select! {
            biased;
            () = node.gate.died() => {}
            _ = tokio::time::timeout(PATIENCE, said) => {}
        }
    }
}

async fn restart(world: &World, node: &Node, checkouts: &[(InvocationId, i64)]) {
    let Some((invocation, number)) = world.dice.one_of(checkouts) else {
        return;
    };
    // Before it is asked for: it may happen although no answer comes.
    world.answered.lock().restarted.insert(number);
    let _ = node.invoker.restart(invocation, false, &asked()).await;
}

/// Stops an invocation that has begun an effect and has no answer to it, and gives it one: that nobody knows what became of it.
async fn answer(world: &World, node: &Node) {
    let in_doubt: Vec<_> = choose(world, |status, _| !status.is_final())
        .into_iter()
        .filter_map(|(invocation, _)| Some((invocation, in_doubt(world, invocation)?)))
        .collect();
    if let Some((invocation, position)) = world.dice.one_of(&in_doubt) {
        let _ = node.invoker.pause(invocation, &asked()).await;
        let unknown = |_: Arc<dyn Handlers>, _: &str| Ok(encode(UNKNOWN).to_vec());
        let _ = node
            .invoker
            .complete_entry(invocation, position, unknown, &asked())
            .await;
    }
}

/// Where it has begun an effect of which it has no answer.
fn in_doubt(world: &World, invocation: InvocationId) -> Option<Position> {
    let tables = world.database.tables.lock();
    let entries = tables::entries(&tables.invocations.get(&invocation)?.bodies);
    let is_answered = |at: &Position| {
        let mut completions = entries.iter();
        completions.any(|entry| matches!(&entry.body, Body::Completion { position, .. } if position == at))
    };
    entries.iter().find_map(|entry| match &entry.body {
        Body::Command {
            position,
            kind: CommandKind::External,
            answer: None,
            ..
        } if !is_answered(position) => Some(position.clone()),
        _ => None,
    })
}

/// Tells an order what the provider's webhook would, as somebody who has looked at its books.
async fn bring(world: &World, node: &Node) {
    let mut charges = world.provider.charges();
    charges.retain(|charge| matches!(charge.state, CAPTURED | DECLINED));
    let Some(charge) = world.dice.one_of(&charges) else {
        return;
    };
    let promise = {
        let tables = world.database.tables.lock();
        tables
            .rows
            .get(&("order", charge.order.unsigned_abs()))
            .and_then(|row| paid(row))
    };
    if let Some(promise) = promise {
        let value = encode(charge.state);
        let _ = node.invoker.complete_promise(promise, &value, &asked()).await;
    }
}

/// Sets everything going that waits for a person.
pub(crate) async fn resume_all(world: &Arc<World>) {
    let Some(node) = some_node(world) else { return };
    for (invocation, _) in choose(world, |status, _| status == InvocationStatus::Paused) {
        tokio::select! {
            biased;
            () = node.gate.died() => return,
            () = set_going(world, &node, invocation) => {}
        }
    }
}

/// A dead letter is delivered once more, as often as not; everything else is resumed.
async fn set_going(world: &World, node: &Node, invocation: InvocationId) {
    // Whether either had an effect is for the auditor to see.
    if world.dice.per_mille(500) && node.dead_letters.replay(invocation, &asked()).await.is_ok() {
        return;
    }
    let _ = node.invoker.resume(invocation, &asked()).await;
}

fn asked() -> Asked {
    Asked {
        by: "operator".into(),
        reason: String::new(),
    }
}

/// Invocations in this state that began with this path or function, each with the first number it was called with.
fn choose(world: &World, wanted: impl Fn(InvocationStatus, &str) -> bool) -> Vec<(InvocationId, i64)> {
    let tables = world.database.tables.lock();
    let chosen = tables.invocations.iter().filter_map(|(id, stored)| {
        let (begun, number) = begun(&stored.bodies)?;
        wanted(stored.row.status, &begun).then_some((*id, number))
    });
    chosen.collect()
}

/// The path or the function that an invocation began with, and the first number.
fn begun(bodies: &[Vec<u8>]) -> Option<(String, i64)> {
    let entries = tables::entries(bodies.get(..1)?);
    let Body::Started(header) = &entries.first()?.body else {
        return None;
    };
    let (begun, arguments) = match minicbor::decode::<HttpRequest>(&header.input) {
        Ok(request) => (request.path.clone(), request.body.to_vec()),
        Err(_) => (header.function.clone(), header.input.to_vec()),
    };
    let arguments: Option<Vec<i64>> = minicbor::decode(&arguments).ok();
    let number = arguments.and_then(|arguments| arguments.first().copied());
    Some((begun, number.unwrap_or(-1)))
}
