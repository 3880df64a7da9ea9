//! The module's failures, and the only place that gives them codes.

use sdk::{Currency, config, http, sql};

use crate::bindings::{
    nexus::crypto::{passwords, tokens},
    shop::common::geocoding,
};

/// What can go wrong in this module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("identifier or password is wrong")]
    InvalidCredentials,
    #[error("there is no such account")]
    AccountNotFound,
    #[error("the account is suspended")]
    Suspended,
    #[error("one of username, email and phone is required")]
    MissingIdentifier,
    #[error("`{0}` is not a country with a currency")]
    InvalidCountry(String),
    #[error("the wallet holds {balance} {currency}: it must be empty")]
    WalletNotEmpty { balance: i64, currency: Currency },
    #[error("variants priced in {currency} are on sale ({count} of them): delete them first")]
    SkusInOldCurrency { count: u64, currency: &'static str },
    #[error("payments, orders or refunds of this account are open: wait until they are over")]
    OpenDealings,
    #[error("the country was changed by another request: ask again")]
    MovedMeanwhile,
    #[error("the username is taken")]
    UsernameTaken,
    #[error("the email is taken")]
    EmailTaken,
    #[error("the phone number is taken")]
    PhoneTaken,
    #[error("the avatar is used by another profile")]
    AvatarTaken,
    #[error("there is no such resource")]
    ResourceNotFound,
    #[error("there is no such contact")]
    ContactNotFound,
    #[error("there are {most} contacts, as many as an account may have")]
    ContactsFull { most: i64 },
    #[error("the last contact cannot be deleted")]
    LastContact,
    #[error("address resolves to {resolved}, profile country is {profile}")]
    CountryMismatch { resolved: String, profile: String },
    #[error("the address is empty")]
    EmptyAddress,
    #[error("the address was not found")]
    AddressNotFound,
    #[error("the address has no known country")]
    CountryUnresolved,
    #[error("no geocoder answers: {0}")]
    GeocodingUnavailable(String),
    #[error("resolve the address: {0}")]
    Geocoding(String),
    #[error("the password has more than 1024 bytes")]
    PasswordTooLong,
    #[error("the refresh token is not valid")]
    RefreshRefused,
    /// The token is valid but its account is gone.
    #[error("the access token names no account")]
    CallerGone,
    #[error("token key: {0}")]
    TokenKey(String),
    #[error(transparent)]
    Sql(sql::Error),
    #[error(transparent)]
    Config(#[from] config::Error),
}

/// Constraints that a caller can run into; the rest is a bug and stays a database error.
impl From<sql::Error> for Error {
    fn from(error: sql::Error) -> Self {
        match error.constraint() {
            Some("account_username_key") => Self::UsernameTaken,
            Some("account_email_key") => Self::EmailTaken,
            Some("account_phone_key") => Self::PhoneTaken,
            Some("profile_avatar_key") => Self::AvatarTaken,
            Some("profile_default_contact_fkey") => Self::ContactNotFound,
            _ => Self::Sql(error),
        }
    }
}

impl From<geocoding::Error> for Error {
    fn from(error: geocoding::Error) -> Self {
        match error {
            geocoding::Error::EmptyAddress => Self::EmptyAddress,
            geocoding::Error::NotFound => Self::AddressNotFound,
            geocoding::Error::CountryUnresolved => Self::CountryUnresolved,
            geocoding::Error::Unavailable(reason) => Self::GeocodingUnavailable(reason),
            geocoding::Error::Other(reason) => Self::Geocoding(reason),
        }
    }
}

impl From<passwords::Error> for Error {
    fn from(error: passwords::Error) -> Self {
        match error {
            passwords::Error::TooLong => Self::PasswordTooLong,
        }
    }
}

/// Signing and fingerprinting fail only where the manifest grants no such key; a token of a caller is told otherwise.
impl From<tokens::Error> for Error {
    fn from(error: tokens::Error) -> Self {
        match error {
            tokens::Error::UnknownKey(key) => Self::TokenKey(format!("{key} is not granted")),
            tokens::Error::Invalid(reason) => Self::TokenKey(reason),
            tokens::Error::Expired => Self::TokenKey("expired".to_owned()),
        }
    }
}

impl From<Error> for http::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::InvalidCredentials => Self::new(401, "invalid_credentials", text),
            Error::AccountNotFound => Self::not_found("account_not_found", text),
            Error::Suspended => Self::new(403, "account_suspended", text),
            Error::MissingIdentifier => Self::bad_request("missing_identifier", text),
            Error::InvalidCountry(_) => Self::bad_request("invalid_country", text),
            Error::WalletNotEmpty { .. } => Self::conflict("wallet_not_empty", text),
            Error::SkusInOldCurrency { .. } => Self::conflict("skus_in_old_currency", text),
            Error::OpenDealings => Self::conflict("open_dealings", text),
            Error::MovedMeanwhile => Self::conflict("country_changed", text),
            Error::UsernameTaken => Self::conflict("conflict_username", text),
            Error::EmailTaken => Self::conflict("conflict_email", text),
            Error::PhoneTaken => Self::conflict("conflict_phone", text),
            Error::AvatarTaken => Self::conflict("conflict_avatar", text),
            Error::ResourceNotFound => Self::not_found("resource_not_found", text),
            Error::ContactNotFound => Self::not_found("contact_not_found", text),
            Error::ContactsFull { .. } => Self::conflict("contacts_full", text),
            Error::LastContact => Self::conflict("cannot_delete_last_contact", text),
            Error::CountryMismatch { .. } => Self::bad_request("address_country_mismatch", text),
            Error::EmptyAddress => Self::bad_request("empty_address", text),
            Error::AddressNotFound => Self::bad_request("address_not_found", text),
            Error::CountryUnresolved => Self::bad_request("address_country_unresolved", text),
            Error::GeocodingUnavailable(_) => {
                Self::unavailable("addresses cannot be checked at the moment").with_cause(text)
            }
            Error::PasswordTooLong => Self::invalid("password", "must have at most 1024 bytes"),
            Error::RefreshRefused | Error::CallerGone => Self::unauthorized(text),
            Error::Geocoding(_) | Error::TokenKey(_) | Error::Sql(_) | Error::Config(_) => Self::internal(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique(constraint: &str) -> http::Error {
        let error = sql::Error::Unique {
            constraint: constraint.to_owned(),
            table: "account".to_owned(),
        };
        Error::from(error).into()
    }

    #[test]
    fn a_taken_identifier_is_a_conflict_of_its_own() {
        for (constraint, code) in [
            ("account_username_key", "conflict_username"),
            ("account_email_key", "conflict_email"),
            ("account_phone_key", "conflict_phone"),
            ("profile_avatar_key", "conflict_avatar"),
        ] {
            assert_eq!((unique(constraint).status(), unique(constraint).code()), (409, code));
        }
        assert_eq!(unique("account_number_key").code(), "internal");
    }

    #[test]
    fn a_geocoder_that_is_down_is_come_back_to_and_one_that_is_missing_is_our_fault() {
        for (error, status, code) in [
            (geocoding::Error::Unavailable("down".to_owned()), 503, "unavailable"),
            (geocoding::Error::Other("none is granted".to_owned()), 500, "internal"),
        ] {
            let answer: http::Error = Error::from(error).into();
            assert_eq!((answer.status(), answer.code()), (status, code));
            assert!(!answer.message().contains("granted"), "{}", answer.message());
        }
    }

    #[test]
    fn a_country_mismatch_names_both_countries() {
        let error: http::Error = Error::CountryMismatch {
            resolved: "US".to_owned(),
            profile: "VN".to_owned(),
        }
        .into();
        assert_eq!(
            error.message(),
            "address_country_mismatch: address resolves to US, profile country is VN"
        );
    }
}
