//! The ends that time puts to a checkout: one that is paid at the door and was not confirmed in time, and lines that are paid and that no seller
//! answers for.

use std::collections::BTreeMap;

use sdk::{Timestamp, config, now, sql, timer};

use super::cancel;
use crate::{
    domain::{id::SessionId, item::Item, session::Session, status::Status},
    error::Error,
    store::{item, session},
};

/// The timer every checkout that is paid at the door sets on itself; its argument is the session's id.
pub(crate) const TIMER: &str = "expire-checkout";

/// The timer every paid checkout sets on itself; its argument is the session's id.
pub(crate) const UNANSWERED_TIMER: &str = "reject-unanswered";

/// How long a line waits for its seller, unless `seller_confirm_days` says otherwise.
const CONFIRM_DAYS: u32 = 7;

const DAY_SECONDS: i64 = 24 * 3600;

/// From this close to its time on a timer may have come while the lines were claimed.
const MARGIN_MS: i64 = 60_000;

/// How long a line waits for its seller that is paid, or to be paid at the door.
pub(super) fn confirm_seconds() -> Result<i64, Error> {
    let seconds = match config::parse::<u32>("seller_confirm_seconds")? {
        Some(given) => i64::from(given),
        None => i64::from(config::parse_or("seller_confirm_days", CONFIRM_DAYS)?) * DAY_SECONDS,
    };
    Ok(seconds)
}

/// Starts the clock of a checkout's sellers, in the transaction that pays it.
pub(super) fn await_sellers(paid: SessionId, confirm_seconds: i64) {
    timer::schedule(UNANSWERED_TIMER, &paid, confirm_seconds.unsigned_abs() * 1000);
}

/// Sets the timer of a checkout anew that may have come while some of its lines were claimed, in the transaction that gives the claim up.
pub(super) fn resume(checkout: &Session, confirm_seconds: i64, now: Timestamp) {
    let (timer, due) = match (checkout.status, checkout.date_paid) {
        (Status::Success, Some(paid)) => (UNANSWERED_TIMER, paid.plus_seconds(confirm_seconds)),
        _ => (TIMER, checkout.date_expired),
    };
    if left_ms(due, now) < MARGIN_MS {
        schedule(timer, checkout.id, due, now);
    }
}

/// Cancels the lines no seller has taken, gives back what a wallet paid for them, and puts them back into the cart and their stock on the shelf.
/// Inventory lets go of the stock at the same time by itself; whichever comes first, the other finds nothing to do.
///
/// A line claimed by a confirmation is left alone: the confirmation turns it into an order, or sets this timer anew.
pub(crate) fn expire(id: SessionId) -> Result<(), Error> {
    let now = now();
    let owed = sql::transaction(|tx| {
        let Some(session) = session::lock(tx, id)?.filter(|session| session.status == Status::Pending) else {
            return Ok(None);
        };
        if now < session.date_expired {
            // Timers go by another clock than this one.
            schedule(TIMER, id, session.date_expired, now);
            return Ok(None);
        }
        let items = item::lock_of_session(tx, id)?;
        let open: Vec<&Item> = items.iter().filter(|item| item.is_open()).collect();
        cancel::end_checkout(tx, session, &open, None, Status::Failed, now).map(Some)
    })?;
    if let Some(owed) = owed {
        owed.settle();
    }
    Ok(())
}

/// Gives up the lines of a paid checkout that no seller has taken or rejected in time: their money goes back to the buyer, and their stock.
///
/// A line claimed by a confirmation is left alone, as above.
pub(crate) fn reject_unanswered(id: SessionId) -> Result<(), Error> {
    let now = now();
    let confirm_seconds = confirm_seconds()?;
    let owed = sql::transaction(|tx| {
        let Some(session) = session::lock(tx, id)?.filter(|session| session.status == Status::Success) else {
            return Ok(None);
        };
        let Some(paid) = session.date_paid else { return Ok(None) };
        let due = paid.plus_seconds(confirm_seconds);
        if now < due {
            schedule(UNANSWERED_TIMER, id, due, now);
            return Ok(None);
        }
        let items = item::lock_of_session(tx, id)?;
        let mut open = items.iter().filter(|item| item.is_open()).peekable();
        if open.peek().is_none() {
            return Ok(None);
        }
        cancel::end_lines(tx, &BTreeMap::from([(id, session)]), open, None, Status::Cancelled, now).map(Some)
    })?;
    if let Some(owed) = owed {
        owed.settle();
    }
    Ok(())
}

fn schedule(timer: &str, id: SessionId, due: Timestamp, now: Timestamp) {
    timer::schedule(timer, &id, left_ms(due, now).max(0).unsigned_abs());
}

fn left_ms(due: Timestamp, now: Timestamp) -> i64 {
    due.as_ms() - now.as_ms()
}
