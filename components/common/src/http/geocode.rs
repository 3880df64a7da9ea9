//! `/geocode`: where an address is.

use sdk::{
    Checks, Input,
    http::{Error, Request, Response},
    json,
};
use serde::{Deserialize, Serialize};

use crate::geocoding;

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

pub(super) fn forward(request: &Request) -> Result<Response, Error> {
    let input: ForwardInput = request.json()?;
    let place = geocoding::forward(&input.address)?;
    Response::data(&Geocoded {
        address: place.address,
        country_code: place.country,
        latitude: place.latitude,
        longitude: place.longitude,
    })
}
