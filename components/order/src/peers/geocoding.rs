//! Where an address is.

use super::failed;
use crate::{
    bindings::shop::common::geocoding::{self, Error as Refusal},
    error::Error,
};

/// The country of an address, ISO 3166-1 alpha-2.
pub(crate) fn country(address: &str) -> Result<String, Error> {
    let place = geocoding::resolve(address).map_err(|error| match error {
        Refusal::EmptyAddress => Error::EmptyAddress,
        Refusal::NotFound => Error::AddressNotFound,
        Refusal::CountryUnresolved => Error::AddressCountryUnresolved,
        Refusal::Unavailable(reason) => Error::GeocoderUnavailable(reason),
        Refusal::Other(reason) => failed("common", reason),
    })?;
    Ok(place.country)
}
