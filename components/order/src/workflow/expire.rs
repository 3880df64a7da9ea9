//! The end of a checkout that was not confirmed in time.

use sdk::{now, sql, timer};

use super::{cancel, owed::Owed};
use crate::{
    domain::{
        id::{ItemId, SessionId},
        item::Item,
        status::Status,
    },
    error::Error,
    store::{item, session},
};

/// The timer every checkout sets on itself; its argument is the session's id.
pub(crate) const TIMER: &str = "expire-checkout";

/// Cancels the lines no seller has taken, gives back what a wallet paid for them, and puts their stock back. Inventory lets go of the stock at the same time by
/// itself; whichever comes first, the other finds nothing to do.
///
/// A line claimed by a confirmation is left alone: the confirmation turns it into an order, or sets this timer anew.
pub(crate) fn expire(id: SessionId) -> Result<(), Error> {
    let now = now();
    let owed = sql::transaction(|tx| {
        let Some(session) = session::lock(tx, id)? else {
            return Ok(None);
        };
        if session.status != Status::Pending {
            return Ok(None);
        }
        if now < session.date_expired {
            // Timers go by another clock than this one.
            timer::schedule(TIMER, &id, (session.date_expired.as_ms() - now.as_ms()) as u64);
            return Ok(None);
        }
        let items = item::lock_of_session(tx, id)?;
        let open: Vec<&Item> = items.iter().filter(|item| item.is_open()).collect();
        let refunds = cancel::refund_all(tx, open.iter().copied(), session.payment(), now)?;
        let ids: Vec<ItemId> = open.iter().map(|item| item.id).collect();
        let released = item::cancel(tx, &ids, None, now)?;
        cancel::shrink(tx, id, Status::Failed)?;
        Ok::<_, Error>(Some(Owed::from_commit(tx, refunds, released)))
    })?;
    if let Some(owed) = owed {
        owed.settle();
    }
    Ok(())
}
