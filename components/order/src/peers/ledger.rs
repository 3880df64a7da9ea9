//! Money inside the shop: what is captured, paid out and given back, each once.

use sdk::{AccountId, Money, trap, try_again};

use super::{failed, id, wire_money};
use crate::{
    bindings::shop::account::ledger::{self, Book, Transfer},
    domain::{
        id::{ItemId, LegId, OrderId, SessionId},
        session::Kind,
    },
    error::Error,
};

const MODULE: &str = "account";

/// Money that changes hands. What it is for is its id: it happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Movement {
    /// What a gateway took for a leg.
    Capture(LegId),
    /// What a carrier collected for an order.
    Collect(OrderId),
    /// The fee of a confirmation.
    Fee(SessionId),
    /// What the platform had taken of an order that did not arrive, to its seller.
    FeeBack(OrderId, AccountId),
    /// The fee of an order's confirmation, kept back from what its carrier collected.
    NettedFee(OrderId),
    /// What a seller is paid for an order.
    Payout(OrderId, AccountId),
    /// A leg's money that came when its session was over, to whoever paid it.
    Return(LegId, AccountId),
    /// A line's money, to its buyer.
    Refund(ItemId, AccountId),
}

/// The id of what a wallet pays for a session.
fn spent(kind: Kind, session: SessionId) -> String {
    match kind {
        Kind::BuyerCheckout | Kind::SellerPayout => format!("checkout:{session}"),
        Kind::SellerConfirmationFee => format!("confirm:{session}"),
    }
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
            Self::FeeBack(order, seller) => (
                format!("platform-fee-back:{order}"),
                Book::Revenue,
                wallet(seller),
                "Platform fee, given back",
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
            amount: wire_money(amount),
            note: note.to_owned(),
        }
    }
}

/// Makes these movements, all or none; nothing is moved for an amount of nothing. They are owed: a failure is tried again until they are
/// made, and a person is asked when that does not help. What is not there yet is owed by somebody else, who is about to move it.
pub(crate) fn post(movements: &[(Movement, Money)]) {
    let transfers: Vec<Transfer> = movements
        .iter()
        .filter(|(_, amount)| amount.amount_minor > 0)
        .map(|(movement, amount)| movement.transfer(*amount))
        .collect();
    if transfers.is_empty() {
        return;
    }
    match ledger::post(&transfers) {
        Ok(()) => {}
        Err(ledger::Error::Insufficient(id)) => try_again(&format!("{id}: its source has too little")),
        Err(error) => trap(&format!("move {movements:?}: {error:?}")),
    }
}

/// What an account's wallet can pay.
pub(crate) fn balance(account: AccountId) -> Result<Money, Error> {
    let held = ledger::balance(&account.to_string()).map_err(refused)?;
    Ok(Money::new(held.amount_minor, id(MODULE, &held.currency)?))
}

/// Holds what an account's wallet is to pay for a session, all of it or nothing: nobody else can have it from now on.
pub(crate) fn hold(kind: Kind, session: SessionId, payer: AccountId, amount: Money) -> Result<(), Error> {
    let share = Transfer {
        id: spent(kind, session),
        source: Book::Wallet(payer.to_string()),
        destination: Book::Escrow,
        amount: wire_money(amount),
        note: kind.note().to_owned(),
    };
    ledger::hold(&share).map_err(refused)
}

/// Takes what a wallet holds for a session, which is paid. It is owed, as above.
pub(crate) fn capture(kind: Kind, session: SessionId) {
    let id = spent(kind, session);
    if let Err(error) = ledger::capture(&id) {
        trap(&format!("capture {id}: {error:?}"));
    }
}

/// Lets go of what a wallet holds for a session, which is not paid. Nothing happens when it holds nothing, and it never will then.
pub(crate) fn release(kind: Kind, session: SessionId) -> Result<(), Error> {
    ledger::release(&spent(kind, session)).map_err(refused)
}

fn refused(error: ledger::Error) -> Error {
    match error {
        ledger::Error::Insufficient(_) => Error::WalletInsufficient,
        ledger::Error::AccountNotFound(_) => Error::EntityNotFound("account"),
        ledger::Error::Conflict(id) => failed(MODULE, format!("another transfer has the id {id}")),
        ledger::Error::Invalid(reason) | ledger::Error::Other(reason) => failed(MODULE, reason),
    }
}
