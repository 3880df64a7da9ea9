//! Which lines a seller may confirm together.

use std::collections::{BTreeMap, BTreeSet};

use sdk::{AccountId, Currency, Timestamp};

use super::{
    id::{ItemId, SessionId},
    item::Item,
    session::{Payment, Session},
};
use crate::error::Error;

/// Lines that become one order: one buyer, one address, one transport option.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch {
    /// At least one.
    pub(crate) items: Vec<Item>,
    pub(crate) buyer_id: AccountId,
    pub(crate) address: String,
    pub(crate) transport_option: String,
    pub(crate) currency: Currency,
    pub(crate) total_amount: i64,
    /// Their checkout, when it is one.
    pub(crate) checkout: Option<SessionId>,
    /// As much of the total as is the lines' shares of what was quoted for their parcels when they were checked out.
    pub(crate) shares_amount: i64,
    /// What the carrier is to collect at the door.
    pub(crate) on_delivery_amount: i64,
    /// The payment option of the checkouts, when the carrier collects all of it at the door: then the seller's fee is netted
    /// from it.
    pub(crate) collected_by: Option<String>,
    /// The payment options of what is collected, when several checkouts come together: each was within its bounds only by itself.
    pub(crate) joined_options: BTreeSet<String>,
}

impl Batch {
    /// What the seller pays for the carriage of these lines: what was quoted, if they are the very parcel that was quoted, all these lines of
    /// its checkout. Otherwise it is another parcel: he pays what is quoted for it now, and at least what its buyer has paid for carriage.
    pub(crate) fn carriage(&self, quoted_lines: Option<i64>, quote_amount: i64) -> i64 {
        if quoted_lines == Some(self.items.len() as i64) {
            self.shares_amount
        } else {
            self.shares_amount.max(quote_amount)
        }
    }
}

/// What the platform takes of each order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlatformFee {
    /// Hundredths of a percent of the goods' price, without carriage.
    pub(crate) basis_points: u32,
    /// In minor units of whichever currency, besides.
    pub(crate) fixed_minor: u32,
}

impl PlatformFee {
    /// All of it.
    pub(crate) const MOST_BASIS_POINTS: u32 = 10_000;

    /// Of these lines: not more than the goods cost, and a part of a unit is not taken.
    pub(crate) fn of(self, batch: &Batch) -> i64 {
        let goods = batch.total_amount - batch.shares_amount;
        let fee = i128::from(goods) * i128::from(self.basis_points) / i128::from(Self::MOST_BASIS_POINTS)
            + i128::from(self.fixed_minor);
        i64::try_from(fee).map_or(goods, |fee| fee.min(goods))
    }
}

/// Checks that this seller may confirm all these lines now. Lines and sessions are as they are stored; `confirm_seconds` is how long a paid line
/// waits for its seller.
pub(crate) fn check(
    ids: &[ItemId],
    items: Vec<Item>,
    sessions: &BTreeMap<SessionId, Session>,
    seller: AccountId,
    now: Timestamp,
    confirm_seconds: i64,
) -> Result<Batch, Error> {
    // A repeated id finds fewer lines than were asked for.
    let Some(first) = items.first().filter(|_| items.len() == ids.len()) else {
        return Err(Error::ItemNotFound);
    };
    let (buyer_id, address) = (first.account_id, first.address.clone());
    let (transport_option, currency) = (first.transport_option.clone(), first.currency);

    let mut all_on_delivery = true;
    let mut collected_by = None;
    let mut total_amount = 0i64;
    let mut on_delivery_amount = 0i64;
    let mut joined_options = BTreeSet::new();
    let mut on_delivery = BTreeSet::new();
    for item in &items {
        let session = sessions.get(&item.payment_session_id).ok_or(Error::ItemNotFound)?;
        check_item(item, session, seller, now, confirm_seconds)?;
        if item.account_id != buyer_id {
            return Err(Error::ItemsNotSameBuyer);
        }
        if item.address != address {
            return Err(Error::ItemsNotSameAddress);
        }
        if item.transport_option != transport_option {
            return Err(Error::ItemsTransportMismatch);
        }
        if item.currency != currency {
            return Err(Error::MixedCurrencyCart);
        }
        if session.payment() == Payment::OnDelivery {
            // Not above the sum of all, which is checked.
            on_delivery_amount = on_delivery_amount.saturating_add(item.total_amount - item.wallet_amount);
            on_delivery.insert(session.id);
            joined_options.extend(session.payment_option().map(str::to_owned));
        } else {
            all_on_delivery = false;
        }
        collected_by = collected_by.or_else(|| session.payment_option().map(str::to_owned));
        total_amount = total_amount
            .checked_add(item.total_amount)
            .ok_or(Error::AmountTooLarge)?;
    }
    let collected_by = collected_by.filter(|_| all_on_delivery);
    if on_delivery.len() < 2 {
        joined_options.clear();
    }
    let checkout = items[0].payment_session_id;
    let checkout = items
        .iter()
        .all(|item| item.payment_session_id == checkout)
        .then_some(checkout);
    // Parts of sums that are checked.
    let shares_amount = items.iter().map(Item::shipping_amount).sum();
    Ok(Batch {
        items,
        buyer_id,
        address,
        transport_option,
        currency,
        total_amount,
        checkout,
        shares_amount,
        on_delivery_amount,
        collected_by,
        joined_options,
    })
}

fn check_item(
    item: &Item,
    session: &Session,
    seller: AccountId,
    now: Timestamp,
    confirm_seconds: i64,
) -> Result<(), Error> {
    if item.seller_id != seller {
        return Err(Error::ItemNotOwnedBySeller(item.id.0));
    }
    if item.date_cancelled.is_some() {
        return Err(Error::ItemAlreadyCancelled(item.id.0));
    }
    if item.is_taken() {
        return Err(Error::ItemAlreadyConfirmed(item.id.0));
    }
    match session.payment() {
        // From then on the money is on its way back to the buyer: a seller who claims it once more would keep it from him.
        Payment::Settled
            if session
                .date_paid
                .is_some_and(|paid| now >= paid.plus_seconds(confirm_seconds)) =>
        {
            Err(Error::SellerConfirmTimeout)
        }
        Payment::Settled => Ok(()),
        // From then on the stock is no longer held.
        Payment::OnDelivery if now >= session.date_expired => Err(Error::CheckoutExpired),
        Payment::OnDelivery => Ok(()),
        Payment::Awaited => Err(Error::PaymentNotSuccess),
        Payment::Over => Err(Error::ItemAlreadyCancelled(item.id.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        sample::{self, BUYER, SELLER, STRANGER},
        status::Status,
    };

    const BEFORE_EXPIRY: Timestamp = Timestamp::from_ms(1);
    const CONFIRM_SECONDS: i64 = 7;

    fn confirm(items: Vec<Item>, session: Session) -> Result<Batch, Error> {
        let ids: Vec<_> = items.iter().map(|item| item.id).collect();
        check(
            &ids,
            items,
            &BTreeMap::from([(session.id, session)]),
            SELLER,
            BEFORE_EXPIRY,
            CONFIRM_SECONDS,
        )
    }

    #[test]
    fn open_lines_on_delivery_are_confirmed_together() {
        let batch = confirm(vec![sample::item(1), sample::item(2)], sample::session()).unwrap();
        assert_eq!((batch.buyer_id, batch.total_amount), (BUYER, 2 * 115_000));
        assert_eq!(batch.shares_amount, 2 * 15_000);
        assert_eq!(batch.checkout, Some(sample::session().id));
        assert_eq!(batch.collected_by.as_deref(), Some("system-cod"));
        assert_eq!(batch.on_delivery_amount, 2 * 115_000);
    }

    #[test]
    fn only_the_very_parcel_that_was_quoted_is_carried_at_its_quote() {
        let batch = confirm(vec![sample::item(1), sample::item(2)], sample::session()).unwrap();
        // The carrier asks for more by now: the platform's to pay.
        assert_eq!(batch.carriage(Some(2), 40_000), 30_000);
        // A third line stays behind, was cancelled, or is sent by itself: it is another parcel.
        assert_eq!(batch.carriage(Some(3), 40_000), 40_000);
        assert_eq!(batch.carriage(Some(3), 20_000), 30_000);
        // So is what was quoted in two.
        assert_eq!(batch.carriage(None, 40_000), 40_000);
    }

    #[test]
    fn the_platform_takes_its_part_of_the_goods_and_not_of_their_carriage() {
        let batch = confirm(vec![sample::item(1), sample::item(2)], sample::session()).unwrap();
        let fee = |basis_points, fixed_minor, batch: &Batch| {
            let fee = PlatformFee {
                basis_points,
                fixed_minor,
            };
            fee.of(batch)
        };
        assert_eq!(fee(0, 0, &batch), 0);
        assert_eq!(fee(250, 1_000, &batch), 5_000 + 1_000);
        let odd = Batch {
            total_amount: 39_999,
            shares_amount: 0,
            ..batch.clone()
        };
        assert_eq!(fee(1, 0, &odd), 3);
        // Never more than the goods cost.
        assert_eq!(fee(10_000, 1, &batch), 200_000);
        assert_eq!(fee(0, u32::MAX, &odd), 39_999);
        let dear = Batch {
            total_amount: i64::MAX,
            shares_amount: 0,
            ..batch
        };
        assert_eq!(fee(10_000, u32::MAX, &dear), i64::MAX);
    }

    #[test]
    fn of_lines_paid_in_different_ways_the_carrier_collects_what_is_not_paid() {
        let paid = Session {
            id: SessionId(sdk::Uuid::from_u128(11)),
            status: Status::Success,
            ..sample::session()
        };
        let items = vec![
            sample::item(1),
            Item {
                payment_session_id: paid.id,
                ..sample::item(2)
            },
        ];
        let ids = [ItemId(1), ItemId(2)];
        let sessions = BTreeMap::from([(sample::session().id, sample::session()), (paid.id, paid)]);
        let batch = check(&ids, items, &sessions, SELLER, BEFORE_EXPIRY, CONFIRM_SECONDS).unwrap();
        assert_eq!((batch.total_amount, batch.on_delivery_amount), (2 * 115_000, 115_000));
        assert_eq!(batch.collected_by, None, "the fee cannot be netted from a part");
        assert_eq!(batch.checkout, None);
        assert!(
            batch.joined_options.is_empty(),
            "one is collected for, as it was checked"
        );
    }

    #[test]
    fn what_is_collected_for_several_checkouts_together_is_to_be_within_the_bounds_of_one() {
        let other = Session {
            id: SessionId(sdk::Uuid::from_u128(11)),
            ..sample::session()
        };
        let items = vec![
            sample::item(1),
            Item {
                payment_session_id: other.id,
                ..sample::item(2)
            },
        ];
        let ids = [ItemId(1), ItemId(2)];
        let sessions = BTreeMap::from([(sample::session().id, sample::session()), (other.id, other)]);
        let batch = check(&ids, items, &sessions, SELLER, BEFORE_EXPIRY, CONFIRM_SECONDS).unwrap();
        assert_eq!((batch.checkout, batch.on_delivery_amount), (None, 2 * 115_000));
        assert_eq!(batch.joined_options, BTreeSet::from(["system-cod".to_owned()]));
        let alone = confirm(vec![sample::item(1), sample::item(2)], sample::session()).unwrap();
        assert!(alone.joined_options.is_empty());
    }

    #[test]
    fn a_settled_checkout_leaves_nothing_to_net_from() {
        let paid = Session {
            status: Status::Success,
            ..sample::session()
        };
        let batch = confirm(vec![sample::item(1)], paid).unwrap();
        assert_eq!((batch.collected_by, batch.on_delivery_amount), (None, 0));
    }

    #[test]
    fn missing_and_repeated_lines_are_not_found() {
        let sessions = BTreeMap::from([(sample::session().id, sample::session())]);
        for (ids, items) in [
            (vec![ItemId(1), ItemId(2)], vec![sample::item(1)]),
            (vec![ItemId(1), ItemId(1)], vec![sample::item(1)]),
            (vec![], vec![]),
        ] {
            let outcome = check(&ids, items, &sessions, SELLER, BEFORE_EXPIRY, CONFIRM_SECONDS);
            assert!(matches!(outcome, Err(Error::ItemNotFound)), "{ids:?}");
        }
    }

    #[test]
    fn lines_of_others_taken_and_cancelled_lines_are_refused() {
        let foreign = Item {
            seller_id: STRANGER,
            ..sample::item(1)
        };
        assert!(matches!(
            confirm(vec![foreign], sample::session()),
            Err(Error::ItemNotOwnedBySeller(1))
        ));
        let claimed = Item {
            confirm_session_id: Some(sample::session().id),
            ..sample::item(1)
        };
        assert!(matches!(
            confirm(vec![claimed], sample::session()),
            Err(Error::ItemAlreadyConfirmed(1))
        ));
        let cancelled = Item {
            date_cancelled: Some(BEFORE_EXPIRY),
            ..sample::item(1)
        };
        assert!(matches!(
            confirm(vec![cancelled], sample::session()),
            Err(Error::ItemAlreadyCancelled(1))
        ));
    }

    #[test]
    fn different_buyers_addresses_and_options_do_not_go_together() {
        let with = |second: Item| confirm(vec![sample::item(1), second], sample::session());
        let other_buyer = Item {
            account_id: STRANGER,
            ..sample::item(2)
        };
        assert!(matches!(with(other_buyer), Err(Error::ItemsNotSameBuyer)));
        let other_address = Item {
            address: "elsewhere, VN".to_owned(),
            ..sample::item(2)
        };
        assert!(matches!(with(other_address), Err(Error::ItemsNotSameAddress)));
        let other_option = Item {
            transport_option: "express".to_owned(),
            ..sample::item(2)
        };
        assert!(matches!(with(other_option), Err(Error::ItemsTransportMismatch)));
    }

    #[test]
    fn unpaid_ended_and_expired_checkouts_are_not_confirmed() {
        let one = || vec![sample::item(1)];
        let awaited = Session {
            collect_on_delivery: false,
            ..sample::session()
        };
        assert!(matches!(confirm(one(), awaited), Err(Error::PaymentNotSuccess)));
        let failed = Session {
            status: Status::Failed,
            ..sample::session()
        };
        assert!(matches!(confirm(one(), failed), Err(Error::ItemAlreadyCancelled(1))));
        let expired = Session {
            date_expired: BEFORE_EXPIRY,
            ..sample::session()
        };
        assert!(matches!(confirm(one(), expired), Err(Error::CheckoutExpired)));
    }

    #[test]
    fn a_paid_line_is_confirmed_until_its_money_goes_back_and_not_again_from_then_on() {
        let paid_before = |seconds: i64| Session {
            status: Status::Success,
            date_paid: Some(BEFORE_EXPIRY.plus_seconds(-seconds)),
            ..sample::session()
        };
        let confirmed = |seconds| confirm(vec![sample::item(1)], paid_before(seconds));
        assert!(confirmed(CONFIRM_SECONDS - 1).is_ok());
        assert!(matches!(confirmed(CONFIRM_SECONDS), Err(Error::SellerConfirmTimeout)));
    }
}
