//! Stock records. Every function that changes one writes its movement in the same statement.

use sdk::{
    Timestamp, Uuid,
    sql::{self, Row, Transaction, params, sql},
};

use crate::domain::{
    owner::{Owner, SkuId},
    reservation::ReservationId,
    stock::{Stock, StockId},
};

/// The constraint that more than `MAX_QUANTITY` units violate.
pub(crate) const TOTAL_CHECK: &str = "stock_total_exact_in_json";

const COLUMNS: &str =
    "id, ref_type, ref_id, stock, taken, serial_required, date_created, date_archived IS NOT NULL AS is_archived";

pub(crate) fn find(owner: Owner) -> Result<Option<Stock>, sql::Error> {
    let row = sql::query_opt(
        sql!("SELECT ", COLUMNS, " FROM stock WHERE ref_type = $1 AND ref_id = $2"),
        params![owner.kind, owner.id],
    )?;
    row.as_ref().map(stock).transpose()
}

pub(crate) fn find_by_id(id: i64) -> Result<Option<Stock>, sql::Error> {
    let row = sql::query_opt(sql!("SELECT ", COLUMNS, " FROM stock WHERE id = $1"), params![id])?;
    row.as_ref().map(stock).transpose()
}

pub(crate) fn list_of_skus(skus: &[SkuId]) -> Result<Vec<Stock>, sql::Error> {
    let rows = sql::query(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM stock WHERE ref_type = 'ProductSku' AND ref_id = ANY($1::uuid[])"
        ),
        params![skus],
    )?;
    rows.iter().map(stock).collect()
}

/// The record of a SKU, created empty when there is none. The update changes nothing; it makes the row come back.
pub(crate) fn create_or_get(sku: SkuId, now: Timestamp) -> Result<Stock, sql::Error> {
    let rows = sql::execute_returning(
        sql!(
            "INSERT INTO stock (ref_type, ref_id, stock, taken, serial_required, date_created)
         VALUES ('ProductSku', $1, 0, 0, false, $2)
         ON CONFLICT (ref_type, ref_id) DO UPDATE SET serial_required = stock.serial_required
         RETURNING ",
            COLUMNS
        ),
        params![sku, now],
    )?;
    stock(rows.first().ok_or(sql::Error::NoRow)?)
}

pub(crate) fn lock(tx: &Transaction, owner: Owner) -> Result<Option<Stock>, sql::Error> {
    let row = tx.query_opt(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM stock WHERE ref_type = $1 AND ref_id = $2 FOR UPDATE"
        ),
        params![owner.kind, owner.id],
    )?;
    row.as_ref().map(stock).transpose()
}

/// The record of a SKU, created empty when there is none: catalog may have come no further than the variant.
pub(crate) fn lock_or_create(tx: &Transaction, owner: Owner, now: Timestamp) -> Result<Stock, sql::Error> {
    if let Some(stock) = lock(tx, owner)? {
        return Ok(stock);
    }
    tx.execute(
        sql!(
            "INSERT INTO stock (ref_type, ref_id, stock, taken, serial_required, date_created)
         VALUES ($1, $2, 0, 0, false, $3)
         ON CONFLICT (ref_type, ref_id) DO NOTHING"
        ),
        params![owner.kind, owner.id, now],
    )?;
    lock(tx, owner)?.ok_or(sql::Error::NoRow)
}

/// Closes the records of SKUs that were deleted, those too that were not created so far: they would come later.
pub(crate) fn archive(skus: &[SkuId], now: Timestamp) -> Result<(), sql::Error> {
    sql::execute(
        sql!(
            "INSERT INTO stock (ref_type, ref_id, stock, taken, serial_required, date_created, date_archived)
         SELECT DISTINCT 'ProductSku', sku_id, 0, 0, false, $2::timestamptz, $2 FROM unnest($1::uuid[]) AS sku_id ORDER BY sku_id
         ON CONFLICT (ref_type, ref_id) DO UPDATE SET date_archived = COALESCE(stock.date_archived, $2)"
        ),
        params![skus, now],
    )?;
    Ok(())
}

/// In the order all transactions lock stocks in.
pub(crate) fn lock_skus(tx: &Transaction, skus: &[SkuId]) -> Result<Vec<Stock>, sql::Error> {
    let rows = tx.query(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM stock WHERE ref_type = 'ProductSku' AND ref_id = ANY($1::uuid[])
         ORDER BY ref_type, ref_id FOR UPDATE"
        ),
        params![skus],
    )?;
    rows.iter().map(stock).collect()
}

/// In the same order.
pub(crate) fn lock_ids(tx: &Transaction, ids: &[i64]) -> Result<Vec<Stock>, sql::Error> {
    let rows = tx.query(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM stock WHERE id = ANY($1::bigint[])
         ORDER BY ref_type, ref_id FOR UPDATE"
        ),
        params![ids],
    )?;
    rows.iter().map(stock).collect()
}

/// Units brought in by the seller.
pub(crate) fn import(
    tx: &Transaction,
    id: StockId,
    change: i64,
    invocation: &str,
    now: Timestamp,
) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "WITH moved AS (UPDATE stock SET stock = stock + $2 WHERE id = $1 RETURNING id, stock)
         INSERT INTO stock_history
            (stock_id, reason, change, held_change, sold_change, stock_after, reference, date_created)
         SELECT id, 'import', $2, 0, 0, stock, $3, $4 FROM moved"
        ),
        params![id.0, change, invocation, now],
    )?;
    Ok(())
}

/// Units that go from free to held; the stocks are locked and have enough.
pub(crate) fn hold(
    tx: &Transaction,
    reservation: ReservationId,
    stocks: &[i64],
    quantities: &[i64],
    now: Timestamp,
) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "WITH moved AS (
             UPDATE stock s SET stock = s.stock - i.quantity, taken = s.taken + i.quantity
             FROM unnest($2::bigint[], $3::bigint[]) AS i (stock_id, quantity)
             WHERE s.id = i.stock_id
             RETURNING s.id, s.stock, i.quantity
         )
         INSERT INTO stock_history
            (stock_id, reason, change, held_change, sold_change, stock_after, reference, date_created)
         SELECT id, 'reserve', -quantity, quantity, 0, stock, $1::uuid::text, $4 FROM moved ORDER BY id"
        ),
        params![reservation, stocks, quantities, now],
    )?;
    Ok(())
}

/// Units that go from held to sold: only the log tells the two apart.
pub(crate) fn sell(
    tx: &Transaction,
    reservation: ReservationId,
    stocks: &[i64],
    quantities: &[i64],
    now: Timestamp,
) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "INSERT INTO stock_history
            (stock_id, reason, change, held_change, sold_change, stock_after, reference, date_created)
         SELECT s.id, 'sell', 0, -i.quantity, i.quantity, s.stock, $1::uuid::text, $4
         FROM unnest($2::bigint[], $3::bigint[]) AS i (stock_id, quantity)
         JOIN stock s ON s.id = i.stock_id
         ORDER BY s.id"
        ),
        params![reservation, stocks, quantities, now],
    )?;
    Ok(())
}

/// Units that go back to free, from sold or from held.
pub(crate) fn put_back(
    tx: &Transaction,
    reservation: ReservationId,
    stocks: &[i64],
    quantities: &[i64],
    were_sold: bool,
    now: Timestamp,
) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "WITH moved AS (
             UPDATE stock s SET stock = s.stock + i.quantity, taken = s.taken - i.quantity
             FROM unnest($2::bigint[], $3::bigint[]) AS i (stock_id, quantity)
             WHERE s.id = i.stock_id
             RETURNING s.id, s.stock, i.quantity
         )
         INSERT INTO stock_history
            (stock_id, reason, change, held_change, sold_change, stock_after, reference, date_created)
         SELECT id, 'release', quantity, CASE WHEN $5 THEN 0 ELSE -quantity END, CASE WHEN $5 THEN -quantity ELSE 0 END,
                stock, $1::uuid::text, $4
         FROM moved ORDER BY id"
        ),
        params![reservation, stocks, quantities, now, were_sold],
    )?;
    Ok(())
}

/// Units whose seller made them available (+1) or not (-1), one movement for each serial.
pub(crate) fn adjust(
    tx: &Transaction,
    id: StockId,
    each: i64,
    serials: &[String],
    now: Timestamp,
) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "WITH moved AS (
             UPDATE stock SET stock = stock + $2::bigint * cardinality($3::text[]) WHERE id = $1 RETURNING id, stock
         )
         INSERT INTO stock_history
            (stock_id, reason, change, held_change, sold_change, stock_after, reference, date_created)
         SELECT m.id, 'adjust', $2, 0, 0, m.stock - $2 * (cardinality($3::text[]) - i.place), i.serial, $4
         FROM moved m, unnest($3::text[]) WITH ORDINALITY AS i (serial, place)
         ORDER BY i.place"
        ),
        params![id.0, each, serials, now],
    )?;
    Ok(())
}

pub(crate) fn set_serial_required(tx: &Transaction, id: StockId, required: bool) -> Result<(), sql::Error> {
    tx.execute(
        sql!("UPDATE stock SET serial_required = $2 WHERE id = $1"),
        params![id.0, required],
    )?;
    Ok(())
}

fn stock(row: &Row) -> Result<Stock, sql::Error> {
    Ok(Stock {
        id: StockId(row.get("id")?),
        ref_type: row.get("ref_type")?,
        ref_id: row.get::<Uuid>("ref_id")?,
        available: row.get("stock")?,
        taken: row.get("taken")?,
        serial_required: row.get("serial_required")?,
        created: row.get("date_created")?,
        is_archived: row.get("is_archived")?,
    })
}
