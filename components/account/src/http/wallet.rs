//! One's own wallet.

use sdk::http::{Error, Request, Response};
use serde_json::json;

use crate::{
    error::Error as Failure,
    workflow::ledger::{self, Error as LedgerError},
};

pub(super) fn get(request: &Request) -> Result<Response, Error> {
    let (balance, currency) = ledger::balance(request.account()?).map_err(|error| match error {
        LedgerError::Refused(_) => Failure::CallerGone,
        LedgerError::Sql(error) => error.into(),
    })?;
    Ok(Response::data(&json!({ "balance": balance, "currency": currency }))?.no_store())
}
