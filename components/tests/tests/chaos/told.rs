//! What people were told, held against what the database has: nothing that was promised is missing, and nothing is there that nobody asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use component_tests::{Audit, CHECKOUT, Client, Gateway, Nexus};
use serde_json::Value;

use crate::beside::Asked;
use crate::world::World;

/// How long a host that was started again may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A checkout, as its buyer was told.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) buyer: usize,
    pub(crate) session: String,
    /// Where it is paid; empty when there is nothing to do there.
    pub(crate) url: String,
}

/// What people were told, and what they asked for.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) placed: Vec<Placed>,
    /// How many checkouts were refused.
    pub(crate) refused: usize,
    /// What was answered under some of the keys: whose, the key, what was asked, and the answer.
    pub(crate) answered: Vec<(usize, String, Value, Bytes)>,
    /// Checkouts whose buyer asked to cancel them, and those whose buyer was told that they are.
    pub(crate) unwanted: BTreeSet<String>,
    pub(crate) ended: BTreeSet<String>,
    /// Lines that somebody asked to cancel, and those of which somebody was told that they are.
    pub(crate) disliked: BTreeSet<i64>,
    pub(crate) returned: BTreeSet<i64>,
    /// Confirmations.
    pub(crate) confirmed: BTreeSet<String>,
    /// How many confirmations the seller asked for and was told are cancelled.
    pub(crate) unconfirmed: usize,
    /// Checkouts that an operator ended for their buyers, or tried to.
    pub(crate) given_up: BTreeSet<String>,
    /// Confirmations that an operator ended for the seller, or tried to.
    pub(crate) taken_back: BTreeSet<String>,
    /// Sessions whose flow an operator began again, or tried to.
    pub(crate) restarted: BTreeSet<String>,
    /// What was asked for beside the market.
    pub(crate) beside: Asked,
}

/// A line of a checkout, as it is stored.
struct Line {
    id: i64,
    session: String,
    is_cancelled: bool,
    is_cancelled_by_somebody: bool,
}

async fn lines(audit: &Audit) -> Result<Vec<Line>> {
    let lines = "SELECT concat_ws(' ', id, payment_session_id, date_cancelled IS NOT NULL, cancelled_by_id IS NOT NULL)
                 FROM \"order\".item";
    let text = audit.texts(lines).await?;
    let line = |text: &String| {
        let words: Vec<&str> = text.split(' ').collect();
        let [id, session, is_cancelled, by_somebody] = words[..] else {
            anyhow::bail!("no line: {text}");
        };
        Ok(Line {
            id: id.parse()?,
            session: session.to_owned(),
            is_cancelled: is_cancelled == "t",
            is_cancelled_by_somebody: by_somebody == "t",
        })
    };
    text.iter().map(line).collect()
}

impl Told {
    /// Whether an operator may have ended the flow of this session.
    pub(crate) fn may_be_ended(&self, session: &str) -> bool {
        self.given_up.contains(session) || self.taken_back.contains(session)
    }

    /// Checks all of it. Nothing is under way any more.
    pub(crate) async fn is_true(&self, audit: &Audit) -> Result<()> {
        self.of_sessions(audit).await?;
        self.of_lines(&lines(audit).await?)?;
        self.beside.is_true(audit).await
    }

    async fn of_sessions(&self, audit: &Audit) -> Result<()> {
        let stored = "SELECT id || ' ' || status FROM \"order\".payment_session WHERE kind = 'buyer-checkout'";
        let stored = audit.texts(stored).await?;
        let stored: BTreeMap<&str, &str> = stored.iter().filter_map(|text| text.split_once(' ')).collect();
        let told: BTreeSet<&str> = self.placed.iter().map(|placed| &*placed.session).collect();
        ensure!(told.len() == self.placed.len(), "two checkouts have one session");
        let missing: Vec<_> = told.iter().filter(|id| !stored.contains_key(**id)).collect();
        ensure!(
            missing.is_empty(),
            "buyers were told of sessions that are not: {missing:?}"
        );

        let untold: Vec<_> = stored.iter().filter(|(id, _)| !told.contains(**id)).collect();
        ensure!(
            untold.len() <= self.refused,
            "{} checkouts were refused, and these are there: {untold:?}",
            self.refused
        );
        let alive: Vec<_> = untold
            .iter()
            .filter(|(id, status)| !matches!(**status, "Failed" | "Cancelled") && !self.restarted.contains(**id))
            .collect();
        ensure!(alive.is_empty(), "nobody was told of {alive:?}");
        let ended = self.ended.iter().map(|id| (id, stored.get(&**id)));
        let paid: Vec<_> = ended.filter(|(_, status)| *status == Some(&"Success")).collect();
        ensure!(paid.is_empty(), "buyers were told that these are cancelled: {paid:?}");

        let fees = "SELECT id::text FROM \"order\".payment_session WHERE kind = 'seller-confirmation-fee'";
        let fees: BTreeSet<String> = audit.texts(fees).await?.into_iter().collect();
        let missing: Vec<_> = self.confirmed.difference(&fees).collect();
        ensure!(
            missing.is_empty(),
            "the seller was told of confirmations that are not: {missing:?}"
        );
        // By nobody else: each that is asked for has a session of its own, and one that the seller gives up was told before.
        ensure!(
            self.unconfirmed <= self.taken_back.len(),
            "of {} confirmations the seller was told that they are cancelled, and an operator ended no more than {:?}",
            self.unconfirmed,
            self.taken_back
        );
        Ok(())
    }

    fn of_lines(&self, lines: &[Line]) -> Result<()> {
        let count = |session: &str| lines.iter().filter(|line| line.session == session).count();
        let odd: Vec<_> = self
            .placed
            .iter()
            .filter(|placed| count(&placed.session) != 1)
            .collect();
        ensure!(odd.is_empty(), "each of them has one line: {odd:?}");
        let kept: Vec<i64> = lines
            .iter()
            .filter(|line| !line.is_cancelled)
            .filter(|line| self.returned.contains(&line.id) || self.ended.contains(&line.session))
            .map(|line| line.id)
            .collect();
        ensure!(
            kept.is_empty(),
            "people were told that these lines are cancelled: {kept:?}"
        );
        let lost: Vec<i64> = lines
            .iter()
            .filter(|line| line.is_cancelled_by_somebody)
            .filter(|line| !self.disliked.contains(&line.id) && !self.unwanted.contains(&line.session))
            .map(|line| line.id)
            .collect();
        ensure!(lost.is_empty(), "nobody asked to cancel these lines: {lost:?}");
        Ok(())
    }
}

/// Whoever is asked again answers with the same bytes.
pub(crate) async fn same_answers(world: &World, nodes: &[Nexus; 2]) -> Result<()> {
    let answered = world.tells(|told| std::mem::take(&mut told.answered));
    for (number, (buyer, key, body, bytes)) in answered.into_iter().enumerate() {
        let client = world.buyers[buyer].client.at(nodes[number % 2].url()).keyed(&key);
        let again = client.post(CHECKOUT, body).await?;
        ensure!(
            again.status == 200 && again.bytes == bytes,
            "{key} was answered with {bytes:?}, and now with {} {:?}",
            again.status,
            again.bytes
        );
    }
    Ok(())
}

/// A buyer's lists, and what in them is a line; the others hold orders.
const LINES: [&str; 2] = ["pending-items", "cancelled-items"];
const ORDERS: [&str; 3] = ["pending-orders", "completed-orders", "cancelled-orders"];
/// What a page holds at most.
const PAGE: usize = 100;

/// Each buyer finds in his lists what is his, each of it once, and nothing else; and is not shown what is another one's.
pub(crate) async fn own_lists(world: &World, audit: &Audit, nodes: &[Nexus; 2]) -> Result<()> {
    let mut shown: Vec<BTreeSet<String>> = Vec::new();
    for (number, buyer) in world.buyers.iter().enumerate() {
        let client = buyer.client.at(nodes[number % 2].url());
        let (mut orders, mut lines) = (Vec::new(), Vec::new());
        for list in ORDERS {
            for order in whole(&client, list).await? {
                let id = order["id"].as_str().context("an order has an id")?;
                orders.push(id.to_owned());
                lines.extend(order["items"].as_array().into_iter().flatten().map(id_of));
            }
        }
        for list in LINES {
            lines.extend(whole(&client, list).await?.iter().map(id_of));
        }
        for (what, mut found, column) in [("\"order\"", orders.clone(), "buyer_id"), ("item", lines, "account_id")] {
            let own = format!(
                "SELECT id::text FROM \"order\".{what} WHERE {column} = '{}' ORDER BY 1",
                buyer.id
            );
            let mut own = audit.texts(&own).await?;
            found.sort();
            own.sort();
            ensure!(
                found == own,
                "buyer {number} has {what} {own:?}, and is shown {found:?}"
            );
        }
        shown.push(orders.into_iter().collect());
    }
    let mut refused = 0;
    for (number, buyer) in world.buyers.iter().enumerate() {
        let client = buyer.client.at(nodes[number % 2].url());
        for order in shown[(number + 1) % shown.len()].iter().take(3) {
            let path = format!("/api/v1/order/buyer/orders/{order}");
            let answer = client.get_until_answered(&path, PATIENCE).await?;
            ensure!(
                answer.status == 404,
                "buyer {number} asked for another one's order {order}: {} {}",
                answer.status,
                answer.json
            );
            refused += 1;
        }
    }
    ensure!(refused > 0, "nobody has an order");
    Ok(())
}

fn id_of(line: &Value) -> String {
    line["id"].to_string()
}

/// Every page of one of a buyer's lists.
async fn whole(client: &Client, list: &str) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for number in 1.. {
        let path = format!("/api/v1/order/buyer/{list}?limit={PAGE}&page={number}");
        let page = client.get_until_answered(&path, PATIENCE).await?;
        let rows = page.json["data"]
            .as_array()
            .with_context(|| format!("{path}: {}", page.json))?;
        all.extend_from_slice(rows);
        if rows.len() < PAGE {
            break;
        }
    }
    Ok(all)
}

/// Of each module, what was begun again most often, whoever carried it on: it does the same once more from its journal. Accounts erase theirs.
pub(crate) async fn same_histories(audit: &Audit, node: &Nexus) -> Result<()> {
    let ended = "SELECT id::text FROM (
             SELECT id, component, row_number() OVER (PARTITION BY component ORDER BY attempt DESC, id) AS place
             FROM host_view.invocation WHERE status = 'completed' AND component <> 'account'
         ) AS ended WHERE place <= CASE component WHEN 'order' THEN 16 ELSE 4 END";
    let ended = audit.texts(ended).await?;
    ensure!(!ended.is_empty(), "nothing has ended");
    for id in ended {
        node.run(&["replay", &id]).with_context(|| format!("replay {id}"))?;
    }
    Ok(())
}

/// What only the gateway's books show: each charge is one of our legs, asked for under one key however often; and every report was taken.
pub(crate) async fn gateway_agrees(gateway: &Gateway, audit: &Audit) -> Result<()> {
    let legs: BTreeSet<String> = audit
        .texts("SELECT id::text FROM \"order\".transaction WHERE amount > 0 AND data ? 'provider'")
        .await?
        .into_iter()
        .collect();
    let charges = gateway.charges();
    let unknown: Vec<_> = charges.iter().filter(|charge| !legs.contains(&charge.leg)).collect();
    ensure!(unknown.is_empty(), "charges for no leg of ours: {unknown:?}");
    let odd: Vec<_> = charges.iter().filter(|charge| charge.keys.len() != 1).collect();
    ensure!(
        odd.is_empty(),
        "charges that were asked for under several keys: {odd:?}"
    );
    let undelivered = gateway.undelivered();
    ensure!(undelivered.is_empty(), "reports that nobody took: {undelivered:?}");
    Ok(())
}
