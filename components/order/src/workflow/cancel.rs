//! Lines that come to nothing before a seller confirms them: cancelled by the buyer, or rejected by the seller.
//!
//! Marking comes first; giving back the money and the stock follows it, so that neither happens twice.

use std::{collections::BTreeSet, time::Duration};

use sdk::{
    AccountId, Money, Promise, Timestamp, new_id, now,
    promise::WaitError,
    sql::{self, Transaction},
};

use crate::{
    domain::{
        cancellation::{self, Extent},
        id::{ItemId, LegId, ReservationId, SessionId},
        item::Item,
        payment::Wishes,
        session::{Kind, Payment},
        status::Status,
    },
    error::Error,
    peers::{
        inventory,
        ledger::{self, Movement},
    },
    store::{
        item, leg, session,
        wait::{self, Ended},
    },
};

/// How long a request waits for a flow to end its session.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a cancellation goes on.
enum Cancelled {
    /// It is done, but for what is owed.
    Now(Owed),
    /// The flow of the session was asked; it tells when it has decided.
    Asked(Promise<Ended>),
}

/// A buyer cancels one line. When its checkout is still to be paid in one piece, all of it ends.
pub(crate) fn cancel_item(buyer: AccountId, id: ItemId) -> Result<(), Error> {
    let now = now();
    let cancelled = sql::transaction(|tx| {
        let session_id = item::session_of(tx, id, buyer)?.ok_or(Error::ItemNotFound)?;
        let session = session::lock(tx, session_id)?.ok_or(Error::ItemNotFound)?;
        let items = item::lock_of_session(tx, session_id)?;
        let item = items.iter().find(|item| item.id == id).ok_or(Error::ItemNotFound)?;
        let extent = cancellation::by_buyer(item, &session)?;
        if let Some(ended) = ask(tx, session_id)? {
            return Ok(Cancelled::Asked(ended));
        }
        let ids = match extent {
            Extent::Item => vec![id],
            Extent::Checkout => cancellation::of_checkout(&items)?,
        };
        let refunds = match session.payment() {
            Payment::Settled => refund(tx, &[item], now)?,
            Payment::OnDelivery | Payment::Awaited | Payment::Over => Vec::new(),
        };
        let released = item::cancel(tx, &ids, Some(buyer), now)?;
        shrink(tx, session_id, Status::Cancelled)?;
        Ok::<_, Error>(Cancelled::Now(Owed { refunds, released }))
    })?;
    // Money that came meanwhile has decided.
    finish(cancelled, Error::PaymentSettled)
}

/// A buyer cancels all of a checkout that no seller has taken yet.
pub(crate) fn cancel_checkout(buyer: AccountId, id: SessionId) -> Result<(), Error> {
    let now = now();
    let cancelled = sql::transaction(|tx| {
        let session = session::lock_of_payer(tx, id, Kind::BuyerCheckout, buyer)?;
        if session.ok_or(Error::EntityNotFound("checkout"))?.status != Status::Pending {
            return Err(Error::SessionClosed);
        }
        if let Some(ended) = ask(tx, id)? {
            return Ok(Cancelled::Asked(ended));
        }
        let ids = cancellation::of_checkout(&item::lock_of_session(tx, id)?)?;
        let released = item::cancel(tx, &ids, Some(buyer), now)?;
        shrink(tx, id, Status::Cancelled)?;
        Ok(Cancelled::Now(Owed {
            refunds: Vec::new(),
            released,
        }))
    })?;
    finish(cancelled, Error::SessionClosed)
}

/// A seller cancels a confirmation whose fee is still to be paid.
pub(crate) fn cancel_confirm(seller: AccountId, id: SessionId) -> Result<(), Error> {
    let cancelled = sql::transaction(|tx| {
        let session = session::lock_of_payer(tx, id, Kind::SellerConfirmationFee, seller)?;
        if session.ok_or(Error::EntityNotFound("confirmation"))?.status != Status::Pending {
            return Err(Error::SessionClosed);
        }
        // One that nobody pays elsewhere is about to be done.
        let ended = ask(tx, id)?.ok_or(Error::PaymentInProgress)?;
        Ok(Cancelled::Asked(ended))
    })?;
    finish(cancelled, Error::SessionClosed)
}

/// Asks the flow that waits for the payment of a session to end it, if there is one. The session is locked.
fn ask(tx: &Transaction, id: SessionId) -> Result<Option<Promise<Ended>>, Error> {
    let Some(wait) = wait::get(tx, id)? else {
        return Ok(None);
    };
    let wishes = Wishes {
        cancel: true,
        ..wait.wishes
    };
    wait::set_wishes(tx, id, wishes)?;
    wait.bell.complete(&());
    Ok(Some(wait.ended))
}

fn finish(cancelled: Cancelled, when_paid: Error) -> Result<(), Error> {
    match cancelled {
        Cancelled::Now(owed) => {
            owed.settle();
            Ok(())
        }
        Cancelled::Asked(ended) => match ended.wait(Some(PATIENCE)) {
            Ok(Ended::Unpaid) => Ok(()),
            Ok(Ended::Paid) => Err(when_paid),
            // The wish is noted, and is granted as soon as the provider has said that there is no money.
            Err(WaitError::TimedOut | WaitError::NotFound) => Err(Error::PaymentInProgress),
        },
    }
}

/// What is to follow a transaction that has cancelled lines. It is owed: a failure is tried again until it is done.
struct Owed {
    refunds: Vec<(Movement, Money)>,
    released: Vec<ReservationId>,
}

impl Owed {
    fn settle(&self) {
        ledger::post(&self.refunds);
        inventory::release_all(&self.released);
    }
}

/// Notes that lines which are paid are given back: a leg for each, that reverses the one it was paid with. Returns what is to move.
fn refund(tx: &Transaction, items: &[&Item], now: Timestamp) -> Result<Vec<(Movement, Money)>, Error> {
    let mut refunds = Vec::with_capacity(items.len());
    for item in items.iter().filter(|item| item.total_amount > 0) {
        leg::insert_refund(tx, LegId(new_id()), item, now)?;
        let amount = Money::new(item.total_amount, item.currency);
        refunds.push((Movement::Refund(item.id, item.account_id), amount));
    }
    Ok(refunds)
}

/// A seller rejects lines, all or none.
pub(crate) fn reject(seller: AccountId, ids: &[ItemId]) -> Result<(), Error> {
    let now = now();
    let owed = sql::transaction(|tx| {
        let sessions = session::lock_of_items(tx, ids)?;
        let items = item::lock(tx, ids)?;
        cancellation::by_seller(ids, &items, &sessions, seller)?;
        let paid: Vec<&Item> = items
            .iter()
            .filter(|item| {
                let session = sessions.get(&item.payment_session_id);
                session.is_some_and(|session| session.payment() == Payment::Settled)
            })
            .collect();
        let refunds = refund(tx, &paid, now)?;
        let released = item::cancel(tx, ids, Some(seller), now)?;
        let touched: BTreeSet<SessionId> = items.iter().map(|item| item.payment_session_id).collect();
        for session in touched {
            shrink(tx, session, Status::Cancelled)?;
        }
        Ok::<_, Error>(Owed { refunds, released })
    })?;
    owed.settle();
    Ok(())
}

/// Makes an open session ask for what is left of it; with nothing left it ends with this status. The session is locked.
pub(super) fn shrink(tx: &Transaction, id: SessionId, when_empty: Status) -> Result<(), Error> {
    let (lines, total) = item::remaining(tx, id)?;
    if lines == 0 {
        session::close(tx, id, when_empty)?;
        leg::close(tx, id, when_empty, None)?;
    } else {
        session::set_total(tx, id, total)?;
        leg::set_pending_amount(tx, id, total)?;
    }
    Ok(())
}
