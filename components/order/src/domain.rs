//! Types and rules of buying. No host calls: everything here runs in a plain `cargo test`.

pub(crate) mod booking;
pub(crate) mod cancellation;
pub(crate) mod cart;
pub(crate) mod checkout;
pub(crate) mod confirmation;
pub(crate) mod id;
pub(crate) mod item;
pub(crate) mod order;
pub(crate) mod parcel;
pub(crate) mod payment;
pub(crate) mod refusal;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod session;
pub(crate) mod shipping;
pub(crate) mod status;
