//! Keeps its own books, and compares them with what is left when everything has come to its end: the invariants that the
//! platform's conventions number.

mod flows;
mod replay;

use std::collections::BTreeMap;

use host_journal::{Body, Entry, FenceReason, cancelled};
use host_types::{Fault, InvocationId, Position};

use super::instance::NO_ROOM;
use super::market::{CLOSED, CONFIRMED, HELD, NEW, PAID, REFUNDED, RELEASED, SETTLED, account};
use super::people::{Answered, Told};
use super::provider::{CAPTURED, Provider};
use super::tables::{Tables, entries};
use super::world::{ITEMS, STOCKED, World};

/// Everything that is not as it must be.
pub(crate) fn audit(world: &World) -> Vec<String> {
    let mut findings = Findings::default();
    {
        let tables = world.database.tables.lock();
        let answered = world.answered.lock();
        let orders = orders(&tables);
        stock(&mut findings, &tables, &orders);
        money(&mut findings, &tables, &orders);
        payments(&mut findings, &world.provider, &orders);
        letters(&mut findings, &tables, &orders);
        endings(&mut findings, &tables, &answered);
        pauses(&mut findings, &tables);
        answers(&mut findings, &answered, &orders);
        flows::audit(&mut findings, &tables, &answered, &orders);
        for node in &tables.taken_unfit {
            findings.check(false, "N1", || {
                format!("node {node} asked for work although it stops, or its clock is off")
            });
        }
        for (node, owner) in &tables.robbed {
            findings.check(false, "N2", || {
                format!("node {node} took by itself what {owner} had fenced, which is alive")
            });
        }
    }
    replay::histories(&mut findings, world);
    findings.0
}

/// What today's handlers make of a history.
pub(crate) fn replayed(world: &World, history: Vec<Entry>) -> Option<Result<Vec<u8>, Fault>> {
    if cancelled(&history).is_some() {
        return None;
    }
    replay::Dry::new(world).replay(InvocationId::new(0, [0; 10]), history)
}

#[derive(Default)]
pub(crate) struct Findings(Vec<String>);

impl Findings {
    pub(crate) fn check(&mut self, holds: bool, invariant: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(format!("{invariant}: {}", what()));
        }
    }
}

/// An order as it stands.
struct Order {
    state: i64,
    number: i64,
    amount: i64,
}

impl Order {
    /// It was paid, whatever came after.
    fn stands(&self) -> bool {
        matches!(self.state, PAID | SETTLED | REFUNDED)
    }
}

type Orders = BTreeMap<i64, Order>;

fn orders(tables: &Tables) -> Orders {
    let rows = tables.rows.iter().filter(|((table, _), _)| *table == "order");
    let order = |((_, id), row): (&(_, u64), &Vec<i64>)| {
        let order = Order {
            state: row[0],
            number: row[1],
            amount: row[4],
        };
        (id.cast_signed(), order)
    };
    rows.map(order).collect()
}

fn stock(findings: &mut Findings, tables: &Tables, orders: &Orders) {
    let (mut held, mut sold) = (BTreeMap::<u64, i64>::new(), BTreeMap::<u64, i64>::new());
    for ((table, order), row) in &tables.rows {
        if *table != "reservation" {
            continue;
        }
        let order = order.cast_signed();
        let stands = orders
            .get(&order)
            .is_some_and(|order| matches!(order.state, PAID | SETTLED));
        let item = row[1].cast_unsigned();
        match row[0] {
            HELD => *held.entry(item).or_default() += row[2],
            CONFIRMED => *sold.entry(item).or_default() += row[2],
            _ => {}
        }
        findings.check(row[0] != HELD, "S3", || {
            format!("order {order} holds its goods for ever")
        });
        findings.check(row[0] != CONFIRMED || stands, "S3", || {
            format!("goods are sold to order {order}, which does not stand")
        });
        findings.check(row[0] != RELEASED || !stands, "S3", || {
            format!("order {order} stands without its goods")
        });
    }
    for item in 1..=ITEMS {
        let [available, in_hold, gone] = tables.rows[&("stock", item)][..] else {
            continue;
        };
        let (held, sold) = (held.get(&item).copied(), sold.get(&item).copied());
        findings.check(available >= 0 && in_hold >= 0 && gone >= 0, "S1", || {
            format!("item {item}: {available}, {in_hold}, {gone}")
        });
        findings.check(available + in_hold + gone == STOCKED, "S1", || {
            format!("item {item}: {available} there, {in_hold} held and {gone} sold are not {STOCKED}")
        });
        let as_reserved = (held.unwrap_or(0), sold.unwrap_or(0));
        findings.check(as_reserved == (in_hold, gone), "S2", || {
            format!(
                "item {item}: {as_reserved:?} by reservations, {:?} by the counters",
                (in_hold, gone)
            )
        });
    }
}

fn money(findings: &mut Findings, tables: &Tables, orders: &Orders) {
    let mut balances: BTreeMap<u64, i64> = BTreeMap::new();
    let mut by_order: BTreeMap<i64, Vec<(u64, u64, i64)>> = BTreeMap::new();
    for (table, line) in &tables.lines {
        if let ("transfer", [order, from, to, amount]) = (*table, &line[..]) {
            let (from, to) = (from.cast_unsigned(), to.cast_unsigned());
            *balances.entry(from).or_default() -= amount;
            *balances.entry(to).or_default() += amount;
            by_order.entry(*order).or_default().push((from, to, *amount));
        }
    }
    let stored = |account: u64| tables.rows.get(&("account", account)).map_or(0, |row| row[0]);
    let sum: i64 = account::ALL.into_iter().map(stored).sum();
    findings.check(sum == 0, "M1", || format!("all balances are {sum}"));
    for account in account::ALL {
        let transferred = balances.get(&account).copied().unwrap_or(0);
        findings.check(stored(account) == transferred, "M2", || {
            format!(
                "account {account} has {}, by its transfers {transferred}",
                stored(account)
            )
        });
        // All money comes from outside: nobody else can owe any.
        findings.check(account == account::WORLD || stored(account) >= 0, "M2", || {
            format!("account {account} has {}, below its limit of 0", stored(account))
        });
    }
    let in_escrow = stored(account::ESCROW);
    findings.check(in_escrow == 0, "M3", || format!("{in_escrow} are left in escrow"));
    for (order, transfers) in &by_order {
        let mut distinct = transfers.clone();
        distinct.sort_unstable();
        distinct.dedup();
        findings.check(distinct.len() == transfers.len(), "M5", || {
            format!("order {order} has transfers twice: {transfers:?}")
        });
        findings.check(orders.get(order).is_some_and(Order::stands), "M3", || {
            format!("order {order} does not stand and moved money")
        });
    }
    for (id, order) in orders.iter().filter(|(_, order)| order.stands()) {
        let of = |from, to| {
            let transfers = by_order.get(id).into_iter().flatten();
            transfers
                .filter(|it| (it.0, it.1) == (from, to))
                .map(|it| it.2)
                .sum::<i64>()
        };
        let captured = of(account::WORLD, account::ESCROW);
        let paid_out = of(account::ESCROW, account::SELLER) + of(account::ESCROW, account::PLATFORM);
        let refunded = of(account::ESCROW, account::WORLD);
        findings.check(captured == order.amount, "M3", || {
            format!("order {id} of {}: captured {captured}", order.amount)
        });
        let expected = if order.state == REFUNDED {
            (0, captured)
        } else {
            (captured, 0)
        };
        findings.check((paid_out, refunded) == expected, "M3", || {
            format!("order {id}: of {captured} captured, {paid_out} paid out and {refunded} refunded")
        });
    }
}

fn payments(findings: &mut Findings, provider: &Provider, orders: &Orders) {
    let mut captured: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for charge in provider.charges() {
        if charge.state == CAPTURED {
            captured.entry(charge.order).or_default().push(charge.amount);
        }
        findings.check(orders.contains_key(&charge.order), "M4", || {
            format!("a charge for order {}, which is not there", charge.order)
        });
    }
    let refunds = provider.refunds();
    for (id, order) in orders {
        let charged = captured.remove(id).unwrap_or_default();
        let expected = if matches!(order.state, PAID | SETTLED) {
            vec![order.amount]
        } else {
            Vec::new()
        };
        findings.check(charged == expected, "M4", || {
            format!(
                "order {id} in state {}: captured {charged:?}, must be {expected:?}",
                order.state
            )
        });
        let refunded = refunds.iter().filter(|refund| *refund == id).count();
        let most = usize::from(matches!(order.state, REFUNDED | CLOSED));
        findings.check(refunded <= most, "M4", || {
            format!("order {id} in state {} was refunded {refunded} times", order.state)
        });
        findings.check(order.state != REFUNDED || refunded == 1, "M4", || {
            format!("order {id} was given back and not refunded")
        });
    }
}

/// Each message once.
fn letters(findings: &mut Findings, tables: &Tables, orders: &Orders) {
    let mut sent: BTreeMap<i64, u32> = BTreeMap::new();
    for (table, line) in &tables.lines {
        if *table == "letter" {
            *sent.entry(line[0]).or_default() += 1;
        }
    }
    for (id, order) in orders {
        let letters = sent.get(id).copied().unwrap_or(0);
        let expected = u32::from(order.stands());
        findings.check(letters == expected, "E1", || {
            format!("order {id} in state {}: {letters} letters", order.state)
        });
    }
}

fn endings(findings: &mut Findings, tables: &Tables, answered: &Answered) {
    for id in &tables.open {
        let row = &tables.invocations[id].row;
        findings.check(false, "W1", || {
            format!(
                "invocation {id} ({}) is {} on {:?}, due {:?}: {:?}",
                row.function, row.status, row.node, row.due_ms, row.cause
            )
        });
    }
    for (id, stored) in &tables.invocations {
        let stuck = entries(&stored.bodies).into_iter().find_map(|entry| match entry.body {
            Body::Fence {
                reason: FenceReason::Pause(cause),
                ..
            } if cause.text.starts_with(NO_ROOM) => Some(cause.text),
            _ => None,
        });
        findings.check(stuck.is_none(), "W1", || {
            format!("invocation {id} was left to a person for want of room: {stuck:?}")
        });
    }
    for key in &answered.unanswered {
        findings.check(false, "W1", || format!("{key} was never answered"));
    }
    for (id, order) in orders(tables) {
        findings.check(!matches!(order.state, NEW | PAID), "W1", || {
            format!("order {id} is left in state {}", order.state)
        });
    }
}

/// What was paused stays so until a person says another word: that it goes on, that it is over, or what the answer is, which leaves it
/// paused. Nobody moves an invocation here; the fence of that would be one more.
fn pauses(findings: &mut Findings, tables: &Tables) {
    for (id, stored) in &tables.invocations {
        let mut is_paused = false;
        let mut before: Option<Position> = None;
        for entry in entries(&stored.bodies) {
            let (stands, stays) = match &entry.body {
                Body::Fence { reason, .. } => match reason {
                    FenceReason::Pause(_) => (!is_paused, true),
                    FenceReason::Resume | FenceReason::Cancel(_) => (true, false),
                    FenceReason::Answer { .. } => (true, is_paused),
                    _ => (!is_paused, false),
                },
                // Of the answer that a person gave.
                Body::Completion { position, .. } if before.as_ref() == Some(position) => (true, is_paused),
                _ => (!is_paused, false),
            };
            findings.check(stands, "O1", || {
                format!(
                    "invocation {id} was paused, and went on without a word: {:?}",
                    entry.body
                )
            });
            is_paused = stays;
            before = match entry.body {
                Body::Fence {
                    reason: FenceReason::Answer { position, .. },
                    ..
                } => Some(position),
                _ => None,
            };
        }
    }
}

/// The order that an answer speaks of.
fn told_of(body: &str) -> Option<i64> {
    body.split([' ', ':']).nth(1)?.parse().ok()
}

fn answers(findings: &mut Findings, answered: &Answered, orders: &Orders) {
    for (key, told) in &answered.by_key {
        // An output that was written lazily may not be there yet when an operator cancels: the answer that was given stands, and who asks
        // again is told that the key is spent.
        let number = key.strip_prefix("checkout ").and_then(|number| number.parse().ok());
        let is_cancelled = number.is_some_and(|number: i64| answered.cancelled.contains(&number));
        let mut told = told.clone();
        if is_cancelled && told.iter().any(|told| matches!(told, Told::Response(..))) {
            told.retain(|told| *told != Told::Spent);
        }
        let first = told.first();
        findings.check(told.iter().all(|told| Some(told) == first), "W2", || {
            format!("{key} was told {told:?}")
        });
        let Some(Told::Response(status, body)) = first else {
            continue;
        };
        if key.starts_with("flow") {
            continue;
        }
        let order = told_of(body).and_then(|order| orders.get(&order));
        if key.starts_with("checkout") {
            let as_told = order.is_some_and(|order| order.stands() == (*status == 200));
            findings.check(as_told, "W2", || {
                format!(
                    "{key} was told {status} {body:?}, and the order is in state {:?}",
                    order.map(|order| order.state)
                )
            });
        } else if *status == 200 {
            let becomes = if key.starts_with("confirm") { SETTLED } else { REFUNDED };
            let is_so = order.is_some_and(|order| order.state == becomes);
            findings.check(is_so, "W2", || format!("{key} was told {body:?}, which is not so"));
        }
    }
    for told in &answered.mismatched {
        let is_refused = matches!(told, Told::Mismatch);
        findings.check(is_refused, "W2", || {
            format!("another request under a known key was told {told:?}")
        });
    }
    let mut standing: BTreeMap<i64, u32> = BTreeMap::new();
    let mut begun: BTreeMap<i64, u32> = BTreeMap::new();
    for order in orders.values() {
        *begun.entry(order.number).or_default() += 1;
        *standing.entry(order.number).or_default() += u32::from(order.stands());
    }
    for (number, begun) in begun {
        let once = begun <= 1 || number < 0 || answered.restarted.contains(&number);
        findings.check(once, "W2", || {
            format!(
                "checkout {number} was begun {begun} times under one key, {} of them stand",
                standing[&number]
            )
        });
    }
}
