//! What a seller gets for an order: kept until the goods have been with the buyer for a while, then paid once. Where the goods are, their carrier
//! reports (`parcel.rs`), or a person says.

use sdk::{
    AccountId, Currency, Money, Timestamp, config, log, new_id, now,
    sql::{self, Transaction},
    timer,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    cancel,
    owed::{FeeBack, Owed},
};
use crate::{
    domain::{
        id::{LegId, OrderId, SessionId},
        parcel::Periods,
        session::{Kind, Session},
        status::Status,
    },
    error::Error,
    peers::{
        flows::{self, Word},
        ledger::{self, Movement},
    },
    store::{
        item,
        leg::{self, NewLeg},
        session::{self, NewSession},
        transport,
    },
};

/// The timer every order sets on itself; its argument is the order's id.
pub(crate) const TIMER: &str = "pay-out";

/// How long a seller waits after the delivery, unless `escrow_days` says otherwise.
const ESCROW_DAYS: u32 = 7;

/// How long a carrier may say nothing of how a delivery ended, unless `delivery_days` says otherwise.
const DELIVERY_DAYS: u32 = 30;

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
    /// What is kept back of it; not more than there is.
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

/// How long the money of an order is kept, as it is configured.
pub(super) fn periods() -> Result<Periods, Error> {
    let seconds = |days: u32| i64::from(days) * DAY_SECONDS;
    let escrow_seconds = match config::parse::<u32>("escrow_seconds")? {
        Some(given) => i64::from(given),
        None => seconds(config::parse_or("escrow_days", ESCROW_DAYS)?),
    };
    Ok(Periods {
        escrow_seconds,
        delivery_seconds: seconds(config::parse_or("delivery_days", DELIVERY_DAYS)?),
    })
}

/// Opens the payout of an order under the order's id, in the transaction that makes the order, and starts its clock.
pub(super) fn open(tx: &Transaction, new: &NewPayout) -> Result<(), Error> {
    let amount = new.total_amount - new.netted_fee_amount;
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
                netted_fee_amount: new.netted_fee_amount,
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

/// Keeps the money of an order until then instead. The payout is locked, and open.
pub(super) fn set_due(tx: &Transaction, order: OrderId, now: Timestamp, due: Timestamp) -> Result<(), Error> {
    session::set_due(tx, SessionId(order.0), due)?;
    schedule(order, now, due);
    Ok(())
}

/// Locks the payout of an order, if there is such an order.
pub(super) fn lock(tx: &Transaction, order: OrderId) -> Result<Option<Session>, Error> {
    let session = session::lock(tx, SessionId(order.0))?;
    Ok(session.filter(|session| session.kind == Kind::SellerPayout.as_str()))
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
    /// The buyer gets the money back, the shelf its goods, and the seller what the platform had taken.
    GiveBack(Vec<Owed>),
    /// Nobody knows where the parcel is: a person is asked.
    Ask,
}

/// Pays the seller of an order whose time has come, or its buyer back whom the parcel did not reach; has a person asked where nothing is known of
/// that. The session is `Processing` while the seller's money moves: from then on nothing takes it back, and it is `Success` only when the
/// seller has it. Repeating it changes nothing: the transfer has the order's name.
pub(crate) fn pay(order_id: OrderId) -> Result<(), Error> {
    let id = SessionId(order_id.0);
    let begun = now();
    let outcome = sql::transaction(|tx| {
        let Some(payout) = lock(tx, order_id)? else {
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
        match transport::of_order(tx, order_id)?.status {
            Status::Success => {
                session::advance_payout(tx, id, Status::Processing, begun)?;
                Ok::<_, Error>(Outcome::Pay(payout))
            }
            Status::Failed | Status::Cancelled => give_back(tx, order_id, begun).map(Outcome::GiveBack),
            Status::Pending | Status::Processing => {
                flows::start_missing(order_id);
                Ok(Outcome::Ask)
            }
        }
    })?;
    let payout = match outcome {
        Outcome::Nothing => return Ok(()),
        Outcome::GiveBack(owed) => {
            owed.iter().for_each(Owed::settle);
            return Ok(());
        }
        Outcome::Ask => {
            log::warn(
                "nothing is known of how a delivery ended: its order's money waits for a person's word",
                &[("order", &order_id)],
            );
            return Ok(());
        }
        Outcome::Pay(payout) => payout,
    };
    ledger::post(&movements(order_id, &payout)?);
    let paid = now();
    sql::transaction(|tx| {
        session::lock(tx, id)?;
        session::advance_payout(tx, id, Status::Success, paid)?;
        Ok(leg::settle(tx, id, paid)?)
    })
}

/// Cancels the payout of an order that was not delivered, and its lines. The payout is locked.
fn give_back(tx: &Transaction, order_id: OrderId, now: Timestamp) -> Result<Vec<Owed>, Error> {
    let payout = SessionId(order_id.0);
    // Should a person have been asked where the parcel is.
    flows::word(order_id).complete(&Word::Reported);
    session::close(tx, payout, Status::Cancelled)?;
    leg::close(tx, payout, "the parcel was not delivered")?;
    leg::reverse_netted(tx, LegId(new_id()), order_id, now)?;
    let ids = item::ids_of_order(tx, order_id)?;
    let checkouts = session::lock_of_items(tx, &ids)?;
    let lines = item::lock(tx, &ids)?;
    let left = lines.iter().filter(|line| line.date_cancelled.is_none());
    let mut owed = vec![cancel::end_lines(tx, &checkouts, left, None, Status::Cancelled, now)?];
    // The carriage was made, and stays paid.
    let fee = session::fee_of_order(tx, order_id)?;
    let amount = Money::new(fee.platform_amount_paid(), fee.currency);
    if let Some(seller) = fee.from_id.filter(|_| amount.amount_minor > 0) {
        let fee_back = FeeBack {
            order: order_id,
            seller,
            amount,
        };
        owed.push(Owed::fee_back(tx, fee_back));
    }
    Ok(owed)
}

/// What a carrier has collected for an order that it delivered.
pub(super) fn collected(order_id: OrderId, payout: &Session) -> Result<(Movement, Money), Error> {
    Ok((Movement::Collect(order_id), to_collect(order_id, payout)?))
}

/// What a carrier has to collect for an order.
pub(super) fn to_collect(order_id: OrderId, payout: &Session) -> Result<Money, Error> {
    let terms = terms(order_id, payout)?;
    Ok(Money::new(terms.collect_amount, payout.currency))
}

/// What moves: the fee that is netted from what the carrier collected goes to the platform, the rest to the seller. What was collected comes in first,
/// unless it has with the delivery.
fn movements(order_id: OrderId, payout: &Session) -> Result<Vec<(Movement, Money)>, Error> {
    let seller = payout.to_id.ok_or(Error::OrderNotFound)?;
    let terms = terms(order_id, payout)?;
    let money = |amount| Money::new(amount, payout.currency);
    Ok(vec![
        collected(order_id, payout)?,
        (Movement::NettedFee(order_id), money(terms.netted_fee_amount)),
        (Movement::Payout(order_id, seller), money(payout.total_amount)),
    ])
}

fn terms(order_id: OrderId, payout: &Session) -> Result<Terms, Error> {
    serde_json::from_value(payout.data.clone()).map_err(|error| Error::Peer {
        module: "order",
        reason: format!("the terms of payout {order_id}: {error}"),
    })
}
