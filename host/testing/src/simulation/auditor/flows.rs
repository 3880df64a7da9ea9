//! What runs under an id, one at a time, by the clock, or because something happened.

use std::collections::BTreeMap;

use super::{Findings, Orders, told_of};
use crate::simulation::market::{COMES, DESK, FLOW, GIVEN_UP, HEARD, OPEN, TICK};
use crate::simulation::people::{Answered, Told};
use crate::simulation::tables::Tables;

pub(super) fn audit(findings: &mut Findings, tables: &Tables, answered: &Answered, orders: &Orders) {
    workflows(findings, tables, answered);
    outputs(findings, answered, orders);
    desk(findings, tables, answered);
    ticks(findings, tables);
    events(findings, tables, orders);
}

/// An operator said a word that ends it: a paused one is cancelled before it is begun again.
fn may_have_ended(answered: &Answered, number: i64) -> bool {
    answered.cancelled.contains(&number) || answered.restarted.contains(&number)
}

/// At most one of each id, but for those that an operator began again.
fn workflows(findings: &mut Findings, tables: &Tables, answered: &Answered) {
    let mut begun: BTreeMap<String, u32> = BTreeMap::new();
    for stored in tables.invocations.values().filter(|stored| stored.row.function == FLOW) {
        let started = crate::simulation::tables::entries(&stored.bodies[..1]);
        if let host_journal::Body::Started(header) = &started[0].body {
            *begun.entry(header.workflow.clone().unwrap_or_default()).or_default() += 1;
        }
    }
    for (id, begun) in begun {
        let again = id.parse().is_ok_and(|number| answered.restarted.contains(&number));
        findings.check(begun == 1 || again, "W2", || {
            format!("{begun} workflows have the id {id}")
        });
    }
}

/// Everybody who awaits a workflow is told the same, and what is so.
fn outputs(findings: &mut Findings, answered: &Answered, orders: &Orders) {
    let mut told_of_number: BTreeMap<i64, Vec<(u16, String)>> = BTreeMap::new();
    for (key, told) in answered.by_key.iter().filter(|(key, _)| key.starts_with("flow")) {
        let Some(number) = told_of(key) else { continue };
        for told in told {
            let Told::Response(status, body) = told else { continue };
            let order = told_of(body).and_then(|order| orders.get(&order));
            let holds = match *status {
                // Whose number it is: what is only opened may come to nothing yet.
                OPEN => order.is_none_or(|order| order.number == number) && (order.is_some() || body == "not yet"),
                GIVEN_UP => may_have_ended(answered, number),
                status => order.is_some_and(|order| order.number == number && order.stands() == (status == 200)),
            };
            findings.check(holds, "W2", || {
                format!("{key} was told {status} {body:?}, which is not so")
            });
            if *status != OPEN {
                told_of_number.entry(number).or_default().push((*status, body.clone()));
            }
        }
    }
    for (number, told) in told_of_number {
        let again = answered.restarted.contains(&number);
        findings.check(again || told.iter().all(|it| *it == told[0]), "W2", || {
            format!("of the workflow {number} people were told {told:?}")
        });
    }
}

/// Nobody comes to the desk while another one works there; only what an operator ended never says that it goes.
fn desk(findings: &mut Findings, tables: &Tables, answered: &Answered) {
    let mut works: Option<i64> = None;
    for (_, line) in tables.lines.iter().filter(|(table, _)| *table == DESK) {
        let (number, comes) = (line[0], line[1] == COMES);
        if comes {
            let gone = works.is_none_or(|works| may_have_ended(answered, works));
            findings.check(gone, "K1", || {
                format!("{number} came to the desk while {works:?} worked there")
            });
            works = Some(number);
        } else {
            findings.check(works == Some(number), "K1", || {
                format!("{number} left the desk where {works:?} worked")
            });
            works = None;
        }
    }
    let left = works.filter(|works| !may_have_ended(answered, *works));
    findings.check(left.is_none(), "K1", || format!("{left:?} never left the desk"));
    let held = tables.held_keys();
    findings.check(held == 0, "K1", || format!("{held} keys are held when all is over"));
}

/// Each tick begins one run, over all nodes, and each run leaves its line.
fn ticks(findings: &mut Findings, tables: &Tables) {
    let mut met: BTreeMap<(&str, u64), u32> = BTreeMap::new();
    let mut runs: BTreeMap<i64, u32> = BTreeMap::new();
    for tick in &tables.ticks {
        *met.entry((&tick.name, tick.tick_ms)).or_default() += 1;
        if let Some(run) = tick.invocation {
            runs.insert((run.0.as_u128() as u64 >> 1).cast_signed(), 0);
        }
    }
    for ((name, tick_ms), met) in met {
        findings.check(met == 1, "C1", || {
            format!("the tick {name} of {tick_ms} was met {met} times")
        });
    }
    for (_, line) in tables.lines.iter().filter(|(table, _)| *table == TICK) {
        *runs.entry(line[0]).or_default() += 1;
    }
    for (run, lines) in runs {
        findings.check(lines == 1, "C1", || {
            format!("the run {run} of a tick left {lines} lines")
        });
    }
}

/// Each event is of an order that stands, and each such order has one; each is heard once, and of one item in the order of the commits.
fn events(findings: &mut Findings, tables: &Tables, orders: &Orders) {
    let order_of = |payload: &[u8]| minicbor::decode::<i64>(payload).unwrap_or_default();
    let mut published: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut count: BTreeMap<i64, u32> = BTreeMap::new();
    for event in &tables.events {
        let order = order_of(&event.payload);
        published.entry(&event.key).or_default().push(order);
        *count.entry(order).or_default() += 1;
        findings.check(orders.get(&order).is_some_and(|order| order.stands()), "E1", || {
            format!("an event says that order {order} was placed, which does not stand")
        });
    }
    for (id, order) in orders {
        let events = count.get(id).copied().unwrap_or(0);
        findings.check(events == u32::from(order.stands()), "E1", || {
            format!("order {id} in state {} has {events} events", order.state)
        });
    }
    let heard: Vec<i64> = tables
        .lines
        .iter()
        .filter(|(table, _)| *table == HEARD)
        .map(|(_, line)| line[0])
        .collect();
    for (key, published) in published {
        let heard: Vec<i64> = heard
            .iter()
            .copied()
            .filter(|order| published.contains(order))
            .collect();
        findings.check(heard == published, "E1", || {
            format!("of {key} was published {published:?}, and heard {heard:?}")
        });
    }
}
