//! What this module asks of inventory: the stock records of its variants.

use std::collections::BTreeMap;

use crate::{bindings::shop::inventory::stocks, domain::product::SkuId, error::Error};

/// Quantities of one variant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stock {
    /// Free to buy.
    pub(crate) available: i64,
    /// Held or sold.
    pub(crate) taken: i64,
}

/// Variants asked for in one call, whose answer is one message.
const ASKED_AT_ONCE: usize = 4_000;

/// The stocks of some variants; one without a record has nothing.
#[derive(Debug, Default)]
pub(crate) struct Stocks(BTreeMap<SkuId, Stock>);

impl Stocks {
    /// Asks inventory, unless there is nothing to ask for.
    pub(crate) fn of(skus: impl IntoIterator<Item = SkuId>) -> Self {
        let ids: Vec<String> = skus.into_iter().map(|sku| sku.to_string()).collect();
        if ids.is_empty() {
            return Self::default();
        }
        let answered = ids.chunks(ASKED_AT_ONCE).flat_map(stocks::get_many);
        Self(
            answered
                .filter_map(|s| {
                    Some((
                        s.sku_id.parse().ok()?,
                        Stock {
                            available: s.available,
                            taken: s.taken,
                        },
                    ))
                })
                .collect(),
        )
    }

    /// Of one variant.
    pub(crate) fn get(&self, sku: SkuId) -> Stock {
        self.0.get(&sku).copied().unwrap_or_default()
    }

    /// Units taken of these variants together.
    pub(crate) fn taken(&self, skus: &[SkuId]) -> i64 {
        skus.iter().fold(0, |sum, sku| sum.saturating_add(self.get(*sku).taken))
    }
}

/// Creates the record of a new variant, or finds the one that an earlier try created. Asks inventory.
pub(crate) fn create(sku: SkuId) -> Result<Stock, Error> {
    let stocks::Error::Other(reason) = match stocks::create(&sku.to_string()) {
        Ok(stock) => {
            return Ok(Stock {
                available: stock.available,
                taken: stock.taken,
            });
        }
        Err(error) => error,
    };
    Err(Error::Stock(reason))
}

/// Closes the records of variants that were deleted, after the commit that did it. Asks inventory, unless there are none.
pub(crate) fn archive(skus: &[SkuId]) {
    let ids: Vec<String> = skus.iter().map(SkuId::to_string).collect();
    if !ids.is_empty() {
        stocks::archive(&ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::Uuid;

    #[test]
    fn nothing_asked_for_is_nothing_found_without_a_call() {
        let stocks = Stocks::of([]);
        assert_eq!(stocks.get(SkuId(Uuid::from_u128(1))), Stock::default());
    }

    #[test]
    fn units_taken_add_up_over_variants() {
        let sku = |number| SkuId(Uuid::from_u128(number));
        let stocks = Stocks(
            [
                (sku(1), Stock { available: 0, taken: 3 }),
                (sku(2), Stock { available: 9, taken: 4 }),
            ]
            .into(),
        );
        assert_eq!(stocks.taken(&[sku(1), sku(2), sku(3)]), 7);
    }
}
