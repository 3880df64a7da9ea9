//! The benchmark's module: one durable transaction, one read, one loop of calls, written as a module of an application is.
//!
//! Its statements are files that the native handlers it is compared with read too, so that both send the same SQL.

sdk::component!("bench:shop/shop@0.1.0" in ["../../../wit", "../bench-callee/wit", "wit"]);

use bindings::bench::callee::small;
use bindings::exports::nexus::http::handler;
use sdk::http::{Error, Request, Response, Router};
use sdk::sql::{self, params};
use sdk::{Checks, Input, routes};
use serde::{Deserialize, Serialize};

const LOCK_ITEM: &str = include_str!("../../../bench/app/statements/lock_item.sql");
const TAKE_FROM_STOCK: &str = include_str!("../../../bench/app/statements/take_from_stock.sql");
const RECORD_PURCHASE: &str = include_str!("../../../bench/app/statements/record_purchase.sql");
const READ_ITEM: &str = include_str!("../../../bench/app/statements/read_item.sql");

/// One request must not run into the guest's time limit.
const MAX_CALLS: i64 = 20_000;

const ROUTER: Router = Router::new(&routes![
    POST "/bench/order" for anyone => order,
    GET "/bench/item/:id" for anyone => item,
    GET "/bench/calls" for anyone => calls,
]);

struct Shop;

bindings::export!(Shop with_types_in bindings);

impl handler::Guest for Shop {
    fn handle(request: handler::Request) -> handler::Response {
        ROUTER.handle(request)
    }
}

#[derive(Deserialize)]
struct Order {
    item: i64,
    quantity: i64,
}

impl Input for Order {
    fn check(&self, checks: &mut Checks) {
        checks.require(
            "quantity",
            (1..=1000).contains(&self.quantity),
            "must be from 1 to 1000",
        );
    }
}

#[derive(Serialize)]
struct Receipt {
    purchase: i64,
    amount: i64,
}

#[derive(Serialize)]
struct Item {
    id: i64,
    name: String,
    price: i64,
    stock: i64,
}

#[derive(Serialize)]
struct Sum {
    sum: u32,
}

fn order(request: &Request) -> Result<Response, Error> {
    let Order { item, quantity } = request.json()?;
    let receipt = sql::transaction(|tx| {
        let row = tx.query_opt(LOCK_ITEM, params![item])?;
        let row = row.ok_or_else(|| Error::not_found("not_found", "there is no such item"))?;
        let (price, stock): (i64, i64) = (row.get("price")?, row.get("stock")?);
        if stock < quantity {
            return Err(Error::conflict("no_stock", "there are not enough of it"));
        }
        let amount = price * quantity;
        tx.execute(TAKE_FROM_STOCK, params![item, stock - quantity])?;
        let row = tx.query_one(RECORD_PURCHASE, params![item, quantity, amount])?;
        Ok(Receipt {
            purchase: row.get("id")?,
            amount,
        })
    })?;
    Response::data(&receipt)
}

fn item(request: &Request) -> Result<Response, Error> {
    let id: i64 = request.param("id")?;
    let row = sql::query_opt(READ_ITEM, params![id])?;
    let row = row.ok_or_else(|| Error::not_found("not_found", "there is no such item"))?;
    Response::data(&Item {
        id,
        name: row.get("name")?,
        price: row.get("price")?,
        stock: row.get("stock")?,
    })
}

/// Calls the other component as often as asked. Nothing is written, so nothing of it is kept.
fn calls(request: &Request) -> Result<Response, Error> {
    let count: i64 = request.query().require("count")?;
    if !(0..=MAX_CALLS).contains(&count) {
        return Err(Error::invalid("count", format!("must be from 0 to {MAX_CALLS}")));
    }
    let sum = (0..count as u32).fold(0, |sum, number| small::add(sum, number, "enamel pot"));
    Response::data(&Sum { sum })
}
