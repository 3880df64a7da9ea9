//! What the flows of this module undo when they fail, or when an operator cancels them.

use sdk::{Compensation, now, sql, timer};
use serde::{Deserialize, Serialize};

use super::expire;
use crate::{
    domain::{
        cart::MAX_QUANTITY,
        id::{ItemId, ReservationId, SessionId},
        refusal::Refusal,
        session::Kind,
        status::Status,
    },
    error::Error,
    peers::inventory,
    store::{
        cart, item, leg, session,
        wait::{self, Ended},
    },
};

/// From this close to a checkout's deadline on its timer may have come while the lines were claimed.
const DEADLINE_MARGIN_MS: i64 = 60_000;

/// A step back. Each is harmless when it is repeated, and when there is nothing to undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Undo {
    /// The stock held for a line of a checkout; an id never held is blocked.
    ReleaseStock(ReservationId),
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
            Self::CloseCheckout(_) => "close-checkout",
            Self::ReleaseClaim(_) => "release-claim",
        }
    }

    fn run(self) -> Result<(), Error> {
        match self {
            Self::ReleaseStock(reservation) => release_stock(reservation),
            Self::CloseCheckout(session) => close_checkout(session),
            Self::ReleaseClaim(claim) => release_claim(claim),
        }
    }
}

/// Puts the stock of a line back, unless a seller has taken it: that line is an order's by now.
fn release_stock(reservation: ReservationId) -> Result<(), Error> {
    if item::is_taken(reservation)? {
        return Ok(());
    }
    inventory::release(reservation)
}

/// Cancels the lines no seller has taken. When that is all of them, the session ends without money and gives the cart back what was
/// taken from it. Nothing happens when it was never opened, or is closed already.
fn close_checkout(id: SessionId) -> Result<(), Error> {
    let now = now();
    sql::transaction(|tx| {
        let session = session::lock(tx, id)?;
        if session.is_none_or(|session| session.status != Status::Pending) {
            return Ok(());
        }
        let lines = item::lock_of_session(tx, id)?;
        let open: Vec<ItemId> = lines.iter().filter(|line| line.is_open()).map(|line| line.id).collect();
        // Their stock goes back by a step of its own, which comes after this one.
        item::cancel(tx, &open, None, now)?;
        if item::remaining(tx, id)?.0 > 0 {
            return super::cancel::shrink(tx, id, Status::Failed);
        }
        session::close(tx, id, Status::Failed)?;
        leg::close(tx, id, Status::Failed, Some("the checkout failed"))?;
        wait::end(tx, id, Ended::Unpaid, Refusal::from(&Kind::BuyerCheckout.cancelled()))?;
        cart::put_back(tx, id, MAX_QUANTITY)?;
        Ok(())
    })
}

/// Gives the lines back and ends the fee session without money. Nothing happens when nothing was claimed.
fn release_claim(claim: SessionId) -> Result<(), Error> {
    let now = now();
    sql::transaction(|tx| {
        for (checkout, date_expired) in session::expiries_of_claim(tx, claim)? {
            let left_ms = date_expired.as_ms() - now.as_ms();
            if left_ms < DEADLINE_MARGIN_MS {
                timer::schedule(expire::TIMER, &checkout, left_ms.max(0) as u64);
            }
        }
        item::unclaim(tx, claim)?;
        if session::close(tx, claim, Status::Failed)? {
            leg::close(tx, claim, Status::Failed, Some("the confirmation failed"))?;
            wait::end(
                tx,
                claim,
                Ended::Unpaid,
                Refusal::from(&Kind::SellerConfirmationFee.cancelled()),
            )?;
        }
        Ok(())
    })
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
    }
}
