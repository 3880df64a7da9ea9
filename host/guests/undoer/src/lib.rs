//! Holds goods and money, and releases them, one call a request: so that a test has the release come before what it undoes, as it may where
//! calls cross a network.

sdk::component!("test:undoer/undoer@0.1.0" in ["../../../wit", "wit"]);

use std::fmt::Debug;

use bindings::exports::nexus::http::handler;
use bindings::shop::account::ledger::{self, Book, Transfer};
use bindings::shop::common::types::Money;
use bindings::shop::inventory::reservations::{self, Item};
use sdk::http::{Error, Request, Response, Router};
use sdk::{Checks, Input, now, routes};
use serde::{Deserialize, Serialize};

const ROUTER: Router = Router::new(&routes![
    POST "/undoer/reserve" for anyone => reserve,
    POST "/undoer/release-stock" for anyone => release_stock,
    POST "/undoer/hold" for anyone => hold,
    POST "/undoer/release-money" for anyone => release_money,
]);

/// Longer than a test takes.
const HOLD_MS: i64 = 3_600_000;

struct Undoer;

bindings::export!(Undoer with_types_in bindings);

impl handler::Guest for Undoer {
    fn handle(request: handler::Request) -> handler::Response {
        ROUTER.handle(request)
    }
}

#[derive(Deserialize)]
struct Wanted {
    id: String,
    /// Of which variant, or from whose wallet.
    of: String,
    /// Units, or the smallest of money.
    amount: i64,
}

#[derive(Deserialize)]
struct Undone {
    id: String,
}

impl Input for Wanted {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Undone {
    fn check(&self, _: &mut Checks) {}
}

#[derive(Serialize)]
struct Told {
    told: String,
}

fn told<T, E: Debug>(outcome: Result<T, E>) -> Result<Response, Error> {
    let told = match outcome {
        Ok(_) => "done".to_owned(),
        Err(error) => format!("{error:?}"),
    };
    Response::data(&Told { told })
}

fn reserve(request: &Request) -> Result<Response, Error> {
    let Wanted { id, of, amount } = request.json()?;
    let item = Item {
        sku_id: of,
        quantity: amount,
        label: "Held late".to_owned(),
    };
    let expires_ms = now().as_ms() + HOLD_MS;
    told(reservations::reserve(&id, &[item], expires_ms as u64))
}

fn release_stock(request: &Request) -> Result<Response, Error> {
    let Undone { id } = request.json()?;
    told(reservations::release(&id))
}

fn hold(request: &Request) -> Result<Response, Error> {
    let Wanted { id, of, amount } = request.json()?;
    told(ledger::hold(&Transfer {
        id,
        source: Book::Wallet(of),
        destination: Book::Escrow,
        amount: Money {
            amount_minor: amount,
            currency: "VND".to_owned(),
        },
        note: "Held late".to_owned(),
    }))
}

fn release_money(request: &Request) -> Result<Response, Error> {
    let Undone { id } = request.json()?;
    told(ledger::release(&id))
}
