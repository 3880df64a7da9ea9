//! Money inside the shop: what is captured, paid out and given back, each once.

use sdk::{AccountId, Money, trap};

use crate::{
    bindings::shop::{
        account::ledger::{self, Book, Transfer},
        common::types::Money as WireMoney,
    },
    domain::id::{ItemId, LegId, OrderId, SessionId},
};

/// Money that changes hands. What it is for is its id: it happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Movement {
    /// What a gateway took for a leg.
    Capture(LegId),
    /// What a carrier collected for an order.
    Collect(OrderId),
    /// The fee of a confirmation.
    Fee(SessionId),
    /// The fee of an order's confirmation, kept back from what its carrier collected.
    NettedFee(OrderId),
    /// What a seller is paid for an order.
    Payout(OrderId, AccountId),
    /// A leg's money that came when its session was over, to whoever paid it.
    Return(LegId, AccountId),
    /// A line's money, to its buyer.
    Refund(ItemId, AccountId),
}

impl Movement {
    fn transfer(self, amount: Money) -> Transfer {
        let wallet = |owner: AccountId| Book::Wallet(owner.to_string());
        let (id, source, destination, note) = match self {
            Self::Capture(leg) => (format!("capture:{leg}"), Book::World, Book::Escrow, "Paid at a gateway"),
            Self::Collect(order) => (
                format!("collect:{order}"),
                Book::World,
                Book::Escrow,
                "Collected at the door",
            ),
            Self::Fee(session) => (
                format!("fee:{session}"),
                Book::Escrow,
                Book::Revenue,
                "Confirmation fee",
            ),
            Self::NettedFee(order) => (
                format!("netted-fee:{order}"),
                Book::Escrow,
                Book::Revenue,
                "Confirmation fee, netted",
            ),
            Self::Payout(order, seller) => (format!("payout:{order}"), Book::Escrow, wallet(seller), "Payout"),
            Self::Return(leg, payer) => (format!("return:{leg}"), Book::Escrow, wallet(payer), "Refund"),
            Self::Refund(item, buyer) => (format!("refund-item:{item}"), Book::Escrow, wallet(buyer), "Refund"),
        };
        Transfer {
            id,
            source,
            destination,
            amount: WireMoney {
                amount_minor: amount.amount_minor,
                currency: amount.currency.to_string(),
            },
            note: note.to_owned(),
        }
    }
}

/// Makes these movements, all or none; nothing is moved for an amount of nothing. They are owed: a failure is tried again until they are
/// made, and a person is asked when that does not help.
pub(crate) fn post(movements: &[(Movement, Money)]) {
    let transfers: Vec<Transfer> = movements
        .iter()
        .filter(|(_, amount)| amount.amount_minor > 0)
        .map(|(movement, amount)| movement.transfer(*amount))
        .collect();
    if transfers.is_empty() {
        return;
    }
    if let Err(error) = ledger::post(&transfers) {
        trap(&format!("move {movements:?}: {error:?}"));
    }
}
