//! What a commit leaves to be done in other modules.
//!
//! From the commit on it is owed, whatever becomes of who made it. So it is done twice: at once by who made the commit, so that its answer
//! finds it done, and later by a timer of that commit, should an operator have ended the other one in between. Both call what they do by the
//! same names, and it happens once.

use sdk::{AccountId, Money, sql::Transaction, timer};
use serde::{Deserialize, Serialize};

use crate::{
    domain::id::{ItemId, LegId, OrderId, ReservationId},
    peers::{
        inventory,
        ledger::{self, Movement},
    },
};

/// The timer; its argument is [`Owed`].
pub(crate) const TIMER: &str = "settle-owed";

/// By then it is done, unless something is wrong.
const DELAY_MS: u64 = 10_000;

/// Money that goes back to the buyer of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refund {
    pub(super) item: ItemId,
    pub(super) buyer: AccountId,
    pub(super) amount: Money,
}

/// Money that came from elsewhere when nothing was to be paid with it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Late {
    pub(super) leg: LegId,
    pub(super) payer: AccountId,
    pub(super) amount: Money,
}

/// What the platform had taken of an order that did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FeeBack {
    pub(super) order: OrderId,
    pub(super) seller: AccountId,
    pub(super) amount: Money,
}

/// What lines that came to nothing leave to be done, or money that came too late.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Owed {
    refunds: Vec<Refund>,
    released: Vec<ReservationId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    late: Vec<Late>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fee_back: Option<FeeBack>,
}

impl Owed {
    /// Owes this from the commit of the transaction on. [`Owed::settle`] follows it.
    pub(super) fn from_commit(tx: &Transaction, refunds: Vec<Refund>, released: Vec<ReservationId>) -> Self {
        let owed = Self {
            refunds,
            released,
            ..Self::default()
        };
        Self::schedule(tx, owed)
    }

    /// The same of money that came too late.
    pub(super) fn late(tx: &Transaction, late: Vec<Late>) -> Self {
        let owed = Self {
            late,
            ..Self::default()
        };
        Self::schedule(tx, owed)
    }

    /// The same of a fee.
    pub(super) fn fee_back(tx: &Transaction, fee_back: FeeBack) -> Self {
        let owed = Self {
            fee_back: Some(fee_back),
            ..Self::default()
        };
        Self::schedule(tx, owed)
    }

    fn schedule(_: &Transaction, owed: Self) -> Self {
        timer::schedule(TIMER, &owed, DELAY_MS);
        owed
    }

    /// Does it. A failure is tried again until it is done.
    pub(crate) fn settle(&self) {
        let refunds = self.refunds.iter();
        let movements: Vec<_> = refunds
            .map(|refund| (Movement::Refund(refund.item, refund.buyer), refund.amount))
            .collect();
        ledger::post(&movements);
        inventory::release_all(&self.released);
        // First that it came: a payer who lives elsewhere by now has no wallet that could take it, and a person has to look.
        let came = self.late.iter().map(|late| (Movement::Capture(late.leg), late.amount));
        ledger::post(&came.collect::<Vec<_>>());
        let returned = self
            .late
            .iter()
            .map(|late| (Movement::Return(late.leg, late.payer), late.amount));
        ledger::post(&returned.collect::<Vec<_>>());
        if let Some(fee) = self.fee_back {
            ledger::post(&[(Movement::FeeBack(fee.order, fee.seller), fee.amount)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is_stored_as(owed: &Owed, text: &str) {
        assert_eq!(serde_json::to_string(owed).unwrap(), text);
        assert_eq!(serde_json::from_str::<Owed>(text).unwrap(), *owed);
    }

    #[test]
    fn what_is_scheduled_stays_readable() {
        let id = "0190f5e3-0000-7000-8000-000000000001";
        let owed = Owed {
            refunds: vec![Refund {
                item: ItemId(7),
                buyer: id.parse().unwrap(),
                amount: Money::new(500, "VND".parse().unwrap()),
            }],
            released: vec![ReservationId(id.parse().unwrap())],
            ..Owed::default()
        };
        let text = format!(
            r#"{{"refunds":[{{"item":7,"buyer":"{id}","amount":{{"amount_minor":500,"currency":"VND"}}}}],"released":["{id}"]}}"#
        );
        is_stored_as(&owed, &text);

        let late = Owed {
            late: vec![Late {
                leg: LegId(id.parse().unwrap()),
                payer: id.parse().unwrap(),
                amount: Money::new(500, "VND".parse().unwrap()),
            }],
            ..Owed::default()
        };
        let text = format!(
            r#"{{"refunds":[],"released":[],"late":[{{"leg":"{id}","payer":"{id}","amount":{{"amount_minor":500,"currency":"VND"}}}}]}}"#
        );
        is_stored_as(&late, &text);

        let fee_back = Owed {
            fee_back: Some(FeeBack {
                order: OrderId(id.parse().unwrap()),
                seller: id.parse().unwrap(),
                amount: Money::new(500, "VND".parse().unwrap()),
            }),
            ..Owed::default()
        };
        let text = format!(
            r#"{{"refunds":[],"released":[],"fee_back":{{"order":"{id}","seller":"{id}","amount":{{"amount_minor":500,"currency":"VND"}}}}}}"#
        );
        is_stored_as(&fee_back, &text);
    }
}
