//! Who uses the market: buyers who ask until they are answered, the provider's webhooks, an operator who meddles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use host_invoker::Asked;
use host_journal::{Body, InvocationStatus};
use host_types::{HttpCall, HttpOutcome, HttpRequest, IdempotencyKey, Identity, InvocationClient, InvocationId, Rng};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::market::{CHECKOUT, RETURN, SHOP, WEBHOOK};
use super::provider::Notification;
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

/// Sends everybody shopping.
pub(crate) fn buyers(world: &Arc<World>) -> Vec<JoinHandle<()>> {
    let count = world.dice.between(5, 13).cast_signed();
    (0..count)
        .map(|number| tokio::spawn(buy(Arc::clone(world), number)))
        .collect()
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
        let checkouts = choose(&world, |_, path| path == Some(CHECKOUT));
        let said = async {
            match world.dice.between(0, 10) {
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
                7..8 => restart(&world, &node, &checkouts).await,
                _ => {
                    let paused = choose(&world, |status, _| status == InvocationStatus::Paused);
                    if let Some((invocation, _)) = world.dice.one_of(&paused) {
                        let _ = node.invoker.resume(invocation, &asked()).await;
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

async fn restart(world: &World, node: &Node, checkouts: &[(InvocationId, i64)]) {
    let Some((invocation, number)) = world.dice.one_of(checkouts) else {
        return;
    };
    // Before it is asked for: it may happen although no answer comes.
    world.answered.lock().restarted.insert(number);
    let _ = node.invoker.restart(invocation, false, &asked()).await;
}

/// Sets everything going that waits for a person.
pub(crate) async fn resume_all(world: &Arc<World>) {
    let Some(node) = some_node(world) else { return };
    for (invocation, _) in choose(world, |status, _| status == InvocationStatus::Paused) {
        let asked = asked();
        let resumed = node.invoker.resume(invocation, &asked);
        tokio::select! {
            biased;
            () = node.gate.died() => return,
            _ = resumed => {}
        }
    }
}

fn asked() -> Asked {
    Asked {
        by: "operator".into(),
        reason: String::new(),
    }
}

/// Invocations in this state that began with this path, each with the first number it was called with.
fn choose(world: &World, wanted: impl Fn(InvocationStatus, Option<&str>) -> bool) -> Vec<(InvocationId, i64)> {
    let tables = world.database.tables.lock();
    let chosen = tables.invocations.iter().filter_map(|(id, stored)| {
        let request = request(&stored.bodies);
        let path = request.as_ref().map(|request| request.path.as_str());
        if !wanted(stored.row.status, path) {
            return None;
        }
        let arguments: Option<Vec<i64>> = request.and_then(|request| minicbor::decode(&request.body).ok());
        Some((
            *id,
            arguments.and_then(|arguments| arguments.first().copied()).unwrap_or(-1),
        ))
    });
    chosen.collect()
}

/// The request an invocation began with.
fn request(bodies: &[Vec<u8>]) -> Option<HttpRequest> {
    let entries = tables::entries(bodies.get(..1)?);
    match &entries.first()?.body {
        Body::Started(header) => minicbor::decode(&header.input).ok(),
        _ => None,
    }
}
