//! The module's failures, and the only place that gives them codes.

use sdk::http;

use crate::bindings::exports::shop::common::geocoding;

/// What a request or a call of another module can fail with.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Error {
    #[error("address is empty")]
    EmptyAddress,
    #[error("address could not be located")]
    AddressNotFound,
    #[error("could not verify address country (no country in geocode result)")]
    AddressCountryUnresolved,
    #[error("the geocoder does not answer: {0}")]
    GeocoderUnavailable(String),
    #[error("ask the geocoder: {0}")]
    Geocoder(String),
    #[error("no geocoding provider is granted")]
    NoGeocoder,
    #[error("ask the account module: {0}")]
    Account(String),
}

impl From<Error> for http::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::EmptyAddress => Self::bad_request("empty_address", text),
            Error::AddressNotFound => Self::bad_request("address_not_found", text),
            Error::AddressCountryUnresolved => Self::bad_request("address_country_unresolved", text),
            Error::GeocoderUnavailable(_) => {
                Self::unavailable("addresses cannot be looked up at the moment").with_cause(text)
            }
            Error::Geocoder(_) | Error::NoGeocoder | Error::Account(_) => Self::internal(text),
        }
    }
}

impl From<Error> for geocoding::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::EmptyAddress => Self::EmptyAddress,
            Error::AddressNotFound => Self::NotFound,
            Error::AddressCountryUnresolved => Self::CountryUnresolved,
            Error::GeocoderUnavailable(reason) => Self::Unavailable(reason),
            Error::Geocoder(_) | Error::NoGeocoder | Error::Account(_) => Self::Other(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_no_use_is_the_callers_fault() {
        for (error, status, code) in [
            (Error::EmptyAddress, 400, "empty_address"),
            (Error::AddressNotFound, 400, "address_not_found"),
            (Error::AddressCountryUnresolved, 400, "address_country_unresolved"),
            (Error::GeocoderUnavailable("down".into()), 503, "unavailable"),
            (Error::NoGeocoder, 500, "internal"),
        ] {
            let answer = http::Error::from(error);
            assert_eq!((answer.status(), answer.code()), (status, code));
        }
    }
}
