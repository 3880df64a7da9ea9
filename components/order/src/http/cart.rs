//! `/cart`.

use sdk::{
    Checks, Input,
    http::{Error, Request, Response},
    json,
};
use serde::Deserialize;

use super::view::CartItem;
use crate::{
    domain::{
        cart::{Change, MAX_QUANTITY},
        id::SkuId,
    },
    store,
    workflow::cart,
};

#[derive(Debug, Deserialize)]
struct ChangeInput {
    #[serde(default)]
    sku_id: Option<SkuId>,
    #[serde(default, deserialize_with = "json::optional_number")]
    quantity: Option<i64>,
    #[serde(default, deserialize_with = "json::optional_number")]
    delta_quantity: Option<i64>,
}

impl Input for ChangeInput {
    fn check(&self, checks: &mut Checks) {
        checks.required_id("sku_id", self.sku_id);
        checks.number("quantity", self.quantity).min(0).max(MAX_QUANTITY);
        checks
            .number("delta_quantity", self.delta_quantity)
            .min(1)
            .max(MAX_QUANTITY);
    }
}

pub(super) fn show(request: &Request) -> Result<Response, Error> {
    let lines = cart::show(request.account()?)?;
    let items: Vec<_> = lines.iter().map(CartItem::from).collect();
    Ok(Response::list(&items)?.no_store())
}

pub(super) fn change(request: &Request) -> Result<Response, Error> {
    let input: ChangeInput = request.json()?;
    let change = Change::read(input.quantity, input.delta_quantity)?;
    let account = request.account()?;
    if let Some(sku_id) = input.sku_id {
        cart::change(account, sku_id, change)?;
    }
    Response::message("Cart updated")
}

pub(super) fn clear(request: &Request) -> Result<Response, Error> {
    store::cart::clear(request.account()?)?;
    Response::message("Cart cleared")
}
