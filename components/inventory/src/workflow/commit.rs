//! Held becomes sold.

use sdk::{now, sql};

use crate::{
    domain::reservation::{OpenItem, ReservationId, Sale},
    error::Error,
    store,
};

/// What is left of the hold; repeating it changes nothing.
pub(crate) fn commit(id: ReservationId) -> Result<(), Error> {
    let now = now();
    sql::transaction(|tx| {
        let state = store::reservation::lock(tx, id)?.ok_or(Error::ReservationNotFound)?;
        match state.sale(now) {
            Sale::AlreadySold => return Ok(()),
            Sale::Released => return Err(Error::AlreadyReleased),
            Sale::Expired => return Err(Error::Expired),
            Sale::Sell => {}
        }
        let (stocks, quantities) = columns(&store::reservation::open_items(tx, id)?);
        // Locked, though only the log changes: its rows of one stock say the balance in the order they were written.
        store::stock::lock_ids(tx, &stocks)?;
        store::stock::sell(tx, id, &stocks, &quantities, now)?;
        Ok(store::reservation::set_committed(tx, id, now)?)
    })
}

/// Items as the parallel arrays that statements take.
pub(super) fn columns(items: &[OpenItem]) -> (Vec<i64>, Vec<i64>) {
    items.iter().map(|item| (item.stock.0, item.remaining)).unzip()
}
