//! What takes more than one step: modules asked, transactions, tokens signed, in the order the lines stand.

pub(crate) mod contact;
pub(crate) mod country;
pub(crate) mod hold;
pub(crate) mod ledger;
pub(crate) mod login;
pub(crate) mod profile;
pub(crate) mod refresh;
pub(crate) mod register;
pub(crate) mod session;
