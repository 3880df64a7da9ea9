//! Who may act. A token says who calls; whether that account may do anything by now only the account module knows.

use super::Error;
use crate::AccountId;

/// Asks what becomes of an account that calls. A module says once, at its router, whom it asks.
pub type Gate = fn(AccountId) -> Result<Standing, Error>;

/// Where an account stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It may act.
    Active(Caller),
    /// It may not, until an operator says otherwise.
    Suspended,
    /// There is no such account any more.
    Unknown,
}

/// An account that may act, with what is known of it when that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its id.
    pub account_id: AccountId,
    /// Its country, ISO 3166-1 alpha-2.
    pub country: String,
    /// The currency of its country, ISO 4217; empty where that has none.
    pub currency: String,
}

/// The gate of a module that asks account: a function `standing` over `profiles`, the module's own bindings of `shop:account/profiles`. The
/// second argument makes the module's error of why account could not say.
#[macro_export]
macro_rules! standing {
    ($profiles:ident, $failed:expr) => {
        /// The gate of this module: whether the account that calls may act. Asks account.
        pub(crate) fn standing(account_id: $crate::AccountId) -> Result<$crate::http::Standing, $crate::http::Error> {
            let profile = match $profiles::get(&account_id.to_string()) {
                Ok(profile) => profile,
                Err($profiles::Error::NotFound) => return Ok($crate::http::Standing::Unknown),
                Err($profiles::Error::Other(reason)) => return Err($failed(reason).into()),
            };
            Ok(match profile.status {
                $profiles::Status::Suspended => $crate::http::Standing::Suspended,
                $profiles::Status::Active => $crate::http::Standing::Active($crate::http::Caller {
                    account_id,
                    country: profile.country,
                    currency: profile.currency,
                }),
            })
        }
    };
}

/// The gate of a router that has none.
pub(super) fn closed(account: AccountId) -> Result<Standing, Error> {
    Err(Error::internal(format!(
        "the router has no gate that would let account {account} in"
    )))
}

/// Whom the gate lets in; 403 and 401 for the others.
pub(super) fn admit(gate: Gate, account: AccountId) -> Result<Caller, Error> {
    match gate(account)? {
        Standing::Active(caller) => Ok(caller),
        Standing::Suspended => Err(Error::new(403, "account_suspended", "the account is suspended")),
        Standing::Unknown => Err(Error::unauthorized("the access token names no account")),
    }
}
