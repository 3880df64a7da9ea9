//! A link of the chain: what the next one answers, and one more.

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
        world: "bench:link/link@0.1.0",
        path: ["../../bench/market/wit", "wit"],
        generate_all,
    });
}

use bindings::bench::market::step as next;
use bindings::exports::bench::market::step::Guest;

struct Link;

impl Guest for Link {
    fn add(number: u32) -> u32 {
        next::add(number).wrapping_add(1)
    }
}

// Symbols of components have names that only wasm has: a native build has nobody who would call them.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated: the component's entry points")]
mod entry {
    use super::{Link, bindings};

    bindings::export!(Link with_types_in bindings);
}

// Names the type, so that what it implements is not dead code where nothing is exported.
const _: Option<Link> = None;
