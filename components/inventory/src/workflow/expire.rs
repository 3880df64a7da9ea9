//! Held becomes free, by time.

use sdk::{now, sql, timer, trap};

use super::put_back::{Cause, put_all_back};
use crate::{
    domain::reservation::{Expiry, ReservationId},
    error::Error,
    store,
};

/// What `reserve` schedules.
pub(crate) const TIMER: &str = "expire-reservation";

/// The scheduled function: its error is final, so only what no repetition would mend is one. What the database refuses is tried again,
/// and shown to an operator in the end: nothing else ends the hold.
pub(crate) fn run(name: &str, argument: &[u8]) -> Result<(), String> {
    if name != TIMER {
        return Err(format!("no timer is called {name}"));
    }
    let id: ReservationId =
        serde_json::from_slice(argument).map_err(|error| format!("not a reservation id: {error}"))?;
    expire(id).unwrap_or_else(|error| trap(&format!("end reservation {id}: {error}")));
    Ok(())
}

fn expire(id: ReservationId) -> Result<(), Error> {
    let now = now();
    let left_ms = sql::transaction(|tx| {
        let Some(state) = store::reservation::lock(tx, id)? else {
            return Ok(None);
        };
        match state.expiry(now) {
            Expiry::Settled => Ok(None),
            Expiry::Early(left_ms) => Ok(Some(left_ms)),
            Expiry::Due => put_all_back(tx, id, false, Cause::Expiry, now).map(|()| None),
        }
    })?;
    // Timers follow the database's clock, `now` follows the node's: one that fires early must come again, or the hold never ends.
    if let Some(left_ms) = left_ms {
        timer::schedule(TIMER, &id, left_ms);
    }
    Ok::<_, Error>(())
}
