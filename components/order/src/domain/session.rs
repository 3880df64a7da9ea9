//! A payment session: one money intent.

use sdk::{AccountId, Currency, Timestamp};

use super::{id::SessionId, status::Status};

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BuyerCheckout,
    SellerConfirmationFee,
    SellerPayout,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BuyerCheckout => "buyer-checkout",
            Self::SellerConfirmationFee => "seller-confirmation-fee",
            Self::SellerPayout => "seller-payout",
        }
    }

    /// The label people see.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::BuyerCheckout => "Checkout",
            Self::SellerConfirmationFee => "Confirmation fee",
            Self::SellerPayout => "Payout",
        }
    }
}

/// A stored session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// As stored: kinds of later versions are passed through.
    pub(crate) kind: String,
    pub(crate) status: Status,
    /// Who pays; none is the platform.
    pub(crate) from_id: Option<AccountId>,
    /// Who is paid; none is the platform.
    pub(crate) to_id: Option<AccountId>,
    pub(crate) note: String,
    pub(crate) currency: Currency,
    pub(crate) total_amount: i64,
    pub(crate) collect_on_delivery: bool,
    pub(crate) data: serde_json::Value,
    pub(crate) date_created: Timestamp,
    pub(crate) date_paid: Option<Timestamp>,
    pub(crate) date_expired: Timestamp,
}

/// How far the money of a checkout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payment {
    /// The carrier will collect it: nothing moved yet, but the seller may send the goods.
    OnDelivery,
    /// The buyer has yet to pay.
    Awaited,
    /// It arrived.
    Settled,
    /// It ended without money.
    Over,
}

impl Session {
    pub(crate) fn payment(&self) -> Payment {
        match self.status {
            Status::Success => Payment::Settled,
            Status::Failed | Status::Cancelled => Payment::Over,
            Status::Pending | Status::Processing if self.collect_on_delivery => Payment::OnDelivery,
            Status::Pending | Status::Processing => Payment::Awaited,
        }
    }

    /// The option the buyer chose, kept in the session's data.
    pub(crate) fn payment_option(&self) -> Option<&str> {
        self.data.get("payment_option").and_then(serde_json::Value::as_str)
    }
}
