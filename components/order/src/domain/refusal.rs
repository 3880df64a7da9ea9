//! A failure that is told by somebody other than who noticed it: it travels through a promise, or waits in a row.

use serde::{Deserialize, Serialize};

use super::{id::SessionId, session::Kind};
use crate::error::Error;

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    /// Without the code.
    pub(crate) message: String,
    /// The checkout that is kept and can still be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kept_checkout: Option<SessionId>,
}

/// Where a payment continues, once that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Continuation {
    /// There; empty when there is nothing to do.
    At(String),
    /// Nowhere, and why.
    Refused(Refusal),
}

impl Kind {
    /// The failure of a session that somebody cancelled.
    pub(crate) fn cancelled(self) -> Error {
        match self {
            Self::BuyerCheckout | Self::SellerPayout => Error::CheckoutCancelled,
            Self::SellerConfirmationFee => Error::ConfirmCancelled,
        }
    }

    /// The failure of a session that nobody paid in time.
    pub(crate) fn expired(self) -> Error {
        match self {
            Self::BuyerCheckout | Self::SellerPayout => Error::CheckoutExpired,
            Self::SellerConfirmationFee => Error::ConfirmExpired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_stays_readable() {
        let refused = Continuation::Refused(Refusal {
            status: 409,
            code: "checkout_expired".to_owned(),
            message: "the checkout expired".to_owned(),
            kept_checkout: None,
        });
        let text = r#"{"refused":{"status":409,"code":"checkout_expired","message":"the checkout expired"}}"#;
        assert_eq!(serde_json::to_string(&refused).unwrap(), text);
        assert_eq!(serde_json::from_str::<Continuation>(text).unwrap(), refused);
        let id = "0190f5e3-0000-7000-8000-000000000001";
        let declined = Continuation::Refused(Refusal {
            status: 402,
            code: "payment_failed".to_owned(),
            message: "no money".to_owned(),
            kept_checkout: Some(SessionId(id.parse().unwrap())),
        });
        let text = format!(
            r#"{{"refused":{{"status":402,"code":"payment_failed","message":"no money","kept_checkout":"{id}"}}}}"#
        );
        assert_eq!(serde_json::to_string(&declined).unwrap(), text);
        assert_eq!(serde_json::from_str::<Continuation>(&text).unwrap(), declined);
        assert_eq!(
            serde_json::from_str::<Continuation>(r#"{"at":"http://pay"}"#).unwrap(),
            Continuation::At("http://pay".to_owned())
        );
    }
}
