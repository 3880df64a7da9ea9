//! What this module asks of account: whether somebody may sell, and in which currency.

use sdk::AccountId;

use crate::{
    bindings::shop::account::profiles::{self, Status},
    error::Error,
};

/// The currency of an account that may sell. Asks account.
pub(crate) fn currency(account: AccountId) -> Result<String, Error> {
    let profile = profiles::get(&account.to_string()).map_err(|error| match error {
        profiles::Error::NotFound => Error::EntityNotFound("seller"),
        profiles::Error::Other(reason) => Error::Account(reason),
    })?;
    match profile.status {
        Status::Active => Ok(profile.currency),
        Status::Suspended => Err(Error::AccountSuspended),
    }
}

/// Refuses a listing in another currency than its seller's.
pub(crate) fn check_currency(given: &str, seller: String) -> Result<(), Error> {
    if given == seller {
        Ok(())
    } else {
        Err(Error::CurrencyMismatch {
            given: given.to_owned(),
            seller,
        })
    }
}
