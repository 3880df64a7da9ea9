//! The movement log of one stock.

use sdk::{
    Checks, Timestamp,
    http::{Error as HttpError, Request, Response},
};
use serde::Serialize;

use super::stock::queried_owner;
use crate::{
    domain::stock::StockId,
    error::Error,
    owner,
    store::{self, history::Movement},
};

#[derive(Serialize)]
struct MovementView {
    id: i64,
    stock_id: StockId,
    change: i64,
    date_created: Timestamp,
    reason: String,
    reference: Option<String>,
    stock_after: i64,
}

impl From<Movement> for MovementView {
    fn from(movement: Movement) -> Self {
        Self {
            id: movement.id,
            stock_id: movement.stock,
            change: movement.change,
            date_created: movement.created,
            reason: movement.reason,
            reference: movement.reference,
            stock_after: movement.stock_after,
        }
    }
}

pub(super) fn list(request: &Request) -> Result<Response, HttpError> {
    let target = queried_owner(request)?;
    let page = request.page()?;
    let sort: Option<String> = request.query().get("sort")?;
    let mut checks = Checks::new();
    checks.text("sort", sort.as_deref()).one_of(&["asc", "desc"]);
    checks.finish()?;
    owner::check(target, request.account()?)?;
    let stock = store::stock::find(target)?.ok_or_else(|| Error::StockNotFound(target.id.to_string()))?;
    let movements = store::history::list(&stock, sort.as_deref() == Some("desc"), &page)?;
    Response::page(&page, &movements.map(MovementView::from))
}
