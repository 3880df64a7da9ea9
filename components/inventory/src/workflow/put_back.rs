//! What is still out of a reservation becomes free again.

use std::collections::BTreeSet;

use sdk::{Timestamp, new_id, sql::Transaction};

use super::commit::columns;
use crate::{
    domain::{reservation::ReservationId, stock::StockId},
    error::Error,
    store,
};

/// Why a reservation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Request,
    Expiry,
}

/// In a transaction that holds the reservation; afterwards it is released.
pub(super) fn put_all_back(
    tx: &Transaction,
    id: ReservationId,
    were_sold: bool,
    cause: Cause,
    now: Timestamp,
) -> Result<(), Error> {
    let items = store::reservation::open_items(tx, id)?;
    let (stocks, quantities) = columns(&items);
    let locked = store::stock::lock_ids(tx, &stocks)?;
    let by_serial: BTreeSet<StockId> = locked
        .into_iter()
        .filter(|stock| stock.serial_required)
        .map(|stock| stock.id)
        .collect();
    store::serial::return_all(tx, id)?;
    for item in items
        .iter()
        .filter(|item| !item.tracked && by_serial.contains(&item.stock))
    {
        store::serial::insert_returned(tx, item.stock, new_id(), item.remaining, now)?;
    }
    store::stock::put_back(tx, id, &stocks, &quantities, were_sold, now)?;
    Ok(store::reservation::set_released(tx, id, cause == Cause::Expiry, now)?)
}
