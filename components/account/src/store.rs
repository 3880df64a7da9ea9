//! The module's tables: one file each, one function per query, the SQL in sight.

pub(crate) mod account;
pub(crate) mod contact;
pub(crate) mod hold;
pub(crate) mod ledger;
pub(crate) mod profile;
pub(crate) mod refresh;
