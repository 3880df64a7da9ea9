//! Answers `shop:geocoding/geocoder` from a table of countries, without a network.

pub mod country;

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "geocoding-provider", generate_all });
}

use bindings::exports::shop::geocoding::geocoder::{Error, Guest, Place, Target};
use country::Country;

struct Component;

impl Guest for Component {
    fn forward(_target: Target, address: String) -> Result<Option<Place>, Error> {
        if address.trim().is_empty() {
            return Ok(None);
        }
        let found = country::of_address(&address);
        Ok(Some(Place {
            country: found.map(|country| country.alpha2.to_owned()).unwrap_or_default(),
            latitude: found.map_or(0.0, |country| country.latitude),
            longitude: found.map_or(0.0, |country| country.longitude),
            address,
        }))
    }

    /// The centre of a country is all that is known here: what lies anywhere else is not guessed at.
    fn reverse(_target: Target, latitude: f64, longitude: f64) -> Result<Option<Place>, Error> {
        Ok(country::at(latitude, longitude).map(centre))
    }

    /// The text itself when its last part names a country, then the countries it may be the beginning of.
    fn search(target: Target, text: String, limit: u32) -> Result<Vec<Place>, Error> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let named = country::of_address(&text);
        let others = country::beginning_with(&text).filter(|country| named.as_ref() != Some(country));
        let others: Vec<Place> = others.map(centre).collect();
        let itself = if named.is_some() {
            Self::forward(target, text)?
        } else {
            None
        };
        Ok(itself.into_iter().chain(others).take(limit).collect())
    }
}

fn centre(country: Country) -> Place {
    Place {
        address: country.name(),
        country: country.alpha2.to_owned(),
        latitude: country.latitude,
        longitude: country.longitude,
    }
}

#[expect(unsafe_code, reason = "the component's entry points are generated")]
mod entry {
    use super::{Component, bindings};

    bindings::export!(Component with_types_in bindings);
}
