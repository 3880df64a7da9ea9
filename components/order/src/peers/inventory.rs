//! Stock: held for a line, then sold or put back.

use std::collections::BTreeMap;

use sdk::{Timestamp, trap};

use super::{failed, id};
use crate::{
    bindings::shop::inventory::{
        reservations::{self, Error as Refusal, Item},
        stocks,
    },
    domain::{
        checkout::Line,
        id::{ReservationId, SkuId},
    },
    error::Error,
};

const MODULE: &str = "inventory";

/// Holds the stock of one line until `expires`. Returns the units picked, none for goods without serials.
pub(crate) fn reserve(line: &Line, expires: Timestamp) -> Result<Vec<String>, Error> {
    let item = Item {
        sku_id: line.wanted.sku_id.to_string(),
        quantity: line.wanted.quantity,
        label: line.offer.label(),
    };
    let held = reservations::reserve(&line.reservation_id.to_string(), &[item], expires.as_ms() as u64);
    match held {
        Ok(held) => Ok(held.into_iter().flat_map(|item| item.serial_ids).collect()),
        Err(Refusal::StockNotFound(_)) => Err(Error::StockNotFound(line.wanted.sku_id)),
        Err(Refusal::OutOfStock(short)) => Err(Error::OutOfStock {
            label: short.label,
            requested: short.requested,
            available: short.available,
        }),
        Err(Refusal::SerialShortage(short)) => Err(Error::SerialShortage {
            label: short.label,
            requested: short.requested,
            available: short.available,
        }),
        Err(other) => Err(failed(MODULE, format!("{other:?}"))),
    }
}

/// Held becomes sold. Repeating it changes nothing.
pub(crate) fn commit(id: ReservationId) -> Result<(), Error> {
    reservations::commit(&id.to_string()).map_err(|error| match error {
        // The hold ended at the checkout's deadline, or with a cancellation.
        Refusal::Expired | Refusal::AlreadyReleased | Refusal::NotFound => Error::CheckoutExpired,
        other => failed(MODULE, format!("{other:?}")),
    })
}

/// Puts back what is held or sold under this id; an id never used is blocked. Repeating it changes nothing.
pub(crate) fn release(id: ReservationId) -> Result<(), Error> {
    reservations::release(&id.to_string()).map_err(|error| failed(MODULE, format!("release {id}: {error:?}")))
}

/// Puts back the stock of lines that are already marked cancelled. That is owed: a failure is tried again until it is done.
pub(crate) fn release_all(ids: &[ReservationId]) {
    for id in ids {
        if let Err(error) = release(*id) {
            trap(&error.to_string());
        }
    }
}

/// How much of each SKU is free. SKUs without a stock record are left out.
pub(crate) fn available(skus: &[SkuId]) -> Result<BTreeMap<SkuId, i64>, Error> {
    if skus.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<String> = skus.iter().map(SkuId::to_string).collect();
    stocks::get_many(&ids)
        .into_iter()
        .map(|stock| Ok((id(MODULE, &stock.sku_id)?, stock.available)))
        .collect()
}
