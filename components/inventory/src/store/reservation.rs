//! Reservations, their items, and the partial releases that were done.

use sdk::{
    Timestamp,
    sql::{self, Row, Transaction, params, sql},
};

use crate::domain::{
    owner::SkuId,
    reservation::{HeldItem, OpenItem, OperationId, ReservationId, State},
    stock::StockId,
};

/// One SKU of a reservation, for a partial release.
pub(crate) struct PartItem {
    pub(crate) stock: StockId,
    pub(crate) remaining: i64,
    pub(crate) tracked: bool,
}

/// A partial release that was done.
pub(crate) struct DoneOperation {
    pub(crate) reservation: ReservationId,
    pub(crate) sku: SkuId,
    pub(crate) quantity: i64,
}

/// Begins a hold; false when the id is known, also when another transaction is just about to make it known.
pub(crate) fn insert_held(
    tx: &Transaction,
    id: ReservationId,
    expires: Timestamp,
    now: Timestamp,
) -> Result<bool, sql::Error> {
    let inserted = tx.execute(
        sql!(
            "INSERT INTO reservation (id, state, expires_at, date_created, date_updated)
         VALUES ($1, 'held', $2, $3, $3)
         ON CONFLICT (id) DO NOTHING"
        ),
        params![id, expires, now],
    )?;
    Ok(inserted > 0)
}

/// Blocks an id that was never seen; false when it is known.
pub(crate) fn insert_blocked(tx: &Transaction, id: ReservationId, now: Timestamp) -> Result<bool, sql::Error> {
    let inserted = tx.execute(
        sql!(
            "INSERT INTO reservation (id, state, released_by, date_created, date_updated)
         VALUES ($1, 'released', 'request', $2, $2)
         ON CONFLICT (id) DO NOTHING"
        ),
        params![id, now],
    )?;
    Ok(inserted > 0)
}

pub(crate) fn lock(tx: &Transaction, id: ReservationId) -> Result<Option<State>, sql::Error> {
    let row = tx.query_opt(
        sql!("SELECT state, expires_at, released_by FROM reservation WHERE id = $1 FOR UPDATE"),
        params![id],
    )?;
    row.as_ref().map(state).transpose()
}

/// Records what is held, with the units that `serial::pick` gave it, and returns it.
pub(crate) fn insert_items(
    tx: &Transaction,
    id: ReservationId,
    skus: &[SkuId],
    stocks: &[i64],
    quantities: &[i64],
) -> Result<Vec<HeldItem>, sql::Error> {
    tx.execute(
        sql!(
            "INSERT INTO reservation_item (reservation_id, sku_id, stock_id, quantity, serial_ids)
         SELECT $1, i.sku_id, i.stock_id, i.quantity,
                ARRAY(SELECT u.id::text FROM serial u
                      WHERE u.reservation_id = $1 AND u.stock_id = i.stock_id ORDER BY u.date_created, u.id)
         FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS i (sku_id, stock_id, quantity)"
        ),
        params![id, skus, stocks, quantities],
    )?;
    held_items(tx, id)
}

/// As they were answered when the reservation was made, by SKU.
pub(crate) fn held_items(tx: &Transaction, id: ReservationId) -> Result<Vec<HeldItem>, sql::Error> {
    let rows = tx.query(
        sql!("SELECT sku_id, quantity, serial_ids FROM reservation_item WHERE reservation_id = $1 ORDER BY sku_id"),
        params![id],
    )?;
    rows.iter()
        .map(|row| {
            Ok(HeldItem {
                sku: row.get("sku_id")?,
                quantity: row.get("quantity")?,
                serials: row.get("serial_ids")?,
            })
        })
        .collect()
}

/// What is still out, of a reservation that this transaction holds.
pub(crate) fn open_items(tx: &Transaction, id: ReservationId) -> Result<Vec<OpenItem>, sql::Error> {
    let rows = tx.query(
        sql!(
            "SELECT stock_id, quantity - returned AS remaining, cardinality(serial_ids) > 0 AS tracked
         FROM reservation_item
         WHERE reservation_id = $1 AND returned < quantity
         ORDER BY sku_id"
        ),
        params![id],
    )?;
    rows.iter()
        .map(|row| {
            Ok(OpenItem {
                stock: StockId(row.get("stock_id")?),
                remaining: row.get("remaining")?,
                tracked: row.get("tracked")?,
            })
        })
        .collect()
}

pub(crate) fn part_item(tx: &Transaction, id: ReservationId, sku: SkuId) -> Result<Option<PartItem>, sql::Error> {
    let row = tx.query_opt(
        sql!(
            "SELECT stock_id, quantity - returned AS remaining, cardinality(serial_ids) > 0 AS tracked
         FROM reservation_item
         WHERE reservation_id = $1 AND sku_id = $2"
        ),
        params![id, sku],
    )?;
    row.map(|row| {
        Ok(PartItem {
            stock: StockId(row.get("stock_id")?),
            remaining: row.get("remaining")?,
            tracked: row.get("tracked")?,
        })
    })
    .transpose()
}

/// Held becomes sold.
pub(crate) fn set_committed(tx: &Transaction, id: ReservationId, now: Timestamp) -> Result<(), sql::Error> {
    tx.execute(
        sql!("UPDATE reservation SET state = 'committed', date_updated = $2 WHERE id = $1"),
        params![id, now],
    )?;
    Ok(())
}

/// Ends a reservation; everything of it went back.
pub(crate) fn set_released(
    tx: &Transaction,
    id: ReservationId,
    by_expiry: bool,
    now: Timestamp,
) -> Result<(), sql::Error> {
    let by = if by_expiry { "expiry" } else { "request" };
    tx.execute(
        sql!("UPDATE reservation SET state = 'released', released_by = $2, date_updated = $3 WHERE id = $1"),
        params![id, by, now],
    )?;
    tx.execute(
        sql!("UPDATE reservation_item SET returned = quantity WHERE reservation_id = $1 AND returned < quantity"),
        params![id],
    )?;
    Ok(())
}

pub(crate) fn find_operation(tx: &Transaction, id: OperationId) -> Result<Option<DoneOperation>, sql::Error> {
    let row = tx.query_opt(
        sql!(
            "SELECT o.reservation_id, i.sku_id, o.quantity
         FROM release_operation o
         JOIN reservation_item i ON i.reservation_id = o.reservation_id AND i.stock_id = o.stock_id
         WHERE o.id = $1"
        ),
        params![id],
    )?;
    row.map(|row| {
        Ok(DoneOperation {
            reservation: row.get("reservation_id")?,
            sku: row.get("sku_id")?,
            quantity: row.get("quantity")?,
        })
    })
    .transpose()
}

/// Records a partial release and how much went back with it.
pub(crate) fn insert_operation(
    tx: &Transaction,
    id: OperationId,
    reservation: ReservationId,
    stock: StockId,
    quantity: i64,
    serials: &[String],
    now: Timestamp,
) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "INSERT INTO release_operation (id, reservation_id, stock_id, quantity, serial_ids, date_created)
         VALUES ($1, $2, $3, $4, $5, $6)"
        ),
        params![id, reservation, stock.0, quantity, serials, now],
    )?;
    tx.execute(
        sql!("UPDATE reservation_item SET returned = returned + $3 WHERE reservation_id = $1 AND stock_id = $2"),
        params![reservation, stock.0, quantity],
    )?;
    Ok(())
}

fn state(row: &Row) -> Result<State, sql::Error> {
    let state: String = row.get("state")?;
    let released_by: Option<String> = row.get("released_by")?;
    Ok(match (state.as_str(), released_by.as_deref()) {
        ("held", _) => State::Held {
            expires: row.get("expires_at")?,
        },
        ("committed", _) => State::Committed,
        (_, Some("expiry")) => State::Expired,
        _ => State::Released,
    })
}
