//! Lines that come to nothing before a seller confirms them: cancelled by the buyer, or rejected by the seller.
//!
//! Marking comes first; giving back the money and the stock follows it, so that neither happens twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sdk::{
    AccountId, Money, Promise, Timestamp, new_id, now,
    promise::WaitError,
    sql::{self, Transaction},
};

use super::{
    owed::{Owed, Refund},
    parcel,
};
use crate::{
    domain::{
        cancellation::{self, Extent},
        id::{ItemId, LegId, SessionId, SkuId},
        item::Item,
        payment::Wishes,
        session::{Kind, Payment, Session},
        status::Status,
    },
    error::Error,
    store::{
        cart, item,
        leg::{self, Rail},
        session,
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
        let owed = match extent {
            Extent::Item => {
                let sessions = BTreeMap::from([(session_id, session)]);
                end_lines(tx, &sessions, [item], Some(buyer), Status::Failed, now)?
            }
            Extent::Checkout => {
                let open = cancellation::of_checkout(&items)?;
                end_checkout(tx, session, &open, Some(buyer), Status::Failed, now)?
            }
        };
        Ok::<_, Error>(Cancelled::Now(owed))
    })?;
    // Money that came meanwhile has decided.
    finish(cancelled, Error::PaymentSettled)
}

/// A buyer cancels all of a checkout that no seller has taken yet.
pub(crate) fn cancel_checkout(buyer: AccountId, id: SessionId) -> Result<(), Error> {
    let now = now();
    let cancelled = sql::transaction(|tx| {
        let session = session::lock_of_payer(tx, id, Kind::BuyerCheckout, buyer)?;
        let session = session.ok_or(Error::EntityNotFound("checkout"))?;
        if session.status != Status::Pending {
            return Err(Error::SessionClosed);
        }
        if let Some(ended) = ask(tx, id)? {
            return Ok(Cancelled::Asked(ended));
        }
        let items = item::lock_of_session(tx, id)?;
        let open = cancellation::of_checkout(&items)?;
        let owed = end_checkout(tx, session, &open, Some(buyer), Status::Failed, now)?;
        Ok(Cancelled::Now(owed))
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

/// Notes that what was paid for a line is given back: a leg for each that it was paid with. Returns what is to move, if anything is. Its
/// session, which is in this state, is locked.
pub(super) fn refund(tx: &Transaction, item: &Item, payment: Payment, now: Timestamp) -> Result<Option<Refund>, Error> {
    let paid = item.paid(payment);
    let mut amount = 0;
    for (rail, paid) in [(Rail::Wallet, paid.from_wallet), (Rail::Elsewhere, paid.elsewhere)] {
        if paid > 0 {
            leg::insert_refund(tx, LegId(new_id()), item, rail, paid, now)?;
            amount += paid;
        }
    }
    Ok((amount > 0).then(|| Refund {
        item: item.id,
        buyer: item.account_id,
        amount: Money::new(amount, item.currency),
    }))
}

/// The same of several lines of one session.
pub(super) fn refund_all<'i>(
    tx: &Transaction,
    items: impl IntoIterator<Item = &'i Item>,
    payment: Payment,
    now: Timestamp,
) -> Result<Vec<Refund>, Error> {
    let mut refunds = Vec::new();
    for item in items {
        refunds.extend(refund(tx, item, payment, now)?);
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
        end_lines(tx, &sessions, &items, Some(seller), Status::Cancelled, now)
    })?;
    owed.settle();
    Ok(())
}

/// Lines come to nothing: what was paid for them is given back, and their checkouts ask for what is left; with nothing left one ends with this
/// status. By none is by the system. The lines are not cancelled yet; they are locked, and so are their checkouts, which these are.
pub(super) fn end_lines<'i>(
    tx: &Transaction,
    checkouts: &BTreeMap<SessionId, Session>,
    lines: impl IntoIterator<Item = &'i Item>,
    by: Option<AccountId>,
    when_empty: Status,
    now: Timestamp,
) -> Result<Owed, Error> {
    let (mut ids, mut refunds, mut touched) = (Vec::new(), Vec::new(), BTreeSet::new());
    for line in lines {
        let checkout = checkouts.get(&line.payment_session_id).ok_or(Error::ItemNotFound)?;
        refunds.extend(refund(tx, line, checkout.payment(), now)?);
        ids.push(line.id);
        touched.insert(checkout.id);
    }
    let released = item::cancel(tx, &ids, by, now)?;
    for checkout in touched {
        shrink(tx, checkout, when_empty, now)?;
    }
    Ok(Owed::from_commit(tx, refunds, released))
}

/// A checkout comes to nothing but for what sellers have taken of it: its open lines end, and the cart gets back what was taken from it for them.
pub(super) fn end_checkout(
    tx: &Transaction,
    checkout: Session,
    open: &[&Item],
    by: Option<AccountId>,
    when_empty: Status,
    now: Timestamp,
) -> Result<Owed, Error> {
    let id = checkout.id;
    let checkouts = BTreeMap::from([(id, checkout)]);
    let owed = end_lines(tx, &checkouts, open.iter().copied(), by, when_empty, now)?;
    put_back(tx, id, open)?;
    Ok(owed)
}

/// Gives the cart back what a checkout took from it for these lines.
pub(super) fn put_back(tx: &Transaction, checkout: SessionId, lines: &[&Item]) -> Result<(), Error> {
    let skus: Vec<SkuId> = lines.iter().map(|line| line.sku_id).collect();
    Ok(cart::put_back(tx, checkout, &skus)?)
}

/// Makes an open session ask for what is left of it; with nothing left it ends with this status, and with nothing left to collect it is paid. The
/// session is locked.
pub(super) fn shrink(tx: &Transaction, id: SessionId, when_empty: Status, now: Timestamp) -> Result<(), Error> {
    let left = item::remaining(tx, id)?;
    if left.lines == 0 {
        session::close(tx, id, when_empty)?;
        leg::close(tx, id, leg::NOTHING_LEFT)?;
    } else {
        session::set_total(tx, id, left.total_amount)?;
        leg::set_pending_amount(tx, id, left.due_amount)?;
        parcel::settle(tx, id, now)?;
    }
    Ok(())
}
