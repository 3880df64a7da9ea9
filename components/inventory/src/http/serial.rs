//! Single units.

use std::collections::{BTreeMap, BTreeSet};

use sdk::{
    AccountId, Checks, Input, Timestamp, Uuid,
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
    store::{self, serial::Candidate, serial::Serial},
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
    let by_stock = owned(ids.into_iter().collect(), input.stock_id, me)?;
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

/// The serials the texts mean, by stock: all of them known, all of them the caller's. Asks catalog.
fn owned(ids: Vec<String>, stock: Option<i64>, me: AccountId) -> Result<BTreeMap<StockId, Vec<String>>, Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let candidates = store::serial::candidates(&ids, stock)?.ok_or(Error::TooManyCandidates)?;
    let of_skus = candidates
        .iter()
        .filter(|candidate| candidate.ref_type == OwnerKind::ProductSku.name());
    let skus: BTreeSet<Uuid> = of_skus.map(|candidate| candidate.ref_id).collect();
    let mine = owner::sold_by(me, &skus);
    resolve(ids, candidates, &mine)
}

fn resolve(
    ids: Vec<String>,
    candidates: Vec<Candidate>,
    mine: &BTreeSet<Uuid>,
) -> Result<BTreeMap<StockId, Vec<String>>, Error> {
    let known: BTreeSet<&str> = candidates.iter().map(|candidate| candidate.id.as_str()).collect();
    let unknown: Vec<String> = ids.iter().filter(|id| !known.contains(id.as_str())).cloned().collect();
    if !unknown.is_empty() {
        return Err(Error::SerialNotFound(unknown));
    }
    let mut meant: BTreeMap<String, StockId> = BTreeMap::new();
    for candidate in candidates
        .into_iter()
        .filter(|candidate| mine.contains(&candidate.ref_id))
    {
        if meant.insert(candidate.id.clone(), candidate.stock).is_some() {
            return Err(Error::SerialAmbiguous(candidate.id));
        }
    }
    let mut by_stock: BTreeMap<StockId, Vec<String>> = BTreeMap::new();
    for id in ids {
        let stock = meant.get(&id).ok_or(Error::NotTheSeller)?;
        by_stock.entry(*stock).or_default().push(id);
    }
    Ok(by_stock)
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

    fn candidate(id: &str, stock: i64, sku: u128) -> Candidate {
        Candidate {
            id: id.into(),
            stock: StockId(stock),
            ref_type: "ProductSku".into(),
            ref_id: Uuid::from_u128(sku),
        }
    }

    fn resolved(ids: &[&str], candidates: Vec<Candidate>) -> Result<BTreeMap<StockId, Vec<String>>, Error> {
        let mine = BTreeSet::from([Uuid::from_u128(1), Uuid::from_u128(2)]);
        resolve(ids.iter().map(|id| (*id).to_owned()).collect(), candidates, &mine)
    }

    #[test]
    fn a_strangers_unit_of_the_same_number_is_not_meant() {
        let by_stock = resolved(
            &["a", "b"],
            vec![candidate("a", 10, 1), candidate("a", 90, 9), candidate("b", 20, 2)],
        );
        assert_eq!(
            by_stock.unwrap(),
            BTreeMap::from([(StockId(10), vec!["a".to_owned()]), (StockId(20), vec!["b".to_owned()])])
        );
    }

    #[test]
    fn unknown_numbers_are_all_listed() {
        let failed = resolved(&["a", "b", "c"], vec![candidate("b", 10, 1)]);
        assert!(matches!(failed, Err(Error::SerialNotFound(ids)) if ids == ["a", "c"]));
    }

    #[test]
    fn only_a_strangers_unit_is_forbidden() {
        assert!(matches!(
            resolved(&["a"], vec![candidate("a", 90, 9)]),
            Err(Error::NotTheSeller)
        ));
    }

    #[test]
    fn two_own_units_of_one_number_need_a_stock() {
        let failed = resolved(&["a"], vec![candidate("a", 10, 1), candidate("a", 20, 2)]);
        assert!(matches!(failed, Err(Error::SerialAmbiguous(id)) if id == "a"));
    }
}
