//! What a seller gets for an order: kept until the goods have been with the buyer for a while, then paid once.

use sdk::{
    AccountId, Currency, Money, Timestamp, config, new_id, now,
    sql::{self, Transaction},
    timer,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{cancel, owed::Owed};
use crate::{
    domain::{
        id::{LegId, OrderId, SessionId},
        session::{Kind, Session},
        status::Status,
    },
    error::Error,
    peers::ledger::{self, Movement},
    store::{
        item,
        leg::{self, NewLeg},
        order,
        session::{self, NewSession},
    },
};

/// The timer every order sets on itself; its argument is the order's id.
pub(crate) const TIMER: &str = "pay-out";

/// How long a seller waits after the delivery, unless `escrow_days` says otherwise.
const ESCROW_DAYS: u32 = 7;

const DAY_SECONDS: i64 = 24 * 3600;

/// A payout that is to come.
pub(super) struct NewPayout {
    pub(super) order_id: OrderId,
    pub(super) seller: AccountId,
    pub(super) currency: Currency,
    /// What the buyer pays for the order.
    pub(super) total_amount: i64,
    /// As much of it as the carrier collects.
    pub(super) collect_amount: i64,
    /// What is kept back of it.
    pub(super) netted_fee_amount: i64,
    pub(super) date_created: Timestamp,
    pub(super) date_due: Timestamp,
}

/// Kept with the payout's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Terms {
    collect_amount: i64,
    netted_fee_amount: i64,
}

/// How long the money of an order is kept after its confirmation. Carriers do not report yet: a parcel counts as delivered when the time they
/// quoted is over.
pub(super) fn escrow_seconds(eta_hours: u32) -> Result<i64, Error> {
    if let Some(seconds) = config::parse::<u32>("escrow_seconds")? {
        return Ok(i64::from(seconds));
    }
    let days = config::parse_or("escrow_days", ESCROW_DAYS)?;
    Ok(i64::from(eta_hours) * 3600 + i64::from(days) * DAY_SECONDS)
}

/// Opens the payout of an order under the order's id, in the transaction that makes the order, and starts its clock.
pub(super) fn open(tx: &Transaction, new: &NewPayout) -> Result<(), Error> {
    // A fee above all there is takes that: nobody is paid less than nothing.
    let fee = new.netted_fee_amount.min(new.total_amount);
    let amount = new.total_amount - fee;
    let id = SessionId(new.order_id.0);
    session::insert(
        tx,
        &NewSession {
            id,
            kind: Kind::SellerPayout,
            from_id: None,
            to_id: Some(new.seller),
            currency: new.currency,
            total_amount: amount,
            collect_on_delivery: false,
            data: json!(Terms {
                collect_amount: new.collect_amount,
                netted_fee_amount: fee,
            }),
            date_created: new.date_created,
            date_expired: new.date_due,
        },
    )?;
    if amount > 0 {
        leg::insert(
            tx,
            &NewLeg {
                id: LegId(new_id()),
                session_id: id,
                kind: Kind::SellerPayout,
                payment_option: None,
                data: json!({}),
                amount,
                currency: new.currency,
                date_created: new.date_created,
                date_expired: None,
                date_settled: None,
            },
        )?;
    }
    schedule(new.order_id, new.date_created, new.date_due);
    Ok(())
}

fn schedule(order: OrderId, now: Timestamp, due: Timestamp) {
    timer::schedule(TIMER, &order, (due.as_ms() - now.as_ms()).max(0) as u64);
}

/// What becomes of an order whose time has come.
enum Outcome {
    /// It has its outcome, or its time has not come.
    Nothing,
    /// The seller is paid.
    Pay(Session),
    /// The buyer gets the money back, and the shelf its goods.
    GiveBack(Owed),
}

/// Pays the seller of an order whose time has come, or its buyer back whom the parcel did not reach. The session is `Processing` while the
/// seller's money moves: from then on nothing takes it back, and it is `Success` only when the seller has it. Repeating it changes nothing: the
/// transfer has the order's name.
pub(crate) fn pay(order_id: OrderId) -> Result<(), Error> {
    let id = SessionId(order_id.0);
    let begun = now();
    let outcome = sql::transaction(|tx| {
        let Some(payout) = session::lock(tx, id)?.filter(|session| session.kind == Kind::SellerPayout.as_str()) else {
            return Ok(Outcome::Nothing);
        };
        match payout.status {
            Status::Processing => return Ok(Outcome::Pay(payout)),
            Status::Pending => {}
            Status::Success | Status::Cancelled | Status::Failed => return Ok(Outcome::Nothing),
        }
        if begun < payout.date_expired {
            // Timers go by another clock than this one.
            schedule(order_id, begun, payout.date_expired);
            return Ok(Outcome::Nothing);
        }
        if order::is_undelivered(tx, order_id)? {
            return give_back(tx, order_id, begun).map(Outcome::GiveBack);
        }
        session::advance_payout(tx, id, Status::Processing, begun)?;
        Ok::<_, Error>(Outcome::Pay(payout))
    })?;
    let payout = match outcome {
        Outcome::Nothing => return Ok(()),
        Outcome::GiveBack(owed) => {
            owed.settle();
            return Ok(());
        }
        Outcome::Pay(payout) => payout,
    };
    ledger::post(&movements(order_id, &payout)?);
    let paid = now();
    sql::transaction(|tx| {
        session::lock(tx, id)?;
        session::advance_payout(tx, id, Status::Success, paid)?;
        leg::settle(tx, id, paid)?;
        settle_collected(tx, order_id, paid)
    })
}

/// Cancels the payout of an order that was not delivered, and its lines. The payout is locked.
fn give_back(tx: &Transaction, order_id: OrderId, now: Timestamp) -> Result<Owed, Error> {
    let payout = SessionId(order_id.0);
    session::close(tx, payout, Status::Cancelled)?;
    leg::close(tx, payout, Status::Cancelled, Some("the parcel was not delivered"))?;
    let ids = item::ids_of_order(tx, order_id)?;
    let checkouts = session::lock_of_items(tx, &ids)?;
    let lines = item::lock(tx, &ids)?;
    let left = lines.iter().filter(|line| line.date_cancelled.is_none());
    let owed = cancel::end_lines(tx, &checkouts, left, None, Status::Cancelled, now)?;
    // A checkout whose other lines were collected is complete now.
    settle_collected(tx, order_id, now)?;
    Ok(owed)
}

/// Marks what the carriers have brought all of as paid.
fn settle_collected(tx: &Transaction, order_id: OrderId, now: Timestamp) -> Result<(), Error> {
    for collected in session::settle_collected(tx, order_id, now)? {
        leg::settle(tx, collected, now)?;
    }
    Ok(())
}

/// What moves: what the carrier collected comes in, the fee that is netted from it goes to the platform, the rest to the seller.
fn movements(order_id: OrderId, payout: &Session) -> Result<Vec<(Movement, Money)>, Error> {
    let seller = payout.to_id.ok_or(Error::OrderNotFound)?;
    let terms: Terms = serde_json::from_value(payout.data.clone()).map_err(|error| Error::Peer {
        module: "order",
        reason: format!("the terms of payout {order_id}: {error}"),
    })?;
    let money = |amount| Money::new(amount, payout.currency);
    Ok(vec![
        (Movement::Collect(order_id), money(terms.collect_amount)),
        (Movement::NettedFee(order_id), money(terms.netted_fee_amount)),
        (Movement::Payout(order_id, seller), money(payout.total_amount)),
    ])
}
