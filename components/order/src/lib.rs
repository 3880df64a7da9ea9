//! Cart, checkout, confirmation and orders.

mod domain;
mod error;
mod exports;
mod http;
mod peers;
mod store;
mod workflow;

sdk::component!("order", timer, promises, workflows, compensation);

use bindings::exports::{
    nexus::{
        durable::{compensate, scheduled},
        http::handler,
    },
    shop::order::{dealings, purchases, workflows},
};

struct Order;

bindings::export!(Order with_types_in bindings);

impl handler::Guest for Order {
    fn handle(request: handler::Request) -> handler::Response {
        http::ROUTER.handle(request)
    }
}

impl purchases::Guest for Order {
    fn has_purchased(buyer_id: String, order_id: String, sku_ids: Vec<String>) -> bool {
        exports::has_purchased(&buyer_id, &order_id, &sku_ids)
    }
}

impl dealings::Guest for Order {
    fn has_open(account_id: String) -> bool {
        exports::has_open(&account_id)
    }
}

impl workflows::Guest for Order {
    fn checkout(request: workflows::CheckoutRequest) -> Result<(), String> {
        exports::run_checkout(request)
    }

    fn confirm(request: workflows::ConfirmRequest) -> Result<(), String> {
        exports::run_confirm(request)
    }

    fn book(order_id: String) -> Result<(), String> {
        exports::run_book(&order_id)
    }

    fn missing(order_id: String) -> Result<(), String> {
        exports::run_missing(&order_id)
    }
}

impl scheduled::Guest for Order {
    fn run(name: String, argument: Vec<u8>) -> Result<(), String> {
        exports::run_scheduled(&name, &argument)
    }
}

impl compensate::Guest for Order {
    fn run(name: String, argument: Vec<u8>) -> Result<(), String> {
        sdk::compensate::<workflow::undo::Undo>(&name, &argument)
    }
}
