//! The platform's interfaces, generated once for every component ([`component!`](crate::component) maps to them).
#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    unused_qualifications,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]

wit_bindgen::generate!({
    world: "sdk",
    path: "../../wit",
    generate_all,
    generate_unused_types: true,
    additional_derives: [PartialEq],
});
