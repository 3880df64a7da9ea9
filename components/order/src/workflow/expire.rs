//! The end of a checkout that was not confirmed in time.

use sdk::{now, sql, timer};

use crate::{
    domain::{
        id::{ItemId, SessionId},
        status::Status,
    },
    error::Error,
    peers::inventory,
    store::{item, session},
};

/// The timer every checkout sets on itself; its argument is the session's id.
pub(crate) const TIMER: &str = "expire-checkout";

/// Cancels the lines no seller has taken, and puts their stock back. Inventory lets go of the stock at the same time by
/// itself; whichever comes first, the other finds nothing to do.
///
/// A line claimed by a confirmation is left alone: the confirmation turns it into an order, or sets this timer anew.
pub(crate) fn expire(id: SessionId) -> Result<(), Error> {
    let now = now();
    let released = sql::transaction(|tx| {
        let Some(session) = session::lock(tx, id)? else {
            return Ok(Vec::new());
        };
        if session.status != Status::Pending {
            return Ok(Vec::new());
        }
        if now < session.date_expired {
            // Timers go by another clock than this one.
            timer::schedule(TIMER, &id, (session.date_expired.as_ms() - now.as_ms()) as u64);
            return Ok(Vec::new());
        }
        let items = item::lock_of_session(tx, id)?;
        let open: Vec<ItemId> = items.iter().filter(|item| item.is_open()).map(|item| item.id).collect();
        let released = item::cancel(tx, &open, None, now)?;
        super::cancel::shrink(tx, id, Status::Failed)?;
        Ok::<_, Error>(released)
    })?;
    inventory::release_all(&released);
    Ok(())
}
