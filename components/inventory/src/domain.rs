//! Types and rules of quantities. No host calls: everything here runs in a plain `cargo test`.

pub(crate) mod owner;
pub(crate) mod reservation;
pub(crate) mod serial;
pub(crate) mod stock;
