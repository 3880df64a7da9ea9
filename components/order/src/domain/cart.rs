//! What a cart request means.

use crate::error::Error;

/// The most of one SKU a cart holds.
pub(crate) const MAX_QUANTITY: i64 = 1000;

/// The most lines a cart has, so that all of it is always shown at once. What a checkout gives back comes on top.
pub(crate) const MAX_LINES: i64 = 100;

/// One change of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Remove,
    Set(i64),
    Add(i64),
}

impl Change {
    /// A quantity of 0 removes, whatever else is asked; otherwise the difference wins over the quantity.
    pub(crate) fn read(quantity: Option<i64>, delta_quantity: Option<i64>) -> Result<Self, Error> {
        match (quantity, delta_quantity) {
            (Some(0), _) => Ok(Self::Remove),
            (_, Some(delta)) => Ok(Self::Add(delta)),
            (Some(quantity), None) => Ok(Self::Set(quantity)),
            (None, None) => Err(Error::QuantityRequired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_removes_and_a_difference_wins() {
        assert_eq!(Change::read(Some(0), Some(3)).unwrap(), Change::Remove);
        assert_eq!(Change::read(Some(5), Some(3)).unwrap(), Change::Add(3));
        assert_eq!(Change::read(None, Some(3)).unwrap(), Change::Add(3));
        assert_eq!(Change::read(Some(5), None).unwrap(), Change::Set(5));
        assert!(matches!(Change::read(None, None), Err(Error::QuantityRequired)));
    }
}
