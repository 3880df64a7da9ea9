//! The entry of the comparison with Restate: what a client asks for, written as a module of an application is.

#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    unused_qualifications,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod bindings {
    sdk::wit_bindgen::generate!({
        world: "bench:checkout/checkout@0.1.0",
        path: ["../../../wit", "../../bench/market/wit", "wit"],
        runtime_path: "::sdk::wit_bindgen::rt",
        generate_all,
        additional_derives: [PartialEq],
        with: {
            "nexus:durable/invocation@0.1.0": ::sdk::bindings::nexus::durable::invocation,
            "nexus:durable/derived@0.1.0": ::sdk::bindings::nexus::durable::derived,
            "nexus:log/log@0.1.0": ::sdk::bindings::nexus::log::log,
            "nexus:http/types@0.1.0": ::sdk::bindings::nexus::http::types,
        },
    });
}

use bindings::bench::market::orders::{self, Paid};
use bindings::bench::market::{payment, pricing, step, stock};
use bindings::exports::nexus::http::handler;
use sdk::http::{Error, Request, Response, Router};
use sdk::{Checks, Input, routes};
use serde::{Deserialize, Serialize};

const ROUTER: Router = Router::new(&routes![
    POST "/market/empty" for anyone => empty,
    POST "/market/chain" for anyone => chain,
    POST "/market/checkout" for anyone => checkout,
]);

struct Checkout;

impl handler::Guest for Checkout {
    fn handle(request: handler::Request) -> handler::Response {
        ROUTER.handle(request)
    }
}

// Symbols of components have names that only wasm has: a native build has nobody who would call them.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated: the component's entry points")]
mod entry {
    use super::{Checkout, bindings};

    bindings::export!(Checkout with_types_in bindings);
}

// Names the type, so that what it implements is not dead code where nothing is exported.
const _: Option<Checkout> = None;

#[derive(Deserialize)]
#[serde(transparent)]
struct Number(u32);

impl Input for Number {
    fn check(&self, _checks: &mut Checks) {}
}

#[derive(Deserialize)]
struct Order {
    item: i64,
    quantity: i64,
    buyer: i64,
}

impl Input for Order {
    fn check(&self, checks: &mut Checks) {
        checks.require(
            "quantity",
            (1..=1000).contains(&self.quantity),
            "must be from 1 to 1000",
        );
    }
}

#[derive(Serialize)]
struct Receipt {
    purchase: i64,
    amount: i64,
}

fn empty(request: &Request) -> Result<Response, Error> {
    let Number(number) = request.json()?;
    Response::data(&number)
}

/// The first link of the chain.
fn chain(request: &Request) -> Result<Response, Error> {
    let Number(number) = request.json()?;
    Response::data(&step::add(number).wrapping_add(1))
}

fn checkout(request: &Request) -> Result<Response, Error> {
    let Order { item, quantity, buyer } = request.json()?;
    let amount = pricing::quote(item, quantity);
    let refused = |why: String| Error::conflict("refused", why);
    let reservation = stock::reserve(item, quantity).map_err(refused)?;
    let receipt = payment::charge(buyer, amount);
    let paid = Paid {
        buyer,
        reservation,
        amount,
        receipt,
    };
    let purchase = orders::place(&paid).map_err(refused)?;
    Response::data(&Receipt { purchase, amount })
}
