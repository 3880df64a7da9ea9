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
    let place = geocoder::forward(&first()?, address)?;
    place.ok_or(Error::AddressNotFound)
}

/// What is at these coordinates, which the place then has.
pub(crate) fn reverse(latitude: f64, longitude: f64) -> Result<Place, Error> {
    let place = geocoder::reverse(&first()?, latitude, longitude)?;
    place
        .map(|place| Place {
            latitude,
            longitude,
            ..place
        })
        .ok_or(Error::AddressNotFound)
}

/// The places a text may mean; none when the geocoder knows of none.
pub(crate) fn search(text: &str, limit: u32) -> Result<Vec<Place>, Error> {
    Ok(geocoder::search(&first()?, text.trim(), limit)?)
}

/// The geocoder that is asked.
fn first() -> Result<Target, Error> {
    let provider = providers::granted(INTERFACE).into_iter().next();
    provider.map(|provider| Target { provider }).ok_or(Error::NoGeocoder)
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unavailable(reason) => Self::GeocoderUnavailable(reason),
            Refusal::Other(reason) => Self::Geocoder(reason),
        }
    }
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
