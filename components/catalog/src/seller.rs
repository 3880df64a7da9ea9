//! What this module asks of account: whether somebody may act, and in which currency they sell.

use crate::{bindings::shop::account::profiles, error::Error};

sdk::standing!(profiles, Error::Account);

/// Refuses a price in another currency than its seller's: a listing keeps the one it was made in, and its seller may have moved since. A
/// variant has the currency of its listing; one that is given with it must be that one.
pub(crate) fn check_price(given: Option<&str>, listing: &str, seller: &str) -> Result<(), Error> {
    check_currency(listing, seller)?;
    given.map_or(Ok(()), |given| check_currency(given, seller))
}

/// Refuses a listing in another currency than its seller's.
pub(crate) fn check_currency(given: &str, seller: &str) -> Result<(), Error> {
    if given == seller {
        Ok(())
    } else {
        Err(Error::CurrencyMismatch {
            given: given.to_owned(),
            seller: seller.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_in_the_currency_of_listing_and_seller() {
        assert!(check_price(None, "VND", "VND").is_ok());
        assert!(check_price(Some("VND"), "VND", "VND").is_ok());
        for (given, listing, seller) in [
            (None, "VND", "USD"),
            (Some("USD"), "VND", "USD"),
            (Some("USD"), "VND", "VND"),
        ] {
            let refused = check_price(given, listing, seller).unwrap_err();
            assert!(
                matches!(refused, Error::CurrencyMismatch { .. }),
                "{given:?} {listing} {seller}"
            );
        }
    }
}
