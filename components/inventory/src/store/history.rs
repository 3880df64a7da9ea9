//! The movement log, read; `store/stock.rs` writes it.

use sdk::{
    Page, PageRequest, Timestamp,
    http::Error as HttpError,
    sql::{self, Row, params, sql},
};

use crate::domain::stock::{Stock, StockId};

pub(crate) struct Movement {
    pub(crate) id: i64,
    pub(crate) stock: StockId,
    /// Of the free quantity.
    pub(crate) change: i64,
    pub(crate) reason: String,
    pub(crate) reference: Option<String>,
    pub(crate) stock_after: i64,
    pub(crate) created: Timestamp,
}

/// Oldest first, as clients know it, or newest first.
pub(crate) fn list(stock: &Stock, newest_first: bool, page: &PageRequest) -> Result<Page<Movement>, HttpError> {
    let after: Option<i64> = page.cursor()?;
    let parameters = params![stock.id.0, after, page.limit + 1, page.offset()];
    let rows = if newest_first {
        sql::query(
            sql!(
                "SELECT id, stock_id, change, reason, reference, stock_after, date_created
             FROM stock_history
             WHERE stock_id = $1 AND ($2::bigint IS NULL OR id < $2)
             ORDER BY id DESC
             LIMIT $3 OFFSET $4"
            ),
            parameters,
        )?
    } else {
        sql::query(
            sql!(
                "SELECT id, stock_id, change, reason, reference, stock_after, date_created
             FROM stock_history
             WHERE stock_id = $1 AND ($2::bigint IS NULL OR id > $2)
             ORDER BY id
             LIMIT $3 OFFSET $4"
            ),
            parameters,
        )?
    };
    let total: i64 = sql::query_one(
        sql!("SELECT count(*) FROM stock_history WHERE stock_id = $1"),
        params![stock.id.0],
    )?
    .get(0)?;
    let movements = rows.iter().map(movement).collect::<Result<_, _>>()?;
    Ok(Page::from_rows(page, movements, total, |movement: &Movement| {
        movement.id
    }))
}

fn movement(row: &Row) -> Result<Movement, sql::Error> {
    Ok(Movement {
        id: row.get("id")?,
        stock: StockId(row.get("stock_id")?),
        change: row.get("change")?,
        reason: row.get("reason")?,
        reference: row.get("reference")?,
        stock_after: row.get("stock_after")?,
        created: row.get("date_created")?,
    })
}
