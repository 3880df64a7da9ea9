//! One line of a checkout.

use sdk::{AccountId, Currency, Timestamp};

use super::{
    id::{ItemId, OrderId, ReservationId, SessionId, SkuId, SpuId},
    session::Payment,
    shipping::Load,
};

/// A stored line. Pending until it has an order; claimed while a confirmation works on it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) id: ItemId,
    pub(crate) order_id: Option<OrderId>,
    /// The confirmation that claimed it.
    pub(crate) confirm_session_id: Option<SessionId>,
    /// The buyer.
    pub(crate) account_id: AccountId,
    pub(crate) seller_id: AccountId,
    pub(crate) sku_id: SkuId,
    pub(crate) spu_id: SpuId,
    pub(crate) slug: String,
    pub(crate) sku_name: String,
    pub(crate) address: String,
    pub(crate) note: Option<String>,
    pub(crate) serial_ids: Option<Vec<String>>,
    /// The numbers of its units were too long to be read with so many others: they are not here.
    pub(crate) is_abridged: bool,
    pub(crate) quantity: i64,
    /// Of one unit.
    pub(crate) weight_grams: i64,
    pub(crate) transport_option: String,
    /// Of all amounts.
    pub(crate) currency: Currency,
    pub(crate) subtotal_amount: i64,
    pub(crate) total_amount: i64,
    /// As much of the total as the buyer's wallet pays.
    pub(crate) wallet_amount: i64,
    pub(crate) payment_session_id: SessionId,
    pub(crate) reservation_id: ReservationId,
    pub(crate) date_created: Timestamp,
    pub(crate) date_cancelled: Option<Timestamp>,
    /// None is the system.
    pub(crate) cancelled_by_id: Option<AccountId>,
}

/// What was paid for a line, and has to be given back when it comes to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paid {
    pub(crate) from_wallet: i64,
    pub(crate) elsewhere: i64,
}

impl Item {
    /// What was paid for it when its checkout is this far.
    pub(crate) fn paid(&self, payment: Payment) -> Paid {
        let (from_wallet, elsewhere) = match payment {
            Payment::Settled => (self.wallet_amount, self.total_amount - self.wallet_amount),
            Payment::OnDelivery | Payment::Over => (self.wallet_amount, 0),
            // The wallet holds its share, and lets go of it with the checkout.
            Payment::Awaited => (0, 0),
        };
        Paid { from_wallet, elsewhere }
    }

    /// Confirmed, or claimed by a confirmation that may still fail.
    pub(crate) fn is_taken(&self) -> bool {
        self.order_id.is_some() || self.confirm_session_id.is_some()
    }

    /// Its share of the quote of its parcel, which its buyer has accepted.
    pub(crate) fn shipping_amount(&self) -> i64 {
        self.total_amount - self.subtotal_amount
    }

    /// What travels of it.
    pub(crate) fn load(&self) -> Load {
        Load {
            quantity: self.quantity,
            weight_grams: u32::try_from(self.weight_grams).unwrap_or(u32::MAX),
        }
    }

    /// Neither taken nor cancelled.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_taken() && self.date_cancelled.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample;

    #[test]
    fn what_a_wallet_holds_is_not_paid_before_the_rest_is() {
        let line = Item {
            total_amount: 115_000,
            wallet_amount: 40_000,
            ..sample::item(1)
        };
        for (payment, from_wallet, elsewhere) in [
            (Payment::Awaited, 0, 0),
            (Payment::Settled, 40_000, 75_000),
            (Payment::OnDelivery, 40_000, 0),
        ] {
            let paid = Paid { from_wallet, elsewhere };
            assert_eq!(line.paid(payment), paid, "{payment:?}");
        }
    }
}
