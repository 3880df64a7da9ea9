//! What lines cost to carry to an address.

use std::collections::{BTreeMap, BTreeSet};

use sdk::{AccountId, Currency};

use crate::{
    domain::{
        checkout::{self, Match, Wanted},
        shipping::{self, Load, ParcelKey},
    },
    error::Error,
    peers::{account, carriers::Carriers, catalog},
};

/// Lines this buyer may buy, and what each pays for shipping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quoted {
    pub(crate) currency: Currency,
    /// Lines in the order they were asked for, with their shares.
    pub(crate) lines: Vec<(Match, i64)>,
}

/// Finds the goods, checks that this buyer may buy them, and asks the carriers. Changes nothing.
pub(crate) fn quote(buyer: AccountId, currency: Currency, address: &str, wanted: Vec<Wanted>) -> Result<Quoted, Error> {
    let skus: Vec<_> = wanted.iter().map(|line| line.sku_id).collect();
    let lines = checkout::match_offers(wanted, &catalog::offers(&skus)?)?;
    let priced_in = checkout::check_sale(buyer, &lines)?;
    if priced_in != currency {
        return Err(Error::FxRateUnavailable {
            from: priced_in.to_string(),
            to: currency.to_string(),
        });
    }
    check_sellers(&lines, currency)?;

    let sellers: BTreeSet<AccountId> = lines.iter().map(|line| line.offer.seller_id).collect();
    let shares = share(&account::origins(&sellers)?, address, currency, &lines)?;
    Ok(Quoted {
        currency,
        lines: lines.into_iter().zip(shares).collect(),
    })
}

/// Refuses sellers who may not sell, and those who could not be paid in this currency: prices of before a move to another country.
fn check_sellers(lines: &[Match], currency: Currency) -> Result<(), Error> {
    let mut checked = BTreeSet::new();
    for line in lines {
        if !checked.insert(line.offer.seller_id) {
            continue;
        }
        match account::sells_in(line.offer.seller_id)? {
            None => return Err(Error::SellerSuspended(line.offer.label())),
            Some(paid_in) if paid_in != currency => {
                return Err(Error::FxRateUnavailable {
                    from: currency.to_string(),
                    to: paid_in.to_string(),
                });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// One quote per parcel, split over its lines.
fn share(
    origins: &BTreeMap<AccountId, String>,
    address: &str,
    currency: Currency,
    lines: &[Match],
) -> Result<Vec<i64>, Error> {
    let carriers = Carriers::granted();
    let keys = lines.iter().map(|line| ParcelKey {
        seller: line.offer.seller_id,
        option: line.wanted.transport_option.clone(),
    });
    let mut shares = vec![0; lines.len()];
    for (key, positions) in shipping::parcels(keys) {
        let origin = origins
            .get(&key.seller)
            .ok_or_else(|| Error::NoDefaultContact(key.seller.to_string()))?;
        let loads: Vec<Load> = positions.iter().map(|&position| lines[position].load()).collect();
        let quote = carriers.quote(&key.option, origin, address, &loads, currency)?;
        for (position, part) in positions
            .into_iter()
            .zip(shipping::split(quote.cost.amount_minor, &loads)?)
        {
            shares[position] = part;
        }
    }
    Ok(shares)
}
