//! Stock, serial numbers, reservations and the movement log.

mod account;
mod domain;
mod error;
mod exports;
mod http;
mod owner;
mod store;
mod workflow;

sdk::component!("inventory", timer);

use bindings::exports::{
    nexus::{durable::scheduled, http::handler},
    shop::inventory::{reservations, stocks},
};

struct Inventory;

bindings::export!(Inventory with_types_in bindings);

impl handler::Guest for Inventory {
    fn handle(request: handler::Request) -> handler::Response {
        http::ROUTER.handle(request)
    }
}

impl stocks::Guest for Inventory {
    fn create(sku_id: String) -> Result<stocks::Stock, stocks::Error> {
        exports::create_stock(&sku_id)
    }

    fn archive(sku_ids: Vec<String>) {
        exports::archive_stocks(&sku_ids);
    }

    fn get_many(sku_ids: Vec<String>) -> Vec<stocks::Stock> {
        exports::get_stocks(&sku_ids)
    }
}

impl reservations::Guest for Inventory {
    fn reserve(
        id: String,
        items: Vec<reservations::Item>,
        expires_ms: u64,
    ) -> Result<Vec<reservations::HeldItem>, reservations::Error> {
        exports::reserve(&id, items, expires_ms)
    }

    fn commit(id: String) -> Result<(), reservations::Error> {
        exports::commit(&id)
    }

    fn release(id: String) -> Result<(), reservations::Error> {
        exports::release(&id)
    }

    fn release_part(
        id: String,
        operation_id: String,
        sku_id: String,
        quantity: i64,
        serial_ids: Vec<String>,
    ) -> Result<(), reservations::Error> {
        exports::release_part(&id, &operation_id, &sku_id, quantity, serial_ids)
    }
}

impl scheduled::Guest for Inventory {
    fn run(name: String, argument: Vec<u8>) -> Result<(), String> {
        workflow::expire::run(&name, &argument)
    }
}
