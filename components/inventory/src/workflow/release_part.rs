//! Some units of one SKU become free, by their owner's will.

use sdk::{
    new_id, now,
    sql::{self, Transaction},
};

use crate::{
    domain::{
        owner::SkuId,
        reservation::{OperationId, ReservationId, State},
        serial::repeated,
    },
    error::Error,
    store::{self, reservation::PartItem},
};

/// What to put back.
pub(crate) struct Part {
    pub(crate) reservation: ReservationId,
    /// Names this release: under an id that is known, nothing changes.
    pub(crate) operation: OperationId,
    pub(crate) sku: SkuId,
    pub(crate) quantity: i64,
    /// Exactly the units that go back, when the reservation has serials; else empty.
    pub(crate) serials: Vec<String>,
}

pub(crate) fn release_part(part: &Part) -> Result<(), Error> {
    if part.quantity <= 0 {
        return Err(invalid("the quantity must be greater than 0"));
    }
    let now = now();
    let id = part.reservation;
    sql::transaction(|tx| {
        let state = store::reservation::lock(tx, id)?.ok_or(Error::ReservationNotFound)?;
        if was_done(tx, part)? {
            return Ok(());
        }
        let were_sold = match state {
            State::Held { .. } => false,
            State::Committed => true,
            State::Released | State::Expired => return Err(Error::AlreadyReleased),
        };
        let item = store::reservation::part_item(tx, id, part.sku)?.ok_or_else(|| Error::no_stock(part.sku))?;
        check(part, &item)?;
        let stock = store::stock::lock_ids(tx, &[item.stock.0])?
            .pop()
            .ok_or_else(|| Error::no_stock(part.sku))?;
        if item.tracked {
            let returned = store::serial::return_some(tx, item.stock, id, &part.serials)?;
            if returned != part.serials.len() as u64 {
                return Err(invalid("not all of these serial numbers are out for this reservation"));
            }
        } else if stock.serial_required {
            store::serial::insert_returned(tx, item.stock, new_id(), part.quantity, now)?;
        }
        store::stock::put_back(tx, id, &[item.stock.0], &[part.quantity], were_sold, now)?;
        store::reservation::insert_operation(tx, part.operation, id, item.stock, part.quantity, &part.serials, now)?;
        if store::reservation::open_items(tx, id)?.is_empty() {
            store::reservation::set_released(tx, id, false, now)?;
        }
        Ok(())
    })
}

fn was_done(tx: &Transaction, part: &Part) -> Result<bool, Error> {
    let Some(done) = store::reservation::find_operation(tx, part.operation)? else {
        return Ok(false);
    };
    if (done.reservation, done.sku, done.quantity) == (part.reservation, part.sku, part.quantity) {
        Ok(true)
    } else {
        Err(Error::OperationMismatch)
    }
}

fn check(part: &Part, item: &PartItem) -> Result<(), Error> {
    if part.quantity > item.remaining {
        return Err(invalid(&format!(
            "{} to put back, {} out",
            part.quantity, item.remaining
        )));
    }
    let named = i64::try_from(part.serials.len()).unwrap_or(i64::MAX);
    if named != if item.tracked { part.quantity } else { 0 } {
        return Err(invalid(&format!(
            "{} to put back, {named} serial numbers given",
            part.quantity
        )));
    }
    if !repeated(&part.serials).is_empty() {
        return Err(invalid("a serial number is given twice"));
    }
    Ok(())
}

fn invalid(reason: &str) -> Error {
    Error::InvalidQuantity(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use sdk::Uuid;

    use super::*;
    use crate::domain::stock::StockId;

    fn checked(quantity: i64, serials: &[&str], remaining: i64, tracked: bool) -> bool {
        let part = Part {
            reservation: ReservationId(Uuid::from_u128(1)),
            operation: OperationId(Uuid::from_u128(2)),
            sku: SkuId(Uuid::from_u128(3)),
            quantity,
            serials: serials.iter().map(|serial| (*serial).to_owned()).collect(),
        };
        check(
            &part,
            &PartItem {
                stock: StockId(1),
                remaining,
                tracked,
            },
        )
        .is_ok()
    }

    #[test]
    fn no_more_goes_back_than_is_out() {
        assert!(checked(2, &[], 2, false));
        assert!(!checked(3, &[], 2, false));
    }

    #[test]
    fn tracked_units_go_back_by_name_and_untracked_ones_without() {
        assert!(checked(2, &["a", "b"], 2, true));
        assert!(!checked(2, &["a"], 2, true), "one is not named");
        assert!(!checked(2, &["a", "a"], 2, true), "one is named twice");
        assert!(!checked(1, &["a"], 2, false), "none has a name");
    }
}
