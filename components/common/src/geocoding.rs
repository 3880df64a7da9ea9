//! Where an address is, by the first granted geocoder.

use crate::{
    bindings::{
        nexus::link::{providers, types::Target},
        shop::geocoding::geocoder::{self, Error as Refusal, Place},
    },
    error::Error,
};

const INTERFACE: &str = "shop:geocoding/geocoder";

/// The place of an address; its country is empty when the geocoder does not know it.
pub(crate) fn forward(address: &str) -> Result<Place, Error> {
    let address = trimmed(address)?;
    let provider = providers::granted(INTERFACE)
        .into_iter()
        .next()
        .ok_or(Error::NoGeocoder)?;
    let place = geocoder::forward(&Target { provider }, address).map_err(|error| match error {
        Refusal::Unavailable(reason) => Error::GeocoderUnavailable(reason),
        Refusal::Other(reason) => Error::Geocoder(reason),
    })?;
    place.ok_or(Error::AddressNotFound)
}

/// The place of an address whose country must be known.
pub(crate) fn resolve(address: &str) -> Result<Place, Error> {
    with_country(forward(address)?)
}

fn trimmed(address: &str) -> Result<&str, Error> {
    Some(address.trim())
        .filter(|address| !address.is_empty())
        .ok_or(Error::EmptyAddress)
}

fn with_country(place: Place) -> Result<Place, Error> {
    if place.country.is_empty() {
        Err(Error::AddressCountryUnresolved)
    } else {
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_no_address() {
        assert_eq!(trimmed(" \t\n"), Err(Error::EmptyAddress));
        assert_eq!(trimmed(" Ha Noi, VN "), Ok("Ha Noi, VN"));
    }

    #[test]
    fn a_place_without_a_country_does_not_resolve() {
        let place = |country: &str| Place {
            address: "x".to_owned(),
            country: country.to_owned(),
            latitude: 0.0,
            longitude: 0.0,
        };
        assert_eq!(with_country(place("")), Err(Error::AddressCountryUnresolved));
        assert_eq!(with_country(place("VN")), Ok(place("VN")));
    }
}
