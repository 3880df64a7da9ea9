//! The calls that need nobody else: the last link of the chain, prices, payments.

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
    wit_bindgen::generate!({
        world: "bench:leaf/leaf@0.1.0",
        path: ["../../bench/market/wit", "wit"],
        generate_all,
    });
}

use bindings::exports::bench::market::{payment, pricing, step};

struct Leaf;

impl step::Guest for Leaf {
    fn add(number: u32) -> u32 {
        number.wrapping_add(1)
    }
}

impl pricing::Guest for Leaf {
    fn quote(item: i64, quantity: i64) -> i64 {
        (100 + item % 900) * quantity
    }
}

impl payment::Guest for Leaf {
    fn charge(buyer: i64, amount: i64) -> String {
        format!("{buyer}-{amount}")
    }
}

// Symbols of components have names that only wasm has: a native build has nobody who would call them.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated: the component's entry points")]
mod entry {
    use super::{Leaf, bindings};

    bindings::export!(Leaf with_types_in bindings);
}

// Names the type, so that what it implements is not dead code where nothing is exported.
const _: Option<Leaf> = None;
