//! Shipping: which lines travel together, and what each pays of their common quote.

use std::collections::BTreeMap;

use sdk::AccountId;

use crate::error::Error;

/// Lines with one origin and one option travel to the one address as one parcel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ParcelKey {
    pub(crate) seller: AccountId,
    pub(crate) option: String,
}

/// What travels of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) quantity: i64,
    /// Of one unit.
    pub(crate) weight_grams: u32,
}

impl Load {
    /// What its share of the cost goes by; at least one gram a line, so that weightless goods share equally.
    fn weight(self) -> u128 {
        let grams = u128::from(self.weight_grams) * u128::from(self.quantity.unsigned_abs());
        grams.max(1)
    }
}

/// The positions of the lines of each parcel, in the order of the keys.
pub(crate) fn parcels(keys: impl IntoIterator<Item = ParcelKey>) -> BTreeMap<ParcelKey, Vec<usize>> {
    let mut parcels = BTreeMap::<_, Vec<usize>>::new();
    for (position, key) in keys.into_iter().enumerate() {
        parcels.entry(key).or_default().push(position);
    }
    parcels
}

/// Splits a cost over lines by weight. Nothing is lost or made: the largest remainders get the units that rounding left over,
/// and of equal remainders the earlier line.
pub(crate) fn split(cost: i64, loads: &[Load]) -> Result<Vec<i64>, Error> {
    let cost = u128::try_from(cost).map_err(|_| Error::AmountTooLarge)?;
    let total: u128 = loads.iter().map(|load| load.weight()).sum();
    if total == 0 {
        return Ok(Vec::new());
    }
    // cost < 2^63 and a weight < 2^96, so a product may exceed 128 bits: such a cart is refused.
    let product = |load: &Load| cost.checked_mul(load.weight()).ok_or(Error::AmountTooLarge);
    let products = loads.iter().map(product).collect::<Result<Vec<_>, _>>()?;
    let mut shares: Vec<u128> = products.iter().map(|product| product / total).collect();
    let left = cost - shares.iter().sum::<u128>();
    let mut by_remainder: Vec<usize> = (0..loads.len()).collect();
    by_remainder.sort_by_key(|&line| std::cmp::Reverse(products[line] % total));
    for &line in by_remainder.iter().take(left as usize) {
        shares[line] += 1;
    }
    shares
        .into_iter()
        .map(|share| i64::try_from(share).map_err(|_| Error::AmountTooLarge))
        .collect()
}

#[cfg(test)]
mod tests {
    use sdk::Uuid;

    use super::*;

    fn load(quantity: i64, weight_grams: u32) -> Load {
        Load { quantity, weight_grams }
    }

    #[test]
    fn a_cost_is_split_by_weight_without_losing_a_unit() {
        assert_eq!(split(15_000, &[load(1, 500)]).unwrap(), [15_000]);
        assert_eq!(split(100, &[load(1, 1), load(1, 1), load(1, 1)]).unwrap(), [34, 33, 33]);
        assert_eq!(split(10, &[load(1, 500), load(2, 500)]).unwrap(), [3, 7]);
        assert_eq!(split(0, &[load(1, 500), load(2, 500)]).unwrap(), [0, 0]);
    }

    #[test]
    fn any_split_adds_up() {
        for cost in [1, 7, 19_000, 28_501, i64::MAX / 1_000_000] {
            for loads in [
                vec![load(3, 333), load(1, 1), load(7, 19)],
                vec![load(1, 0); 7],
                vec![load(100_000, 70_000); 3],
            ] {
                let shares = split(cost, &loads).unwrap();
                assert_eq!(shares.iter().sum::<i64>(), cost);
                assert!(shares.iter().all(|share| *share >= 0));
            }
        }
    }

    #[test]
    fn a_negative_cost_is_refused() {
        assert!(matches!(split(-1, &[load(1, 1)]), Err(Error::AmountTooLarge)));
    }

    #[test]
    fn lines_of_one_seller_and_option_travel_together() {
        let key = |seller: u128, option: &str| ParcelKey {
            seller: AccountId(Uuid::from_u128(seller)),
            option: option.to_owned(),
        };
        let parcels = parcels([
            key(2, "express"),
            key(1, "express"),
            key(2, "express"),
            key(2, "economy"),
        ]);
        let positions: Vec<_> = parcels.into_iter().collect();
        assert_eq!(
            positions,
            [
                (key(1, "express"), vec![1]),
                (key(2, "economy"), vec![3]),
                (key(2, "express"), vec![0, 2])
            ]
        );
    }
}
