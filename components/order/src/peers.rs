//! What this module asks of others: one file per module, in this module's own types and failures.

pub(crate) mod account;
pub(crate) mod carriers;
pub(crate) mod catalog;
pub(crate) mod flows;
pub(crate) mod geocoding;
pub(crate) mod inventory;
pub(crate) mod ledger;
pub(crate) mod payments;
pub(crate) mod webhook;

use sdk::Money;

use crate::{
    bindings::{nexus::link::types::Target, shop::common::types::Money as WireMoney},
    error::Error,
};

/// A failure of another module that nobody here can act on.
fn failed(module: &'static str, reason: impl Into<String>) -> Error {
    Error::Peer {
        module,
        reason: reason.into(),
    }
}

/// A provider, as the one that a call is for.
fn target(provider: &str) -> Target {
    Target {
        provider: provider.to_owned(),
    }
}

/// Whether a text of somebody else's can be kept: the database takes no NUL.
fn can_be_kept(text: &str, max_chars: usize) -> bool {
    !text.contains('\0') && text.chars().count() <= max_chars
}

/// An amount, as others are told it.
fn wire_money(amount: Money) -> WireMoney {
    WireMoney {
        amount_minor: amount.amount_minor,
        currency: amount.currency.to_string(),
    }
}

/// An id another module gave us.
fn id<T: std::str::FromStr>(module: &'static str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| failed(module, format!("`{text}` is no id")))
}
