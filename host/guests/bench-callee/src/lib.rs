//! Answers calls with small arguments, so that what a call costs is the crossing.

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
    wit_bindgen::generate!({ world: "callee", path: "wit" });
}

use bindings::exports::bench::callee::small::Guest;

struct Callee;

impl Guest for Callee {
    fn add(a: u32, b: u32, name: String) -> u32 {
        a.wrapping_add(b).wrapping_add(name.len() as u32)
    }
}

// Symbols of components have names that only wasm has: a native build has nobody who would call them.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated: the component's entry points")]
mod entry {
    use super::{Callee, bindings};

    bindings::export!(Callee with_types_in bindings);
}

// Names the type, so that what it implements is not dead code where nothing is exported.
const _: Option<Callee> = None;
