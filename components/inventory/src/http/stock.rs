//! One owner's stock record.

use sdk::{
    Checks, Input, Timestamp, Uuid,
    http::{Error as HttpError, Request, Response},
    new_id, now, sql,
};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        owner::{Owner, OwnerKind},
        stock::{MAX_SERIALS, Stock, StockId},
    },
    error::Error,
    owner, store,
};

#[derive(Serialize)]
struct StockView {
    id: StockId,
    ref_type: String,
    ref_id: Uuid,
    stock: i64,
    taken: i64,
    serial_required: bool,
    date_created: Timestamp,
}

impl From<Stock> for StockView {
    fn from(stock: Stock) -> Self {
        Self {
            id: stock.id,
            ref_type: stock.ref_type,
            ref_id: stock.ref_id,
            stock: stock.available,
            taken: stock.taken,
            serial_required: stock.serial_required,
            date_created: stock.created,
        }
    }
}

/// The owner that `ref_id` and `ref_type` of the query name.
pub(super) fn queried_owner(request: &Request) -> Result<Owner, HttpError> {
    let id: Uuid = request.query().require("ref_id")?;
    let kind: OwnerKind = request.query().require("ref_type")?;
    let mut checks = Checks::new();
    checks.required_id("ref_id", Some(id));
    checks.finish()?;
    Ok(Owner { kind, id })
}

/// Public: a product page shows it to everybody. What was deleted has no page, and no stock as far as anybody is told.
pub(super) fn get(request: &Request) -> Result<Response, HttpError> {
    let owner = queried_owner(request)?;
    let stock = store::stock::find(owner)?.ok_or_else(|| Error::StockNotFound(owner.id.to_string()))?;
    Response::data(&StockView::from(stock.open()?))
}

#[derive(Deserialize)]
struct PatchStock {
    #[serde(default)]
    ref_id: Uuid,
    ref_type: Option<OwnerKind>,
    serial_required: Option<bool>,
    /// With `serial_required`: units without a serial number get a random one.
    #[serde(default, deserialize_with = "sdk::json::null_as_default")]
    generate_serials: bool,
}

impl Input for PatchStock {
    fn check(&self, checks: &mut Checks) {
        checks.required_id("ref_id", Some(self.ref_id));
        checks.require("ref_type", self.ref_type.is_some(), "is required");
    }
}

pub(super) fn patch(request: &Request) -> Result<Response, HttpError> {
    let (input, me) = request.json_for_account::<PatchStock>()?;
    let target = Owner {
        kind: input.ref_type.unwrap_or(OwnerKind::ProductSku),
        id: input.ref_id,
    };
    owner::check_live(target, me)?;
    let now = now();
    let stock = sql::transaction(|tx| {
        let mut stock = store::stock::lock_or_create(tx, target, now)?.open()?;
        let Some(required) = input
            .serial_required
            .filter(|required| *required != stock.serial_required)
        else {
            return Ok(stock);
        };
        if required {
            let active = store::serial::count_active(tx, stock.id)?;
            let missing = missing_serials(stock.available, active, input.generate_serials)?;
            let serials: Vec<String> = (0..missing).map(|_| new_id().to_string()).collect();
            store::serial::insert(tx, stock.id, &serials, now)?;
        }
        store::stock::set_serial_required(tx, stock.id, required)?;
        stock.serial_required = required;
        Ok::<_, Error>(stock)
    })?;
    Response::data(&StockView::from(stock))
}

/// How many serials have to be made so that every free unit has one; a refusal when they may not be made or there are too many.
fn missing_serials(available: i64, active: i64, generate: bool) -> Result<usize, Error> {
    match usize::try_from(available - active) {
        Ok(0) => Ok(0),
        Ok(missing) if generate && missing <= MAX_SERIALS => Ok(missing),
        _ => Err(Error::SerialsIncomplete { available, active }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_required_only_when_every_free_unit_has_one() {
        assert_eq!(missing_serials(3, 3, false).unwrap(), 0);
        assert!(missing_serials(3, 2, false).is_err());
        assert_eq!(missing_serials(3, 1, true).unwrap(), 2);
        assert!(missing_serials(2, 3, true).is_err(), "none can be taken away");
        assert!(missing_serials(MAX_SERIALS as i64 + 1, 0, true).is_err());
    }
}
