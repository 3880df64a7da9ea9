//! Who may cancel which lines before a seller confirms them.

use std::collections::BTreeMap;

use sdk::AccountId;

use super::{
    id::{ItemId, SessionId},
    item::Item,
    session::{Payment, Session},
};
use crate::error::Error;

/// How much ends when a buyer cancels one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The line alone.
    Item,
    /// The whole checkout: its one payment was not made yet, and is not asked for in part.
    Checkout,
}

/// What ends when the buyer cancels this line of hers.
pub(crate) fn by_buyer(item: &Item, session: &Session) -> Result<Extent, Error> {
    check_open(item)?;
    match session.payment() {
        // What was paid for it goes back.
        Payment::OnDelivery | Payment::Settled => Ok(Extent::Item),
        Payment::Awaited => Ok(Extent::Checkout),
        Payment::Over => Err(Error::ItemAlreadyCancelled(item.id.0)),
    }
}

/// Checks that this seller may reject all these lines. Lines and sessions are as they are stored.
pub(crate) fn by_seller(
    ids: &[ItemId],
    items: &[Item],
    sessions: &BTreeMap<SessionId, Session>,
    seller: AccountId,
) -> Result<(), Error> {
    if items.len() != ids.len() {
        return Err(Error::ItemNotFound);
    }
    for item in items {
        if item.seller_id != seller {
            return Err(Error::ItemNotOwnedBySeller(item.id.0));
        }
        check_open(item)?;
        match sessions.get(&item.payment_session_id).map(Session::payment) {
            Some(Payment::OnDelivery | Payment::Settled) => {}
            Some(Payment::Over) => return Err(Error::ItemAlreadyCancelled(item.id.0)),
            // The seller does not see it yet, and rejecting it would end lines of other sellers.
            Some(Payment::Awaited) | None => return Err(Error::ItemNotFound),
        }
    }
    Ok(())
}

/// The lines that end when a checkout is cancelled: those no seller has taken. None of them left is a refusal.
pub(crate) fn of_checkout(items: &[Item]) -> Result<Vec<&Item>, Error> {
    let open: Vec<&Item> = items.iter().filter(|item| item.is_open()).collect();
    match items.iter().find(|item| item.is_taken()) {
        Some(taken) if open.is_empty() => Err(Error::ItemAlreadyConfirmed(taken.id.0)),
        _ => Ok(open),
    }
}

fn check_open(item: &Item) -> Result<(), Error> {
    if item.date_cancelled.is_some() {
        return Err(Error::ItemAlreadyCancelled(item.id.0));
    }
    if item.is_taken() {
        return Err(Error::ItemAlreadyConfirmed(item.id.0));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sdk::Timestamp;

    use super::*;
    use crate::domain::{
        sample::{self, SELLER, STRANGER},
        status::Status,
    };

    fn cancelled(id: i64) -> Item {
        Item {
            date_cancelled: Some(Timestamp::from_ms(1)),
            ..sample::item(id)
        }
    }

    fn claimed(id: i64) -> Item {
        Item {
            confirm_session_id: Some(sample::session().id),
            ..sample::item(id)
        }
    }

    fn reject(ids: &[i64], items: &[Item], session: Session) -> Result<(), Error> {
        let ids: Vec<_> = ids.iter().copied().map(ItemId).collect();
        by_seller(&ids, items, &BTreeMap::from([(session.id, session)]), SELLER)
    }

    #[test]
    fn a_buyer_cancels_one_line_of_what_is_paid_or_paid_at_the_door_and_all_of_what_is_still_to_be_paid() {
        assert_eq!(by_buyer(&sample::item(1), &sample::session()).unwrap(), Extent::Item);
        let paid = Session {
            status: Status::Success,
            ..sample::session()
        };
        assert_eq!(by_buyer(&sample::item(1), &paid).unwrap(), Extent::Item);
        let awaited = Session {
            collect_on_delivery: false,
            ..sample::session()
        };
        assert_eq!(by_buyer(&sample::item(1), &awaited).unwrap(), Extent::Checkout);
    }

    #[test]
    fn a_buyer_cannot_cancel_what_is_taken_or_ended() {
        let session = sample::session();
        assert!(matches!(
            by_buyer(&claimed(1), &session),
            Err(Error::ItemAlreadyConfirmed(1))
        ));
        assert!(matches!(
            by_buyer(&cancelled(1), &session),
            Err(Error::ItemAlreadyCancelled(1))
        ));
        let failed = Session {
            status: Status::Failed,
            ..sample::session()
        };
        assert!(matches!(
            by_buyer(&sample::item(1), &failed),
            Err(Error::ItemAlreadyCancelled(1))
        ));
    }

    #[test]
    fn a_seller_rejects_open_lines_of_his_own_that_he_can_see() {
        let session = sample::session;
        assert!(reject(&[1, 2], &[sample::item(1), sample::item(2)], session()).is_ok());
        assert!(matches!(
            reject(&[1, 2], &[sample::item(1)], session()),
            Err(Error::ItemNotFound)
        ));
        let foreign = Item {
            seller_id: STRANGER,
            ..sample::item(1)
        };
        assert!(matches!(
            reject(&[1], &[foreign], session()),
            Err(Error::ItemNotOwnedBySeller(1))
        ));
        assert!(matches!(
            reject(&[1], &[claimed(1)], session()),
            Err(Error::ItemAlreadyConfirmed(1))
        ));
        assert!(matches!(
            reject(&[1], &[cancelled(1)], session()),
            Err(Error::ItemAlreadyCancelled(1))
        ));
        let awaited = Session {
            collect_on_delivery: false,
            ..session()
        };
        assert!(matches!(
            reject(&[1], &[sample::item(1)], awaited),
            Err(Error::ItemNotFound)
        ));
    }

    #[test]
    fn cancelling_a_checkout_leaves_what_sellers_have_taken() {
        let lines = [sample::item(1), claimed(2), cancelled(3)];
        assert_eq!(of_checkout(&lines).unwrap(), [&lines[0]]);
        assert!(matches!(
            of_checkout(&[claimed(2), cancelled(3)]),
            Err(Error::ItemAlreadyConfirmed(2))
        ));
        assert!(of_checkout(&[cancelled(3)]).unwrap().is_empty());
    }
}
