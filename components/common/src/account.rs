//! What this module asks of account: whether somebody may act.

use sdk::{
    AccountId,
    http::{Caller, Error as HttpError, Standing},
};

use crate::{
    bindings::shop::account::profiles::{self, Status},
    error::Error,
};

/// The gate of this module. Asks account.
pub(crate) fn standing(account_id: AccountId) -> Result<Standing, HttpError> {
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
