//! Free becomes held.

use std::collections::BTreeMap;

use sdk::{
    Timestamp, Uuid, now,
    sql::{self, Transaction},
    timer,
};

use super::expire;
use crate::{
    domain::{
        owner::SkuId,
        reservation::{HeldItem, ReservationId, Shortage, State, Wanted, delay_ms},
        stock::{MAX_HELD_SERIALS, Stock},
    },
    error::Error,
    store,
};

/// All items or none, until `expires`. `wanted` is merged and in the order of the locks. Under an id that is known, the first answer.
pub(crate) fn reserve(id: ReservationId, wanted: &[Wanted], expires: Timestamp) -> Result<Vec<HeldItem>, Error> {
    let now = now();
    sql::transaction(|tx| {
        if !store::reservation::insert_held(tx, id, expires, now)? {
            return first_answer(tx, id);
        }
        if expires <= now {
            return Err(Error::Expired);
        }
        let skus: Vec<SkuId> = wanted.iter().map(|item| item.sku).collect();
        let quantities: Vec<i64> = wanted.iter().map(|item| item.quantity).collect();
        let stocks = match_stocks(wanted, store::stock::lock_skus(tx, &skus)?)?;
        let mut more_serials = MAX_HELD_SERIALS;
        for (item, stock) in wanted.iter().zip(&stocks).filter(|(_, stock)| stock.serial_required) {
            if item.quantity > more_serials {
                return Err(Error::SerialShortage(shortage(item, more_serials)));
            }
            more_serials -= item.quantity;
            let picked = store::serial::pick(tx, stock.id, id, item.quantity)?;
            if picked < item.quantity {
                return Err(Error::SerialShortage(shortage(item, picked)));
            }
        }
        let stocks: Vec<i64> = stocks.iter().map(|stock| stock.id.0).collect();
        store::stock::hold(tx, id, &stocks, &quantities, now)?;
        let held = store::reservation::insert_items(tx, id, &skus, &stocks, &quantities)?;
        // Written with the commit: there is no hold without the timer that ends it, and no timer for a hold that failed.
        timer::schedule(expire::TIMER, &id, delay_ms(now, expires));
        Ok(held)
    })
}

/// What was answered before under this id, whether it is held or sold by now.
fn first_answer(tx: &Transaction, id: ReservationId) -> Result<Vec<HeldItem>, Error> {
    match store::reservation::lock(tx, id)? {
        Some(State::Held { .. } | State::Committed) => Ok(store::reservation::held_items(tx, id)?),
        Some(State::Released | State::Expired) => Err(Error::AlreadyReleased),
        None => Err(Error::ReservationNotFound),
    }
}

/// The stock of each item, in the order of the items; each has enough.
fn match_stocks(wanted: &[Wanted], locked: Vec<Stock>) -> Result<Vec<Stock>, Error> {
    let mut locked: BTreeMap<Uuid, Stock> = locked.into_iter().map(|stock| (stock.ref_id, stock)).collect();
    wanted
        .iter()
        .map(|item| {
            let stock = locked.remove(&item.sku.0).filter(|stock| !stock.is_archived);
            let stock = stock.ok_or_else(|| Error::no_stock(item.sku))?;
            if stock.available < item.quantity {
                return Err(Error::OutOfStock(shortage(item, stock.available)));
            }
            Ok(stock)
        })
        .collect()
}

fn shortage(item: &Wanted, available: i64) -> Shortage {
    Shortage {
        sku: item.sku,
        label: item.label.clone(),
        requested: item.quantity,
        available,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stock::StockId;

    fn wanted(sku: u128, quantity: i64) -> Wanted {
        Wanted {
            sku: SkuId(Uuid::from_u128(sku)),
            quantity,
            label: "shirt".into(),
        }
    }

    fn stock(sku: u128, available: i64) -> Stock {
        Stock {
            id: StockId(sku as i64 * 10),
            ref_type: "ProductSku".into(),
            ref_id: Uuid::from_u128(sku),
            available,
            taken: 0,
            serial_required: false,
            created: Timestamp::from_ms(0),
            is_archived: false,
        }
    }

    #[test]
    fn each_item_gets_its_own_stock_whatever_order_they_were_locked_in() {
        let stocks = match_stocks(&[wanted(1, 1), wanted(2, 2)], vec![stock(2, 2), stock(1, 1)]).unwrap();
        assert_eq!(stocks.iter().map(|stock| stock.id.0).collect::<Vec<_>>(), [10, 20]);
    }

    #[test]
    fn too_little_and_none_at_all_are_two_failures() {
        let short = match_stocks(&[wanted(1, 3)], vec![stock(1, 2)]).unwrap_err();
        assert!(matches!(
            short,
            Error::OutOfStock(Shortage {
                requested: 3,
                available: 2,
                ..
            })
        ));
        assert_eq!(short.to_string(), "shirt: 3 requested, 2 available");
        let archived = Stock {
            is_archived: true,
            ..stock(1, 2)
        };
        for none in [vec![], vec![archived]] {
            let failed = match_stocks(&[wanted(1, 1)], none).unwrap_err();
            assert!(matches!(failed, Error::StockNotFound(_)));
        }
    }
}
