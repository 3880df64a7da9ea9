//! Products, variants, categories and tags.

mod domain;
mod error;
mod exports;
mod http;
mod seller;
mod stock;
mod store;

sdk::component!("catalog");

use bindings::exports::{
    nexus::http::handler,
    shop::catalog::{products, sellers},
};

struct Catalog;

bindings::export!(Catalog with_types_in bindings);

impl handler::Guest for Catalog {
    fn handle(request: handler::Request) -> handler::Response {
        http::ROUTER.handle(request)
    }
}

impl products::Guest for Catalog {
    fn get_skus(ids: Vec<String>) -> Vec<products::Sku> {
        exports::get_skus(&ids)
    }

    fn seller_of_sku(sku_id: String) -> Option<String> {
        exports::seller_of_sku(&sku_id)
    }
}

impl sellers::Guest for Catalog {
    fn priced_in(account_id: String, currency: String) -> u64 {
        exports::priced_in(&account_id, &currency)
    }
}
