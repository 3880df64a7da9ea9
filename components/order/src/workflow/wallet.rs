//! What is paid from a wallet: first, and all of its share or nothing.
//!
//! It is held before the session is opened, so a session never waits for its wallet, and captured once the session's rows say that its leg
//! is settled. A session that comes to nothing lets go of it: it was never paid, so nothing is given back.

use sdk::{AccountId, Money, Timestamp, new_id, sql::Transaction};
use serde_json::json;

use super::undo::Undo;
use crate::{
    domain::{
        id::{LegId, SessionId},
        session::Kind,
    },
    error::Error,
    peers::ledger,
    store::leg::{self, NewLeg},
};

/// What a wallet pays for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    leg_id: LegId,
    /// Above 0.
    pub(super) amount: Money,
}

/// As much of what is due as the wallet of its payer can pay, if it may be used.
pub(super) fn share(may_use: bool, payer: AccountId, due: Money) -> Result<Option<Share>, Error> {
    if !may_use || due.amount_minor == 0 {
        return Ok(None);
    }
    let balance = ledger::balance(payer)?;
    if balance.currency != due.currency || balance.amount_minor == 0 {
        return Ok(None);
    }
    Ok(Some(Share {
        leg_id: LegId(new_id()),
        amount: Money::new(balance.amount_minor.min(due.amount_minor), due.currency),
    }))
}

/// What is left to be paid in another way.
pub(super) fn rest(due: Money, share: Option<&Share>) -> Money {
    let paid = share.map_or(0, |share| share.amount.amount_minor);
    Money::new(due.amount_minor - paid, due.currency)
}

/// What is paid in all, with the wallet's share.
pub(super) fn with(rest: Money, share: Option<&Share>) -> Money {
    let paid = share.map_or(0, |share| share.amount.amount_minor);
    Money::new(rest.amount_minor + paid, rest.currency)
}

impl Share {
    /// Has the wallet hold it, which may be able to pay less by now: then nothing is held.
    pub(super) fn hold(
        &self,
        kind: Kind,
        session: SessionId,
        payer: AccountId,
        undo: &mut sdk::Undo<'_, Undo>,
    ) -> Result<(), Error> {
        undo.push(match kind {
            Kind::SellerConfirmationFee => Undo::ReleaseFee(session),
            Kind::BuyerCheckout | Kind::SellerPayout => Undo::ReleasePayment(session),
        });
        ledger::hold(kind, session, payer, self.amount)
    }

    /// Its leg, in the transaction that opens the session: pending while something else has to happen first, or settled, and to be captured.
    pub(super) fn insert(
        &self,
        tx: &Transaction,
        kind: Kind,
        session: SessionId,
        now: Timestamp,
        is_settled: bool,
    ) -> Result<(), Error> {
        leg::insert(
            tx,
            &NewLeg {
                id: self.leg_id,
                session_id: session,
                kind,
                payment_option: None,
                data: json!({}),
                amount: self.amount.amount_minor,
                currency: self.amount.currency,
                date_created: now,
                date_expired: None,
                date_settled: is_settled.then_some(now),
            },
        )?;
        Ok(())
    }
}
