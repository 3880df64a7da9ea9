//! Types and rules of accounts; no host calls, so plain `cargo test` covers them.

pub(crate) mod contact;
pub(crate) mod country;
pub(crate) mod hold;
pub(crate) mod identifier;
pub(crate) mod ledger;
pub(crate) mod password;
pub(crate) mod profile;
pub(crate) mod token;
