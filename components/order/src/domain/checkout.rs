//! From what a buyer asked for to the lines of a checkout: who may buy what, and what it costs.

use std::collections::BTreeSet;

use sdk::{AccountId, Currency};

use super::{
    id::{ReservationId, SkuId, SpuId},
    shipping::Load,
};
use crate::error::Error;

/// One line as the buyer asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) sku_id: SkuId,
    pub(crate) quantity: i64,
    pub(crate) transport_option: String,
    /// Never empty.
    pub(crate) note: Option<String>,
}

/// What catalog says about a SKU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) sku_id: SkuId,
    pub(crate) spu_id: SpuId,
    pub(crate) seller_id: AccountId,
    pub(crate) slug: String,
    /// The listing's name.
    pub(crate) name: String,
    /// Values of the variant's attributes.
    pub(crate) attribute_values: Vec<String>,
    pub(crate) is_enabled: bool,
    pub(crate) deleted: bool,
    /// Of one unit, minor units.
    pub(crate) price: i64,
    pub(crate) currency: Currency,
    pub(crate) weight_grams: u32,
}

impl Offer {
    /// The name a line keeps.
    pub(crate) fn label(&self) -> String {
        if self.attribute_values.is_empty() {
            self.name.clone()
        } else {
            format!("{} - {}", self.name, self.attribute_values.join(" / "))
        }
    }
}

/// A wanted line and what is offered for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) wanted: Wanted,
    pub(crate) offer: Offer,
}

impl Match {
    pub(crate) fn load(&self) -> Load {
        Load {
            quantity: self.wanted.quantity,
            weight_grams: self.offer.weight_grams,
        }
    }
}

/// Finds the offer of every wanted line, in their order. An unknown, deleted or repeated SKU is not found.
pub(crate) fn match_offers(wanted: Vec<Wanted>, offers: &[Offer]) -> Result<Vec<Match>, Error> {
    let mut seen = BTreeSet::new();
    wanted
        .into_iter()
        .map(|wanted| {
            let offer = offers
                .iter()
                .find(|offer| offer.sku_id == wanted.sku_id && !offer.deleted);
            match offer {
                Some(offer) if seen.insert(wanted.sku_id) => Ok(Match {
                    wanted,
                    offer: offer.clone(),
                }),
                _ => Err(Error::ItemNotFound),
            }
        })
        .collect()
}

/// Refuses what this buyer may not buy, and more than one currency. Returns the currency.
pub(crate) fn check_sale(buyer: AccountId, lines: &[Match]) -> Result<Currency, Error> {
    let mut currency = None;
    for Match { offer, .. } in lines {
        if !offer.is_enabled {
            return Err(Error::ProductDisabled(offer.label()));
        }
        if offer.seller_id == buyer {
            return Err(Error::OwnProduct(offer.label()));
        }
        if *currency.get_or_insert(offer.currency) != offer.currency {
            return Err(Error::MixedCurrencyCart);
        }
    }
    currency.ok_or(Error::ItemNotFound)
}

/// A line with its price, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) wanted: Wanted,
    pub(crate) offer: Offer,
    /// The stock of this line alone, so that it can be sold, cancelled and released without the others.
    pub(crate) reservation_id: ReservationId,
    pub(crate) subtotal_amount: i64,
    pub(crate) shipping_amount: i64,
    pub(crate) total_amount: i64,
    /// As much of the total as the buyer's wallet pays.
    pub(crate) wallet_amount: i64,
}

impl Line {
    /// Prices a line; fails when an amount does not fit.
    pub(crate) fn price(line: Match, shipping_amount: i64, reservation_id: ReservationId) -> Result<Self, Error> {
        let Match { wanted, offer } = line;
        let subtotal_amount = offer.price.checked_mul(wanted.quantity).ok_or(Error::AmountTooLarge)?;
        let total_amount = subtotal_amount
            .checked_add(shipping_amount)
            .ok_or(Error::AmountTooLarge)?;
        Ok(Self {
            wanted,
            offer,
            reservation_id,
            subtotal_amount,
            shipping_amount,
            total_amount,
            wallet_amount: 0,
        })
    }
}

/// The most that one checkout may cost, in minor units: whoever adds up a thousand of them still has a number that every client reads exactly.
const MAX_AMOUNT: i64 = 9_000_000_000_000;

/// What all lines cost together; fails when it is more than a checkout may cost.
pub(crate) fn total(lines: &[Line]) -> Result<i64, Error> {
    lines
        .iter()
        .try_fold(0i64, |sum, line| sum.checked_add(line.total_amount))
        .filter(|&total| total <= MAX_AMOUNT)
        .ok_or(Error::AmountTooLarge)
}

/// Has a wallet pay this much of the lines, the first ones first: what is paid of a line is known when that line alone is given back.
pub(crate) fn pay_from_wallet(lines: &mut [Line], amount: i64) {
    let mut left = amount;
    for line in lines {
        line.wallet_amount = line.total_amount.min(left);
        left -= line.wallet_amount;
    }
}

#[cfg(test)]
mod tests {
    use sdk::Uuid;

    use super::*;

    const BUYER: AccountId = AccountId(Uuid::from_u128(1));
    const SELLER: AccountId = AccountId(Uuid::from_u128(2));

    fn wanted(sku: u128, quantity: i64) -> Wanted {
        Wanted {
            sku_id: SkuId(Uuid::from_u128(sku)),
            quantity,
            transport_option: "standard".to_owned(),
            note: None,
        }
    }

    fn offer(sku: u128) -> Offer {
        Offer {
            sku_id: SkuId(Uuid::from_u128(sku)),
            spu_id: SpuId(Uuid::from_u128(100 + sku)),
            seller_id: SELLER,
            slug: "shirt".to_owned(),
            name: "Shirt".to_owned(),
            attribute_values: vec!["red".to_owned(), "L".to_owned()],
            is_enabled: true,
            deleted: false,
            price: 100_000,
            currency: "VND".parse().unwrap(),
            weight_grams: 500,
        }
    }

    fn matched(offers: &[Offer]) -> Vec<Match> {
        let wanted = offers
            .iter()
            .map(|offer| Wanted {
                sku_id: offer.sku_id,
                ..wanted(0, 2)
            })
            .collect();
        match_offers(wanted, offers).unwrap()
    }

    #[test]
    fn an_unknown_deleted_or_repeated_sku_is_not_found() {
        let deleted = Offer {
            deleted: true,
            ..offer(1)
        };
        assert!(matches!(
            match_offers(vec![wanted(9, 1)], &[offer(1)]),
            Err(Error::ItemNotFound)
        ));
        assert!(matches!(
            match_offers(vec![wanted(1, 1)], &[deleted]),
            Err(Error::ItemNotFound)
        ));
        assert!(matches!(
            match_offers(vec![wanted(1, 1), wanted(1, 1)], &[offer(1)]),
            Err(Error::ItemNotFound)
        ));
        assert_eq!(
            match_offers(vec![wanted(1, 1)], &[offer(2), offer(1)]).unwrap()[0].offer,
            offer(1)
        );
    }

    #[test]
    fn own_and_disabled_goods_are_refused() {
        let disabled = Offer {
            is_enabled: false,
            ..offer(1)
        };
        assert!(matches!(
            check_sale(BUYER, &matched(&[disabled])),
            Err(Error::ProductDisabled(_))
        ));
        assert!(matches!(
            check_sale(SELLER, &matched(&[offer(1)])),
            Err(Error::OwnProduct(_))
        ));
        assert_eq!(
            check_sale(BUYER, &matched(&[offer(1), offer(2)])).unwrap().as_str(),
            "VND"
        );
    }

    #[test]
    fn a_cart_has_one_currency() {
        let dollars = Offer {
            currency: "USD".parse().unwrap(),
            ..offer(2)
        };
        assert!(matches!(
            check_sale(BUYER, &matched(&[offer(1), dollars])),
            Err(Error::MixedCurrencyCart)
        ));
    }

    #[test]
    fn a_line_keeps_the_name_with_its_attributes() {
        assert_eq!(offer(1).label(), "Shirt - red / L");
        assert_eq!(
            Offer {
                attribute_values: Vec::new(),
                ..offer(1)
            }
            .label(),
            "Shirt"
        );
    }

    #[test]
    fn amounts_add_up_or_are_refused() {
        let id = ReservationId(Uuid::NIL);
        let [line] = <[Match; 1]>::try_from(matched(&[offer(1)])).unwrap();
        let priced = Line::price(line.clone(), 15_000, id).unwrap();
        assert_eq!((priced.subtotal_amount, priced.total_amount), (200_000, 215_000));
        assert_eq!(total(&[priced.clone(), priced.clone()]).unwrap(), 430_000);
        let most = Line {
            total_amount: MAX_AMOUNT,
            ..priced.clone()
        };
        assert_eq!(total(std::slice::from_ref(&most)).unwrap(), MAX_AMOUNT);
        assert!(matches!(total(&[most, priced.clone()]), Err(Error::AmountTooLarge)));

        let dear = Match {
            offer: Offer {
                price: i64::MAX / 2 + 1,
                ..offer(1)
            },
            ..line.clone()
        };
        assert!(matches!(Line::price(dear, 0, id), Err(Error::AmountTooLarge)));
        let edge = Match {
            offer: Offer {
                price: i64::MAX / 2,
                ..offer(1)
            },
            ..line
        };
        assert!(matches!(Line::price(edge.clone(), 2, id), Err(Error::AmountTooLarge)));
        let edge = Line::price(edge, 1, id).unwrap();
        assert!(matches!(total(&[edge, priced]), Err(Error::AmountTooLarge)));
    }

    #[test]
    fn a_wallet_pays_the_first_lines_first_and_none_above_its_total() {
        let [line] = <[Match; 1]>::try_from(matched(&[offer(1)])).unwrap();
        let line = Line::price(line, 15_000, ReservationId(Uuid::NIL)).unwrap();
        for (amount, paid) in [
            (0, [0, 0]),
            (100_000, [100_000, 0]),
            (215_000, [215_000, 0]),
            (300_000, [215_000, 85_000]),
            (430_000, [215_000, 215_000]),
        ] {
            let mut lines = [line.clone(), line.clone()];
            pay_from_wallet(&mut lines, amount);
            assert_eq!(lines.map(|line| line.wallet_amount), paid, "{amount}");
        }
    }
}
