//! Serial numbers. Whoever changes the status of one holds the lock of its stock.

use sdk::{
    Page, PageRequest, Timestamp, Uuid,
    http::Error as HttpError,
    sql::{self, Row, Transaction, params, sql},
};

use crate::domain::{
    reservation::ReservationId,
    serial::Status,
    stock::{Stock, StockId},
};

pub(crate) struct Serial {
    pub(crate) id: String,
    pub(crate) stock: StockId,
    pub(crate) status: Status,
    pub(crate) created: Timestamp,
}

/// A serial and where it is.
pub(crate) struct Unit {
    pub(crate) id: String,
    pub(crate) stock: StockId,
}

/// A stock and whose it is.
pub(crate) struct Holder {
    pub(crate) stock: StockId,
    pub(crate) sku: Uuid,
}

/// In the order of their texts.
pub(crate) fn list(stock: &Stock, page: &PageRequest) -> Result<Page<Serial>, HttpError> {
    let after: Option<String> = page.cursor()?;
    let rows = sql::query(
        sql!(
            "SELECT id, stock_id, status, date_created
         FROM serial
         WHERE stock_id = $1 AND ($2::text IS NULL OR id > $2)
         ORDER BY id
         LIMIT $3 OFFSET $4"
        ),
        params![stock.id.0, after, page.limit + 1, page.offset()],
    )?;
    let total: i64 = sql::query_one(
        sql!("SELECT count(*) FROM serial WHERE stock_id = $1"),
        params![stock.id.0],
    )?
    .get(0)?;
    let serials = rows.iter().map(serial).collect::<Result<_, _>>()?;
    Ok(Page::from_rows(page, serials, total, |serial: &Serial| {
        serial.id.clone()
    }))
}

/// Stocks read at once: much less than one answer of the database (1 MiB).
const PORTION: usize = 5_000;

/// Every stock that has units of these texts, and whose it is; other sellers' among them, and archived ones left out. With `stock` that one
/// alone. In portions: how many there are is up to others.
pub(crate) fn holders(ids: &[String], stock: Option<i64>) -> Result<Vec<Holder>, sql::Error> {
    let mut holders: Vec<Holder> = Vec::new();
    loop {
        let after = holders.last().map_or(0, |holder| holder.stock.0);
        let rows = sql::query(
            sql!(
                "SELECT s.id, s.ref_id
         FROM stock s
         WHERE s.id IN (SELECT u.stock_id FROM serial u WHERE u.id = ANY($1::text[]))
           AND s.ref_type = 'ProductSku' AND s.date_archived IS NULL
           AND s.id > $2 AND ($3::bigint IS NULL OR s.id = $3)
         ORDER BY s.id
         LIMIT $4"
            ),
            params![ids, after, stock, PORTION as i64],
        )?;
        for row in &rows {
            holders.push(Holder {
                stock: StockId(row.get("id")?),
                sku: row.get("ref_id")?,
            });
        }
        if rows.len() < PORTION {
            return Ok(holders);
        }
    }
}

/// The units of these texts in some stocks, by text; when one of the texts is in several of the stocks, not all of them.
pub(crate) fn in_stocks(ids: &[String], stocks: &[i64]) -> Result<Vec<Unit>, sql::Error> {
    let rows = sql::query(
        sql!(
            "SELECT id, stock_id FROM serial
         WHERE stock_id = ANY($2::bigint[]) AND id = ANY($1::text[])
         ORDER BY id, stock_id
         LIMIT $3"
        ),
        params![ids, stocks, ids.len() as i64 + 1],
    )?;
    rows.iter()
        .map(|row| {
            Ok(Unit {
                id: row.get("id")?,
                stock: StockId(row.get("stock_id")?),
            })
        })
        .collect()
}

pub(crate) fn count_active(tx: &Transaction, stock: StockId) -> Result<i64, sql::Error> {
    tx.query_one(
        sql!("SELECT count(*) FROM serial WHERE stock_id = $1 AND status = 'Active'"),
        params![stock.0],
    )?
    .get(0)
}

/// Adds free units; returns the texts that were new.
pub(crate) fn insert(
    tx: &Transaction,
    stock: StockId,
    serials: &[String],
    now: Timestamp,
) -> Result<Vec<String>, sql::Error> {
    let rows = tx.query(
        sql!(
            "INSERT INTO serial (stock_id, id, status, date_created)
         SELECT $1, id, 'Active', $3 FROM unnest($2::text[]) AS id
         ON CONFLICT (stock_id, id) DO NOTHING
         RETURNING id"
        ),
        params![stock.0, serials, now],
    )?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Adds free units for those that left before their stock began to require serials and come back without one: else the quantity
/// would say that they are free and no serial could be picked for them. Their texts begin with `batch`, an id drawn for them: one that
/// their seller can know before could be taken, and they would never come back.
pub(crate) fn insert_returned(
    tx: &Transaction,
    stock: StockId,
    batch: Uuid,
    quantity: i64,
    now: Timestamp,
) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "INSERT INTO serial (stock_id, id, status, date_created)
         SELECT $1, $2::uuid::text || '-' || number, 'Active', $4 FROM generate_series(1, $3::bigint) AS number"
        ),
        params![stock.0, batch, quantity, now],
    )?;
    Ok(())
}

/// Gives the oldest free units to a reservation; returns how many there were, at most `quantity`.
pub(crate) fn pick(
    tx: &Transaction,
    stock: StockId,
    reservation: ReservationId,
    quantity: i64,
) -> Result<i64, sql::Error> {
    let picked = tx.execute(
        sql!(
            "UPDATE serial SET status = 'Taken', reservation_id = $2
         WHERE stock_id = $1 AND id IN (
             SELECT id FROM serial
             WHERE stock_id = $1 AND status = 'Active'
             ORDER BY date_created, id
             LIMIT $3
             FOR UPDATE
         )"
        ),
        params![stock.0, reservation, quantity],
    )?;
    Ok(i64::try_from(picked).unwrap_or(i64::MAX))
}

/// Makes all units of a reservation free again.
pub(crate) fn return_all(tx: &Transaction, reservation: ReservationId) -> Result<(), sql::Error> {
    tx.execute(
        sql!("UPDATE serial SET status = 'Active', reservation_id = NULL WHERE reservation_id = $1"),
        params![reservation],
    )?;
    Ok(())
}

/// Makes these units of a reservation free again; returns how many it had.
pub(crate) fn return_some(
    tx: &Transaction,
    stock: StockId,
    reservation: ReservationId,
    serials: &[String],
) -> Result<u64, sql::Error> {
    tx.execute(
        sql!(
            "UPDATE serial SET status = 'Active', reservation_id = NULL
         WHERE stock_id = $1 AND reservation_id = $2 AND id = ANY($3::text[])"
        ),
        params![stock.0, reservation, serials],
    )
}

/// Their present status, locked.
pub(crate) fn lock(tx: &Transaction, stock: StockId, serials: &[String]) -> Result<Vec<Serial>, sql::Error> {
    let rows = tx.query(
        sql!(
            "SELECT id, stock_id, status, date_created
         FROM serial
         WHERE stock_id = $1 AND id = ANY($2::text[])
         ORDER BY id FOR UPDATE"
        ),
        params![stock.0, serials],
    )?;
    rows.iter().map(serial).collect()
}

pub(crate) fn set_status(
    tx: &Transaction,
    stock: StockId,
    serials: &[String],
    status: Status,
) -> Result<(), sql::Error> {
    tx.execute(
        sql!("UPDATE serial SET status = $3 WHERE stock_id = $1 AND id = ANY($2::text[])"),
        params![stock.0, serials, status],
    )?;
    Ok(())
}

fn serial(row: &Row) -> Result<Serial, sql::Error> {
    Ok(Serial {
        id: row.get("id")?,
        stock: StockId(row.get("stock_id")?),
        status: row.get("status")?,
        created: row.get("date_created")?,
    })
}
