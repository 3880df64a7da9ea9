//! One's own wallet.

use sdk::http::{Error, Request, Response};
use serde_json::json;

use crate::{domain::ledger::Book, error::Error as Failure, store, workflow::session::caller};

pub(super) fn get(request: &Request) -> Result<Response, Error> {
    let me = caller(request)?;
    let profile = store::profile::get(me)?.ok_or(Failure::CallerGone)?;
    let currency = profile.currency();
    let balance = match currency.parse() {
        Ok(currency) => store::ledger::balance(Book::Wallet(me), currency)?,
        // A country without a currency has no wallet either.
        Err(_) => 0,
    };
    Ok(Response::data(&json!({ "balance": balance, "currency": currency }))?.no_store())
}
