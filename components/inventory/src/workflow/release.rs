//! Held or sold becomes free, by its owner's will.

use sdk::{now, sql};

use super::put_back::{Cause, put_all_back};
use crate::{
    domain::reservation::{ReservationId, State},
    error::Error,
    store,
};

/// Repeating it changes nothing. An id never seen is blocked, so that a reserve this release was meant to undo cannot come after.
pub(crate) fn release(id: ReservationId) -> Result<(), Error> {
    let now = now();
    sql::transaction(|tx| {
        if store::reservation::insert_blocked(tx, id, now)? {
            return Ok(());
        }
        match store::reservation::lock(tx, id)?.ok_or(Error::ReservationNotFound)? {
            State::Released | State::Expired => Ok(()),
            State::Held { .. } => put_all_back(tx, id, false, Cause::Request, now),
            State::Committed => put_all_back(tx, id, true, Cause::Request, now),
        }
    })
}
