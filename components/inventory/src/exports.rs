//! `shop:inventory/stocks` and `shop:inventory/reservations` in their WIT types.

use sdk::{Timestamp, now, trap};

use crate::{
    bindings::exports::shop::inventory::{reservations, stocks},
    domain::{
        owner::SkuId,
        reservation::{HeldItem, ReservationId, Wanted, merge},
        stock::Stock,
    },
    error::Error,
    store,
    workflow::{commit, release, release_part, reserve},
};

/// A database that does not answer ends the attempt, and the host tries again: no variant is left without a record.
pub(crate) fn create_stock(sku: &str) -> Result<stocks::Stock, stocks::Error> {
    let sku = sku
        .parse()
        .map_err(|_| stocks::Error::Other(format!("not a SKU id: {sku}")))?;
    let stock =
        store::stock::create_or_get(sku, now()).unwrap_or_else(|error| trap(&format!("create a stock: {error}")));
    Ok(stock.into())
}

/// Ids that are none are left out.
pub(crate) fn archive_stocks(skus: &[String]) {
    let skus: Vec<SkuId> = skus.iter().filter_map(|sku| sku.parse().ok()).collect();
    store::stock::archive(&skus, now()).unwrap_or_else(|error| trap(&format!("archive stocks: {error}")));
}

/// Ids that are none, or unknown, are left out. A database that does not answer ends the attempt, and the host tries again.
pub(crate) fn get_stocks(skus: &[String]) -> Vec<stocks::Stock> {
    let skus: Vec<SkuId> = skus.iter().filter_map(|sku| sku.parse().ok()).collect();
    if skus.is_empty() {
        return Vec::new();
    }
    let stocks = store::stock::list_of_skus(&skus).unwrap_or_else(|error| trap(&format!("read stocks: {error}")));
    stocks.into_iter().map(stocks::Stock::from).collect()
}

pub(crate) fn reserve(
    id: &str,
    items: Vec<reservations::Item>,
    expires_ms: u64,
) -> Result<Vec<reservations::HeldItem>, reservations::Error> {
    let wanted = items
        .into_iter()
        .map(|item| {
            Ok(Wanted {
                sku: sku_id(&item.sku_id)?,
                quantity: item.quantity,
                label: item.label,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let wanted = merge(wanted).map_err(|sku| reservations::Error::InvalidQuantity(format!("of SKU {sku}")))?;
    // A time beyond what a timestamp can hold is no time at all.
    let expires = i64::try_from(expires_ms)
        .ok()
        .filter(|ms| *ms <= MAX_TIME_MS)
        .ok_or_else(|| reservations::Error::Other(format!("not a time: {expires_ms}")))?;
    let held = reserve::reserve(reservation_id(id)?, &wanted, Timestamp::from_ms(expires))?;
    Ok(held.into_iter().map(reservations::HeldItem::from).collect())
}

pub(crate) fn commit(id: &str) -> Result<(), reservations::Error> {
    Ok(commit::commit(reservation_id(id)?)?)
}

pub(crate) fn release(id: &str) -> Result<(), reservations::Error> {
    Ok(release::release(reservation_id(id)?)?)
}

pub(crate) fn release_part(
    id: &str,
    operation: &str,
    sku: &str,
    quantity: i64,
    serials: Vec<String>,
) -> Result<(), reservations::Error> {
    Ok(release_part::release_part(&release_part::Part {
        reservation: reservation_id(id)?,
        operation: operation.parse().map_err(|_| Error::NotAnId(operation.to_owned()))?,
        sku: sku_id(sku)?,
        quantity,
        serials,
    })?)
}

/// The end of the year 9999.
const MAX_TIME_MS: i64 = 253_402_300_799_999;

fn reservation_id(text: &str) -> Result<ReservationId, Error> {
    text.parse().map_err(|_| Error::NotAnId(text.to_owned()))
}

/// What is no id is the id of nothing.
fn sku_id(text: &str) -> Result<SkuId, Error> {
    text.parse().map_err(|_| Error::StockNotFound(text.to_owned()))
}

impl From<Stock> for stocks::Stock {
    fn from(stock: Stock) -> Self {
        Self {
            id: stock.id.0,
            sku_id: stock.ref_id.to_string(),
            available: stock.available,
            taken: stock.taken,
            serial_required: stock.serial_required,
        }
    }
}

impl From<HeldItem> for reservations::HeldItem {
    fn from(HeldItem { sku, quantity, serials }: HeldItem) -> Self {
        Self {
            sku_id: sku.to_string(),
            quantity,
            serial_ids: serials,
        }
    }
}
