//! Lines that come to nothing before a seller confirms them: cancelled by the buyer, or rejected by the seller.
//!
//! Marking comes first and releasing the stock after it, so that a line is never for sale twice.

use std::collections::BTreeSet;

use sdk::{
    AccountId, now,
    sql::{self, Transaction},
};

use crate::{
    domain::{
        cancellation::{self, Extent},
        id::{ItemId, SessionId},
        status::Status,
    },
    error::Error,
    peers::inventory,
    store::{item, leg, session},
};

/// A buyer cancels one line. When its checkout is still to be paid in one piece, all of it ends.
pub(crate) fn cancel_item(buyer: AccountId, id: ItemId) -> Result<(), Error> {
    let now = now();
    let released = sql::transaction(|tx| {
        let session_id = item::session_of(tx, id, buyer)?.ok_or(Error::ItemNotFound)?;
        let session = session::lock(tx, session_id)?.ok_or(Error::ItemNotFound)?;
        let items = item::lock_of_session(tx, session_id)?;
        let item = items.iter().find(|item| item.id == id).ok_or(Error::ItemNotFound)?;
        let ids = match cancellation::by_buyer(item, &session)? {
            Extent::Item => vec![id],
            Extent::Checkout => cancellation::of_checkout(&items)?,
        };
        let released = item::cancel(tx, &ids, Some(buyer), now)?;
        shrink(tx, session_id, Status::Cancelled)?;
        Ok::<_, Error>(released)
    })?;
    inventory::release_all(&released);
    Ok(())
}

/// A buyer cancels all of a checkout that no seller has taken yet.
pub(crate) fn cancel_checkout(buyer: AccountId, id: SessionId) -> Result<(), Error> {
    let now = now();
    let released = sql::transaction(|tx| {
        let session = session::lock_checkout(tx, id, buyer)?.ok_or(Error::EntityNotFound("checkout"))?;
        if session.status != Status::Pending {
            return Err(Error::SessionClosed);
        }
        let ids = cancellation::of_checkout(&item::lock_of_session(tx, id)?)?;
        let released = item::cancel(tx, &ids, Some(buyer), now)?;
        shrink(tx, id, Status::Cancelled)?;
        Ok(released)
    })?;
    inventory::release_all(&released);
    Ok(())
}

/// A seller rejects lines, all or none.
pub(crate) fn reject(seller: AccountId, ids: &[ItemId]) -> Result<(), Error> {
    let now = now();
    let released = sql::transaction(|tx| {
        let sessions = session::lock_of_items(tx, ids)?;
        let items = item::lock(tx, ids)?;
        cancellation::by_seller(ids, &items, &sessions, seller)?;
        let released = item::cancel(tx, ids, Some(seller), now)?;
        let touched: BTreeSet<SessionId> = items.iter().map(|item| item.payment_session_id).collect();
        for session in touched {
            shrink(tx, session, Status::Cancelled)?;
        }
        Ok::<_, Error>(released)
    })?;
    inventory::release_all(&released);
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
