//! One's own wallet: `balance` is what it can pay, `held` what it is to pay besides for payments that are under way.

use sdk::http::{Error, Request, Response};
use serde_json::json;

use crate::{
    error::Error as Failure,
    workflow::ledger::{self, Error as LedgerError},
};

pub(super) fn get(request: &Request) -> Result<Response, Error> {
    let wallet = ledger::wallet(request.account()?).map_err(|error| match error {
        LedgerError::Refused(_) => Failure::CallerGone,
        LedgerError::Sql(error) => error.into(),
    })?;
    let body = json!({ "balance": wallet.filling.balance, "held": wallet.filling.held, "currency": wallet.currency });
    Ok(Response::data(&body)?.no_store())
}
