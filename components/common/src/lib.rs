//! Options and geocoding for every module.

mod account;
mod error;
mod geocoding;
mod http;
mod options;

sdk::component!("common");

use bindings::exports::{nexus::http::handler, shop::common::geocoding as exported};

struct Common;

bindings::export!(Common with_types_in bindings);

impl handler::Guest for Common {
    fn handle(request: handler::Request) -> handler::Response {
        http::ROUTER.handle(request)
    }
}

impl exported::Guest for Common {
    fn resolve(address: String) -> Result<exported::Place, exported::Error> {
        let place = geocoding::resolve(&address)?;
        Ok(exported::Place {
            address: place.address,
            country: place.country,
            latitude: place.latitude,
            longitude: place.longitude,
        })
    }
}
