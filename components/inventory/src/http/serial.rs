//! Single units.

use std::collections::{BTreeMap, BTreeSet};

use sdk::{
    AccountId, Checks, Input, Timestamp,
    http::{Error as HttpError, Request, Response},
    now, sql,
    sql::Transaction,
};
use serde::{Deserialize, Serialize};

use super::import::check_serials;
use crate::{
    domain::{
        owner::{Owner, OwnerKind},
        serial::Status,
        stock::{MAX_CHANGED_SERIALS, Stock, StockId},
    },
    error::Error,
    owner,
    store::{
        self,
        serial::{Serial, Unit},
    },
};

#[derive(Serialize)]
struct SerialView {
    id: String,
    stock_id: StockId,
    status: Status,
    date_created: Timestamp,
}

impl From<Serial> for SerialView {
    fn from(serial: Serial) -> Self {
        Self {
            id: serial.id,
            stock_id: serial.stock,
            status: serial.status,
            date_created: serial.created,
        }
    }
}

pub(super) fn list(request: &Request) -> Result<Response, HttpError> {
    let id: i64 = request.query().require("stock_id")?;
    let page = request.page()?;
    let mut checks = Checks::new();
    checks.number("stock_id", id).min(1);
    checks.finish()?;
    let me = request.account()?;
    let unknown = || Error::StockNotFound(id.to_string());
    let stock = store::stock::find_by_id(id)?.ok_or_else(unknown)?;
    let kind = if stock.ref_type == OwnerKind::ProductSku.name() {
        OwnerKind::ProductSku
    } else {
        OwnerKind::Promotion
    };
    owner::check(Owner { kind, id: stock.ref_id }, me)?;
    Response::page(&page, &store::serial::list(&stock, &page)?.map(SerialView::from))
}

#[derive(Deserialize)]
struct PatchSerials {
    serial_ids: Option<Vec<String>>,
    status: Option<Status>,
    /// Says which product is meant when several of the caller's have the same serial number.
    stock_id: Option<i64>,
}

impl Input for PatchSerials {
    fn check(&self, checks: &mut Checks) {
        checks.list("serial_ids", self.serial_ids.as_deref()).required();
        check_serials(
            checks,
            self.serial_ids.as_deref().unwrap_or_default(),
            MAX_CHANGED_SERIALS,
        );
        checks.require("status", self.status.is_some(), "is required");
        checks.number("stock_id", self.stock_id).min(1);
    }
}

pub(super) fn patch(request: &Request) -> Result<Response, HttpError> {
    let (input, me) = request.json_for_account::<PatchSerials>()?;
    let ids: BTreeSet<String> = input.serial_ids.unwrap_or_default().into_iter().collect();
    let status = input.status.unwrap_or(Status::Active);
    let by_stock = owned(&ids.into_iter().collect::<Vec<_>>(), input.stock_id, me)?;
    let now = now();
    sql::transaction(|tx| {
        let stocks: Vec<i64> = by_stock.keys().map(|stock| stock.0).collect();
        for stock in store::stock::lock_ids(tx, &stocks)? {
            if let Some(serials) = by_stock.get(&stock.id) {
                change(tx, &stock, serials, status, now)?;
            }
        }
        Ok::<_, Error>(())
    })?;
    Response::message("Serial numbers updated")
}

/// Serials by the stock that has them.
type ByStock = BTreeMap<StockId, Vec<String>>;

/// The serials the texts mean, by stock: all of them the caller's. What is somebody else's is as unknown as what nobody has: whoever knew which numbers
/// there are could claim their guarantees. Asks catalog.
fn owned(ids: &[String], stock: Option<i64>, me: AccountId) -> Result<ByStock, Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let holders = store::serial::holders(ids, stock)?;
    let mine = owner::sold_by(me, &holders.iter().map(|holder| holder.sku).collect());
    let mine = holders.iter().filter(|holder| mine.contains(&holder.sku));
    let stocks: Vec<i64> = mine.map(|holder| holder.stock.0).collect();
    resolve(ids, store::serial::in_stocks(ids, &stocks)?)
}

/// Each text to the one stock of the caller's that has it.
fn resolve(ids: &[String], mine: Vec<Unit>) -> Result<ByStock, Error> {
    let mut meant: BTreeMap<String, StockId> = BTreeMap::new();
    for unit in mine {
        if meant.insert(unit.id.clone(), unit.stock).is_some() {
            return Err(Error::SerialAmbiguous(unit.id));
        }
    }
    let mut by_stock = ByStock::new();
    let mut missing = Vec::new();
    for id in ids {
        match meant.get(id) {
            Some(stock) => by_stock.entry(*stock).or_default().push(id.clone()),
            None => missing.push(id.clone()),
        }
    }
    if missing.is_empty() {
        Ok(by_stock)
    } else {
        Err(Error::SerialNotFound(missing))
    }
}

/// Moves units of one locked stock; the free quantity follows while the stock counts by serial.
fn change(tx: &Transaction, stock: &Stock, serials: &[String], next: Status, now: Timestamp) -> Result<(), Error> {
    let mut adjusted: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for serial in store::serial::lock(tx, stock.id, serials)? {
        let Some(each) = serial.status.change_to(next) else {
            return Err(Error::SerialTransition {
                serial: serial.id,
                from: serial.status,
                to: next,
            });
        };
        adjusted.entry(each).or_default().push(serial.id);
    }
    store::serial::set_status(tx, stock.id, serials, next)?;
    for (each, serials) in adjusted
        .into_iter()
        .filter(|(each, _)| *each != 0 && stock.serial_required)
    {
        store::stock::adjust(tx, stock.id, each, &serials, now)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn resolved(ids: &[&str], mine: &[(&str, i64)]) -> Result<ByStock, Error> {
        let unit = |(id, stock): &(&str, i64)| Unit {
            id: (*id).to_owned(),
            stock: StockId(*stock),
        };
        resolve(&texts(ids), mine.iter().map(unit).collect())
    }

    #[test]
    fn each_text_means_the_unit_that_its_seller_has() {
        let by_stock = resolved(&["a", "b"], &[("a", 10), ("b", 20)]).unwrap();
        let expected = BTreeMap::from([(StockId(10), texts(&["a"])), (StockId(20), texts(&["b"]))]);
        assert_eq!(by_stock, expected);
    }

    #[test]
    fn unknown_numbers_are_all_listed() {
        let failed = resolved(&["a", "b", "c"], &[("b", 10)]);
        assert!(matches!(failed, Err(Error::SerialNotFound(ids)) if ids == ["a", "c"]));
    }

    #[test]
    fn two_own_units_of_one_number_need_a_stock() {
        let failed = resolved(&["a"], &[("a", 10), ("a", 20)]);
        assert!(matches!(failed, Err(Error::SerialAmbiguous(id)) if id == "a"));
    }
}
