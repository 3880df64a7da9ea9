//! What the flows of this module undo when they fail, or when an operator cancels them.

use sdk::{Compensation, new_id, now, sql};
use serde::{Deserialize, Serialize};

use super::{cancel, collect, expire};
use crate::{
    domain::{
        id::{ItemId, LegId, ReservationId, SessionId},
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
    /// What a checkout has taken out of its buyer's wallet, under the leg of that id. Comes after the session is closed: its rows say what
    /// is left to be given back.
    ReturnPayment(SessionId, LegId),
    /// What a confirmation has taken out of its seller's wallet, under the leg of that id.
    ReturnFee(SessionId, LegId),
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
            Self::ReturnPayment(..) => "return-payment",
            Self::ReturnFee(..) => "return-fee",
            Self::CloseCheckout(_) => "close-checkout",
            Self::ReleaseClaim(_) => "release-claim",
        }
    }

    fn run(self) -> Result<(), Error> {
        match self {
            Self::ReleaseStock(reservation) => release_stock(reservation),
            Self::ReturnPayment(session, leg) => return_payment(session, leg),
            Self::ReturnFee(session, leg) => return_fee(session, leg),
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

/// Gives back what a wallet paid: all of it when the session was never opened, otherwise what was paid for the lines that came to nothing.
fn return_payment(id: SessionId, leg: LegId) -> Result<(), Error> {
    let sessions = session::by_ids(&[id])?;
    match sessions.get(&id).map(|session| (session.status, session.from_id)) {
        None => ledger::revert(Kind::BuyerCheckout, id, leg),
        // What comes to nothing from now on is given back by whoever cancels it.
        Some((Status::Success, _) | (_, None)) => Ok(()),
        Some((_, Some(payer))) => {
            let refunds = leg::wallet_refunds(id)?;
            let refunds = refunds
                .into_iter()
                .map(|(item, amount)| (Movement::Refund(item, payer), amount));
            ledger::post(&refunds.collect::<Vec<_>>());
            Ok(())
        }
    }
}

/// Gives the fee back, unless it has paid for an order.
fn return_fee(id: SessionId, leg: LegId) -> Result<(), Error> {
    let sessions = session::by_ids(&[id])?;
    match sessions.get(&id) {
        Some(session) if session.status == Status::Success => Ok(()),
        _ => ledger::revert(Kind::SellerConfirmationFee, id, leg),
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
        leg::close(tx, id, "the checkout failed")?;
        collect::end(tx, id, Kind::BuyerCheckout, Ended::Unpaid)
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
            leg::close(tx, claim, "the confirmation failed")?;
            leg::reverse_wallet(tx, LegId(new_id()), claim, now)?;
            collect::end(tx, claim, Kind::SellerConfirmationFee, Ended::Unpaid)?;
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
        ] {
            let text = format!("{{\"{argument}\":\"{id}\"}}");
            assert_eq!(serde_json::to_string(&undo).unwrap(), text);
            assert_eq!(serde_json::from_str::<Undo>(&text).unwrap(), undo);
        }
        let (session, leg) = (SessionId(id.parse().unwrap()), LegId(id.parse().unwrap()));
        for (undo, argument) in [
            (Undo::ReturnPayment(session, leg), "ReturnPayment"),
            (Undo::ReturnFee(session, leg), "ReturnFee"),
        ] {
            let text = format!("{{\"{argument}\":[\"{id}\",\"{id}\"]}}");
            assert_eq!(serde_json::to_string(&undo).unwrap(), text);
            assert_eq!(serde_json::from_str::<Undo>(&text).unwrap(), undo);
        }
    }
}
