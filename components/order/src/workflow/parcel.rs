//! Where parcels are: what their carriers report, each report noted before it is acknowledged and acted on once, and what a person says where a
//! carrier is silent.

use sdk::{
    Timestamp, log, now,
    promise::WaitError,
    sql::{self, Transaction},
};
use serde_json::{Value, json};

use super::{
    notify::{self, Failure},
    payout,
};
use crate::{
    domain::{
        id::{OrderId, SessionId},
        parcel::{Parcel, Periods, Report},
        session::Session,
        status::Status,
    },
    error::Error,
    peers::{
        carriers,
        flows::{self, Word},
        ledger,
        webhook::{NoEvent, Received},
    },
    store::{event::Noted, leg, session, transport},
};

/// Takes a report that was received for a carrier of this name.
pub(crate) fn receive(carrier: &str, received: Received) -> Result<(), Failure> {
    let at = received.at;
    let provider = carriers::tracker(carrier).ok_or(Failure::Rejected(NoEvent::NotFound))?;
    let report = carriers::read(&provider, received).map_err(Failure::Rejected)?;
    let order = report.order_id;
    let periods = payout::periods().map_err(Failure::Failed)?;
    let delivered = sql::transaction(|tx| {
        let unknown = || Failure::Rejected(NoEvent::NotFound);
        let payout = payout::lock(tx, order).map_err(Failure::Failed)?.ok_or_else(unknown)?;
        let parcel = transport::of_order(tx, order)?;
        // A carrier speaks of its own parcels alone.
        if parcel.provider != provider {
            return Err(unknown());
        }
        match transport::insert_event(tx, &parcel, &report, at)? {
            Noted::Now => {}
            Noted::Before => return Ok(None),
            Noted::NotAsBefore => return Err(notify::reused(&provider, &report.id)),
        }
        let happened = parcel.happened(report.occurred, at);
        if !parcel.advances(report.status, happened) {
            if parcel.contradicts(report.status, happened) {
                log::warn(
                    "a carrier says something else of a parcel that has come to its end: a person has to look",
                    &[("order", &order), ("status", &report.status.as_str())],
                );
            }
            return Ok(None);
        }
        if payout.status != Status::Pending {
            log::warn(
                "a parcel is reported whose order is settled: a person has to look",
                &[("order", &order), ("status", &report.status.as_str())],
            );
            return Ok(None);
        }
        let step = Step {
            order,
            status: report.status,
            since: happened,
            data: told(&report),
        };
        step.take(tx, payout, &parcel, periods, at).map_err(Failure::Failed)
    })?;
    book(order, delivered).map_err(Failure::Failed)
}

/// Waits for a person's word of the parcel of an order, or for its carrier's report after all.
pub(crate) fn ask(order: OrderId) -> Result<(), Error> {
    let status = match flows::word(order).wait(None) {
        Ok(Word::Delivered) => Status::Success,
        Ok(Word::NotDelivered) => Status::Cancelled,
        Ok(Word::Reported) | Err(WaitError::TimedOut | WaitError::NotFound) => return Ok(()),
    };
    let periods = payout::periods()?;
    let now = now();
    let delivered = sql::transaction(|tx| {
        let payout = payout::lock(tx, order)?.filter(|payout| payout.status == Status::Pending);
        let parcel = transport::of_order(tx, order)?;
        let Some(payout) = payout.filter(|_| parcel.advances(status, now)) else {
            return Ok(None);
        };
        let step = Step {
            order,
            status,
            since: now,
            data: json!({ "carrier_status": "told by a person" }),
        };
        step.take(tx, payout, &parcel, periods, now)
    })?;
    book(order, delivered)
}

/// What becomes of a parcel.
struct Step {
    order: OrderId,
    status: Status,
    since: Timestamp,
    data: Value,
}

impl Step {
    /// Moves the parcel, and its order's money with it. The payout is locked, and open; it is returned when the parcel was delivered.
    fn take(
        &self,
        tx: &Transaction,
        payout: Session,
        parcel: &Parcel,
        periods: Periods,
        now: Timestamp,
    ) -> Result<Option<Session>, Error> {
        transport::advance(tx, parcel.id, self.status, self.since, &self.data)?;
        let due = periods.due(parcel.date_created, self.status, self.since);
        payout::set_due(tx, self.order, now, due)?;
        if matches!(self.status, Status::Success | Status::Cancelled) {
            // Should a person have been asked.
            flows::word(self.order).complete(&Word::Reported);
        }
        if self.status != Status::Success {
            return Ok(None);
        }
        // Locked first: of two parcels of a checkout that arrive at once, the later one sees the other.
        for checkout in session::lock_collected(tx, self.order)? {
            settle(tx, checkout, now)?;
        }
        Ok(Some(payout))
    }
}

/// Marks a checkout as paid whose carriers have collected all that is left of it. It is locked.
pub(super) fn settle(tx: &Transaction, checkout: SessionId, now: Timestamp) -> Result<(), Error> {
    if session::settle_collected(tx, checkout, now)? {
        leg::settle(tx, checkout, now)?;
    }
    Ok(())
}

/// What was collected with a delivery is in the shop's books from then on. It comes there with the payout at the latest.
fn book(order: OrderId, delivered: Option<Session>) -> Result<(), Error> {
    if let Some(payout) = delivered {
        ledger::post(&[payout::collected(order, &payout)?]);
    }
    Ok(())
}

/// What clients read of a report.
fn told(report: &Report) -> Value {
    let mut told = json!({ "carrier_status": report.carrier_status });
    if let Some(reason) = &report.reason {
        told["reason"] = json!(reason);
    }
    told
}
