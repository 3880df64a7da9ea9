//! A payment session: one money intent.

use sdk::{AccountId, Currency, Timestamp};
use serde_json::Value;

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
    pub(crate) data: Value,
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

    /// As much of a fee as its seller has paid, by wallet or elsewhere, beyond the carriage: what the platform has taken. What is kept back of an
    /// order is paid with the order, and pays for that part first.
    pub(crate) fn platform_amount_paid(&self) -> i64 {
        let amount = |name| self.data.get(name).and_then(Value::as_i64).unwrap_or(0);
        let is_netted = self.data.get("netted").and_then(Value::as_bool).unwrap_or(false);
        let paid = if is_netted {
            amount("wallet_amount")
        } else {
            self.total_amount
        };
        (paid - amount("shipping_amount"))
            .min(amount("platform_fee_amount"))
            .max(0)
    }

    /// The option the buyer chose, kept in the session's data.
    pub(crate) fn payment_option(&self) -> Option<&str> {
        self.data.get("payment_option").and_then(Value::as_str)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::sample;

    #[test]
    fn what_the_platform_was_paid_is_what_was_paid_beyond_the_carriage() {
        let paid = |total_amount, data| {
            let fee = Session {
                total_amount,
                data,
                ..sample::session()
            };
            fee.platform_amount_paid()
        };
        let data = |netted, wallet| json!({ "netted": netted, "shipping_amount": 15_000, "platform_fee_amount": 3_500, "wallet_amount": wallet });
        // By a wallet and a gateway, in whichever parts.
        assert_eq!(paid(18_500, data(false, 0)), 3_500);
        assert_eq!(paid(18_500, data(false, 18_500)), 3_500);
        // Kept back, which it is not of an order that does not arrive; what the wallet had paid of it went to the carriage first.
        assert_eq!(paid(18_500, data(true, 0)), 0);
        assert_eq!(paid(18_500, data(true, 10_000)), 0);
        assert_eq!(paid(18_500, data(true, 16_000)), 1_000);
        // From before the platform took anything.
        assert_eq!(paid(15_000, json!({ "netted": false, "shipping_amount": 15_000 })), 0);
    }
}
