//! What the flows of this module undo when they fail, or when an operator cancels them.

use sdk::{Compensation, now, sql};
use serde::{Deserialize, Serialize};

use super::{cancel, collect, expire};
use crate::{
    domain::{
        id::{ItemId, ReservationId, SessionId},
        item::Item,
        session::Kind,
        status::Status,
    },
    error::Error,
    peers::{
        inventory,
        ledger::{self, Movement},
    },
    store::{item, leg, session, wait::Ended},
};

/// A step back. Each is harmless when it is repeated, and when there is nothing to undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Undo {
    /// The stock held for a line of a checkout; an id never held is blocked.
    ReleaseStock(ReservationId),
    /// What the wallet of a checkout's buyer holds for it; an id never held for is blocked. Comes after the session is closed: its rows say
    /// whether it is let go of, or taken.
    ReleasePayment(SessionId),
    /// What the wallet of a confirmation's seller holds for it.
    ReleaseFee(SessionId),
    /// The session of a checkout, with what it took out of the cart.
    CloseCheckout(SessionId),
    /// The lines that a confirmation's session has claimed, and that session.
    ReleaseClaim(SessionId),
}

impl Compensation for Undo {
    type Error = Error;

    fn name(&self) -> &'static str {
        match self {
            Self::ReleaseStock(_) => "release-stock",
            Self::ReleasePayment(_) => "release-payment",
            Self::ReleaseFee(_) => "release-fee",
            Self::CloseCheckout(_) => "close-checkout",
            Self::ReleaseClaim(_) => "release-claim",
        }
    }

    fn run(self) -> Result<(), Error> {
        match self {
            Self::ReleaseStock(reservation) => release_stock(reservation),
            Self::ReleasePayment(session) => release_payment(session),
            Self::ReleaseFee(session) => release_fee(session),
            Self::CloseCheckout(session) => close_checkout(session),
            Self::ReleaseClaim(claim) => release_claim(claim),
        }
    }
}

/// Puts the stock of a line back, unless that line is paid, or a seller has taken it.
fn release_stock(reservation: ReservationId) -> Result<(), Error> {
    if item::is_kept(reservation)? {
        return Ok(());
    }
    inventory::release(reservation)
}

/// Lets go of what a wallet holds for a checkout that is not paid. What it was to pay beside a carrier is taken from the session's commit on, and
/// given back for the lines that came to nothing.
fn release_payment(id: SessionId) -> Result<(), Error> {
    let sessions = session::by_ids(&[id])?;
    match sessions.get(&id) {
        // Also when all that was kept of it has arrived meanwhile: taking it, and giving back a line, happen once.
        Some(session) if session.collect_on_delivery => {
            ledger::capture(Kind::BuyerCheckout, id);
            let Some(payer) = session.from_id else { return Ok(()) };
            let refunds = leg::wallet_refunds(id)?;
            let refunds = refunds
                .into_iter()
                .map(|(item, amount)| (Movement::Refund(item, payer), amount));
            ledger::post(&refunds.collect::<Vec<_>>());
            Ok(())
        }
        // What comes to nothing from now on is given back by whoever cancels it.
        Some(session) if session.status == Status::Success => Ok(()),
        _ => ledger::release(Kind::BuyerCheckout, id),
    }
}

/// Lets go of what a wallet holds for a fee, unless that has paid for an order.
fn release_fee(id: SessionId) -> Result<(), Error> {
    let sessions = session::by_ids(&[id])?;
    match sessions.get(&id) {
        Some(session) if session.status == Status::Success => Ok(()),
        _ => ledger::release(Kind::SellerConfirmationFee, id),
    }
}

/// Cancels the lines no seller has taken, and gives the cart back what was taken from it for them. When that is all of them, the session ends
/// without money. Nothing happens when it was never opened, or is closed already.
fn close_checkout(id: SessionId) -> Result<(), Error> {
    let now = now();
    sql::transaction(|tx| {
        let Some(session) = session::lock(tx, id)?.filter(|session| session.status == Status::Pending) else {
            return Ok(());
        };
        let lines = item::lock_of_session(tx, id)?;
        let open: Vec<&Item> = lines.iter().filter(|line| line.is_open()).collect();
        // Money and stock go back by steps of their own, which come after this one.
        cancel::refund_all(tx, open.iter().copied(), session.payment(), now)?;
        let ids: Vec<ItemId> = open.iter().map(|line| line.id).collect();
        item::cancel(tx, &ids, None, now)?;
        cancel::put_back(tx, id, &open)?;
        if item::remaining(tx, id)?.lines > 0 {
            return cancel::shrink(tx, id, Status::Failed, now);
        }
        session::close(tx, id, Status::Failed)?;
        collect::end(tx, id, Kind::BuyerCheckout, Ended::Unpaid)?;
        Ok::<_, Error>(leg::close(tx, id, "the checkout failed")?)
    })?;
    // Of a flow that an operator ends nobody else does what it still owes, nor looks at what was reported and not yet seen.
    collect::post_paid(id, Kind::BuyerCheckout)?;
    collect::give_back(id)
}

/// Gives the lines back and ends the fee session without money. Nothing happens when nothing was claimed.
fn release_claim(claim: SessionId) -> Result<(), Error> {
    let now = now();
    let confirm_seconds = expire::confirm_seconds()?;
    sql::transaction(|tx| {
        for checkout in session::lock_of_claim(tx, claim)? {
            expire::resume(&checkout, confirm_seconds, now);
        }
        item::unclaim(tx, claim)?;
        if session::close(tx, claim, Status::Failed)? {
            collect::end(tx, claim, Kind::SellerConfirmationFee, Ended::Unpaid)?;
            leg::close(tx, claim, "the confirmation failed")?;
        }
        Ok::<_, Error>(())
    })?;
    collect::post_paid(claim, Kind::SellerConfirmationFee)?;
    collect::give_back(claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_stays_readable() {
        let id = "0190f5e3-0000-7000-8000-000000000001";
        for (undo, argument) in [
            (Undo::ReleaseStock(ReservationId(id.parse().unwrap())), "ReleaseStock"),
            (Undo::CloseCheckout(SessionId(id.parse().unwrap())), "CloseCheckout"),
            (Undo::ReleaseClaim(SessionId(id.parse().unwrap())), "ReleaseClaim"),
            (Undo::ReleasePayment(SessionId(id.parse().unwrap())), "ReleasePayment"),
            (Undo::ReleaseFee(SessionId(id.parse().unwrap())), "ReleaseFee"),
        ] {
            let text = format!("{{\"{argument}\":\"{id}\"}}");
            assert_eq!(serde_json::to_string(&undo).unwrap(), text);
            assert_eq!(serde_json::from_str::<Undo>(&text).unwrap(), undo);
        }
    }
}
