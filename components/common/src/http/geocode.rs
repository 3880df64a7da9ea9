//! `/geocode`: where an address is, what is at a place, and what a text may mean.

use sdk::{
    Checks, Input,
    http::{Error, Request, Response},
    json,
};
use serde::{Deserialize, Serialize};

use crate::{bindings::shop::geocoding::geocoder::Place, geocoding};

/// What a search without a limit of its own, or with one that is none, returns at most.
const DEFAULT_LIMIT: u32 = 5;
const MAX_LIMIT: u32 = 10;

#[derive(Debug, Deserialize)]
struct ForwardInput {
    #[serde(default, deserialize_with = "json::null_as_default")]
    address: String,
}

impl Input for ForwardInput {
    fn check(&self, checks: &mut Checks) {
        checks.text("address", self.address.as_str()).required();
    }
}

/// A place as clients read it.
#[derive(Debug, Serialize)]
struct Geocoded {
    address: String,
    /// ISO 3166-1 alpha-2; empty when it is not known.
    country_code: String,
    latitude: f64,
    longitude: f64,
}

impl From<Place> for Geocoded {
    fn from(place: Place) -> Self {
        Self {
            address: place.address,
            country_code: place.country,
            latitude: place.latitude,
            longitude: place.longitude,
        }
    }
}

pub(super) fn forward(request: &Request) -> Result<Response, Error> {
    let input: ForwardInput = request.json()?;
    let place = geocoding::forward(&input.address)?;
    Response::data(&Geocoded::from(place))
}

#[derive(Debug, Deserialize)]
struct ReverseInput {
    #[serde(default, deserialize_with = "json::optional_number")]
    latitude: Option<f64>,
    #[serde(default, deserialize_with = "json::optional_number")]
    longitude: Option<f64>,
}

impl Input for ReverseInput {
    // Zero is a place: the equator, Greenwich.
    fn check(&self, checks: &mut Checks) {
        for (field, value, bound) in [("latitude", self.latitude, 90.0), ("longitude", self.longitude, 180.0)] {
            checks.float(field, value).present().min(-bound).max(bound);
            // A number that came as a text may be none.
            checks.require(field, value.is_none_or(f64::is_finite), "must be a number");
        }
    }
}

pub(super) fn reverse(request: &Request) -> Result<Response, Error> {
    let input: ReverseInput = request.json()?;
    let place = geocoding::reverse(input.latitude.unwrap_or_default(), input.longitude.unwrap_or_default())?;
    Response::data(&Geocoded::from(place))
}

pub(super) fn search(request: &Request) -> Result<Response, Error> {
    let text: Option<String> = request.query().get("q")?;
    let mut checks = Checks::new();
    checks
        .text("q", text.as_deref().map(str::trim))
        .required()
        .min(2)
        .max(500);
    checks.finish()?;
    let limit = limit(request.query().get("limit")?);
    let places = geocoding::search(&text.unwrap_or_default(), limit)?;
    let places: Vec<Geocoded> = places.into_iter().map(Geocoded::from).collect();
    Response::list(&places)
}

/// From 1 to 10; whatever else a client asks for is the default.
fn limit(asked: Option<String>) -> u32 {
    let asked = asked.and_then(|asked| asked.parse().ok());
    asked
        .filter(|asked| (1..=MAX_LIMIT).contains(asked))
        .unwrap_or(DEFAULT_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(body: &str) -> String {
        let input: ReverseInput = serde_json::from_str(body).unwrap();
        let mut checks = Checks::new();
        input.check(&mut checks);
        checks
            .finish()
            .map_or_else(|error| error.message().to_owned(), |()| String::new())
    }

    #[test]
    fn the_equator_and_greenwich_are_places_and_what_lies_beyond_the_poles_is_none() {
        assert_eq!(failures(r#"{"latitude":0,"longitude":0.0}"#), "");
        assert_eq!(failures(r#"{"latitude":-90,"longitude":"180"}"#), "");
        assert_eq!(
            failures("{}"),
            r#"validation: {"latitude":"is required","longitude":"is required"}"#
        );
        for (body, field) in [
            (r#"{"latitude":90.1,"longitude":0}"#, "latitude"),
            (r#"{"latitude":0,"longitude":-180.1}"#, "longitude"),
            (r#"{"latitude":"NaN","longitude":0}"#, "latitude"),
        ] {
            assert!(failures(body).contains(&format!("\"{field}\"")), "{body}");
        }
    }

    #[test]
    fn a_limit_that_is_none_is_the_default() {
        for (asked, meant) in [("1", 1), ("10", 10), ("0", 5), ("11", 5), ("-1", 5), ("many", 5)] {
            assert_eq!(limit(Some(asked.to_owned())), meant, "{asked}");
        }
        assert_eq!(limit(None), 5);
    }
}
