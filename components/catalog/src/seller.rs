//! What this module asks of account: whether somebody may act, and in which currency they sell.

use sdk::{
    AccountId,
    http::{self, Caller, Standing},
};

use crate::{
    bindings::shop::account::profiles::{self, Status},
    error::Error,
};

/// The gate of this module. Asks account.
pub(crate) fn standing(account_id: AccountId) -> Result<Standing, http::Error> {
    let profile = match profiles::get(&account_id.to_string()) {
        Ok(profile) => profile,
        Err(profiles::Error::NotFound) => return Ok(Standing::Unknown),
        Err(profiles::Error::Other(reason)) => return Err(Error::Account(reason).into()),
    };
    Ok(match profile.status {
        Status::Suspended => Standing::Suspended,
        Status::Active => Standing::Active(Caller {
            account_id,
            country: profile.country,
            currency: profile.currency,
        }),
    })
}

/// Refuses a listing in another currency than its seller's.
pub(crate) fn check_currency(given: &str, seller: &str) -> Result<(), Error> {
    if given == seller {
        Ok(())
    } else {
        Err(Error::CurrencyMismatch {
            given: given.to_owned(),
            seller: seller.to_owned(),
        })
    }
}
