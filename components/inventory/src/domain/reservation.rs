//! What is wanted, what is held, and what a reservation's state lets happen next.

use std::collections::BTreeMap;

use sdk::Timestamp;

use super::{
    owner::SkuId,
    stock::{MAX_QUANTITY, StockId},
};

sdk::id! {
    /// Chosen by whoever reserves.
    pub(crate) struct ReservationId;
}

sdk::id! {
    /// Names one partial release, so that a repetition is recognised.
    pub(crate) struct OperationId;
}

/// A quantity of one SKU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) sku: SkuId,
    pub(crate) quantity: i64,
    /// For messages to people.
    pub(crate) label: String,
}

/// One SKU of a reservation, as it was answered when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldItem {
    pub(crate) sku: SkuId,
    pub(crate) quantity: i64,
    /// The units picked, when the stock tracks them.
    pub(crate) serials: Vec<String>,
}

/// One SKU of a reservation with what is still out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenItem {
    pub(crate) stock: StockId,
    /// Quantity less what went back in parts.
    pub(crate) remaining: i64,
    /// Units were picked by serial.
    pub(crate) tracked: bool,
}

/// Not enough of one SKU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) sku: SkuId,
    pub(crate) label: String,
    pub(crate) requested: i64,
    pub(crate) available: i64,
}

/// Where a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Held {
        expires: Timestamp,
    },
    /// Sold.
    Committed,
    /// Ended by its owner, or blocked before it began.
    Released,
    /// Ended by time.
    Expired,
}

/// What a sale has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sale {
    Sell,
    AlreadySold,
    Released,
    Expired,
}

/// What time has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Its time has passed: put back.
    Due,
    /// Its time has not come, so many milliseconds are left.
    Early(u64),
    /// It was decided before.
    Settled,
}

impl State {
    /// A hold is good until its time, not a moment longer, whether or not the timer has fired yet.
    pub(crate) fn sale(self, now: Timestamp) -> Sale {
        match self {
            Self::Held { expires } if expires <= now => Sale::Expired,
            Self::Held { .. } => Sale::Sell,
            Self::Committed => Sale::AlreadySold,
            Self::Released => Sale::Released,
            Self::Expired => Sale::Expired,
        }
    }

    pub(crate) fn expiry(self, now: Timestamp) -> Expiry {
        match self {
            Self::Held { expires } if expires <= now => Expiry::Due,
            Self::Held { expires } => Expiry::Early(delay_ms(now, expires)),
            Self::Committed | Self::Released | Self::Expired => Expiry::Settled,
        }
    }
}

/// From `now` to `then`, rounded up, so that what waits for it does not come early.
pub(crate) fn delay_ms(now: Timestamp, then: Timestamp) -> u64 {
    let micros = u64::try_from(then.as_micros().saturating_sub(now.as_micros())).unwrap_or(0);
    micros.div_ceil(1000)
}

/// One entry per SKU, in the order in which stocks are locked; quantities of a SKU that stands there twice are added up. The SKU
/// comes back when a quantity is not above 0 or beyond all bounds.
pub(crate) fn merge(items: Vec<Wanted>) -> Result<Vec<Wanted>, SkuId> {
    let mut merged: BTreeMap<SkuId, Wanted> = BTreeMap::new();
    for item in items {
        let sku = item.sku;
        if item.quantity <= 0 {
            return Err(sku);
        }
        let entry = merged.entry(sku).or_insert_with(|| Wanted {
            sku,
            quantity: 0,
            label: if item.label.trim().is_empty() {
                "product".to_owned()
            } else {
                item.label
            },
        });
        entry.quantity = entry
            .quantity
            .checked_add(item.quantity)
            .filter(|sum| *sum <= MAX_QUANTITY)
            .ok_or(sku)?;
    }
    Ok(merged.into_values().collect())
}

#[cfg(test)]
mod tests {
    use sdk::Uuid;

    use super::*;

    fn sku(number: u128) -> SkuId {
        SkuId(Uuid::from_u128(number))
    }

    fn wanted(number: u128, quantity: i64) -> Wanted {
        Wanted {
            sku: sku(number),
            quantity,
            label: format!("item {number}"),
        }
    }

    #[test]
    fn duplicates_are_merged_and_sorted_by_sku() {
        let merged = merge(vec![wanted(2, 1), wanted(1, 5), wanted(2, 3)]).unwrap();
        assert_eq!(merged, vec![wanted(1, 5), wanted(2, 4)]);
    }

    #[test]
    fn a_quantity_that_is_none_is_refused() {
        for quantity in [0, -1, i64::MIN] {
            assert_eq!(merge(vec![wanted(1, 1), wanted(2, quantity)]), Err(sku(2)));
        }
        assert_eq!(merge(vec![wanted(1, i64::MAX)]), Err(sku(1)));
        assert_eq!(merge(vec![wanted(1, MAX_QUANTITY), wanted(1, 1)]), Err(sku(1)));
    }

    #[test]
    fn an_item_without_a_label_is_a_product() {
        let item = Wanted {
            label: "  ".into(),
            ..wanted(1, 1)
        };
        assert_eq!(merge(vec![item]).unwrap()[0].label, "product");
    }

    #[test]
    fn a_hold_is_sold_before_its_time_and_not_at_it() {
        let held = State::Held {
            expires: Timestamp::from_ms(1000),
        };
        assert_eq!(held.sale(Timestamp::from_ms(999)), Sale::Sell);
        assert_eq!(held.sale(Timestamp::from_ms(1000)), Sale::Expired);
        assert_eq!(State::Committed.sale(Timestamp::from_ms(5000)), Sale::AlreadySold);
        assert_eq!(State::Released.sale(Timestamp::from_ms(0)), Sale::Released);
        assert_eq!(State::Expired.sale(Timestamp::from_ms(0)), Sale::Expired);
    }

    #[test]
    fn time_ends_a_hold_and_nothing_else() {
        let held = State::Held {
            expires: Timestamp::from_ms(1000),
        };
        assert_eq!(held.expiry(Timestamp::from_ms(1000)), Expiry::Due);
        assert_eq!(held.expiry(Timestamp::from_ms(400)), Expiry::Early(600));
        for state in [State::Committed, State::Released, State::Expired] {
            assert_eq!(state.expiry(Timestamp::from_ms(5000)), Expiry::Settled);
        }
    }

    #[test]
    fn a_delay_is_never_short_nor_negative() {
        assert_eq!(delay_ms(Timestamp::from_micros(1), Timestamp::from_ms(1)), 1);
        assert_eq!(delay_ms(Timestamp::from_ms(5), Timestamp::from_ms(1)), 0);
    }
}
