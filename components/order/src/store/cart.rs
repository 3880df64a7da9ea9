//! Cart lines.

use sdk::{
    AccountId,
    sql::{self, Error, Row, Transaction, params, sql},
};

use crate::domain::{
    cart::{MAX_LINES, MAX_QUANTITY},
    id::{SessionId, SkuId},
};

/// A SKU and how many of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CartLine {
    pub(crate) sku_id: SkuId,
    pub(crate) quantity: i64,
}

/// An account's cart, oldest line first.
pub(crate) fn list(account: AccountId) -> Result<Vec<CartLine>, Error> {
    sql::query(
        sql!(r#"SELECT sku_id, quantity FROM "order".cart_item WHERE account_id = $1 ORDER BY id"#),
        params![account],
    )?
    .iter()
    .map(line)
    .collect()
}

/// Makes the quantity of a SKU this one. False when that would be a further line in a cart of [`MAX_LINES`]; two requests at once may go beyond.
pub(crate) fn set(account: AccountId, line: CartLine) -> Result<bool, Error> {
    let changed = sql::execute(
        sql!(
            r#"INSERT INTO "order".cart_item AS c (account_id, sku_id, quantity)
           SELECT $1, $2, $3::bigint
           WHERE EXISTS (SELECT FROM "order".cart_item WHERE account_id = $1 AND sku_id = $2)
              OR (SELECT count(*) FROM "order".cart_item WHERE account_id = $1) < $4
           ON CONFLICT (account_id, sku_id) DO UPDATE SET quantity = excluded.quantity"#
        ),
        params![account, line.sku_id, line.quantity, MAX_LINES],
    )?;
    Ok(changed == 1)
}

/// Adds to the quantity of a SKU, up to [`MAX_QUANTITY`]. False as with [`set`].
pub(crate) fn add(account: AccountId, line: CartLine) -> Result<bool, Error> {
    let changed = sql::execute(
        sql!(
            r#"INSERT INTO "order".cart_item AS c (account_id, sku_id, quantity)
           SELECT $1, $2, LEAST($3::bigint, $4::bigint)
           WHERE EXISTS (SELECT FROM "order".cart_item WHERE account_id = $1 AND sku_id = $2)
              OR (SELECT count(*) FROM "order".cart_item WHERE account_id = $1) < $5
           ON CONFLICT (account_id, sku_id) DO UPDATE SET quantity = LEAST(c.quantity + excluded.quantity, $4::bigint)"#
        ),
        params![account, line.sku_id, line.quantity, MAX_QUANTITY, MAX_LINES],
    )?;
    Ok(changed == 1)
}

/// Removes a SKU; nothing there is fine.
pub(crate) fn remove(account: AccountId, sku: SkuId) -> Result<(), Error> {
    sql::execute(
        sql!(r#"DELETE FROM "order".cart_item WHERE account_id = $1 AND sku_id = $2"#),
        params![account, sku],
    )
    .map(drop)
}

/// Empties a cart.
pub(crate) fn clear(account: AccountId) -> Result<(), Error> {
    sql::execute(
        sql!(r#"DELETE FROM "order".cart_item WHERE account_id = $1"#),
        params![account],
    )
    .map(drop)
}

/// Takes these SKUs out of a cart, for a session that may have to give them back.
pub(crate) fn take(tx: &Transaction, session: SessionId, account: AccountId, skus: &[SkuId]) -> Result<(), Error> {
    tx.execute(
        sql!(
            r#"WITH taken AS (
               DELETE FROM "order".cart_item WHERE account_id = $2 AND sku_id = ANY($3) RETURNING sku_id, quantity
           )
           INSERT INTO "order".cart_taken (session_id, account_id, sku_id, quantity)
           SELECT $1, $2, sku_id, quantity FROM taken"#
        ),
        params![session, account, skus],
    )
    .map(drop)
}

/// Puts back what a session has taken of these SKUs, up to [`MAX_QUANTITY`] of one together with what was added meanwhile. Repeating it changes
/// nothing.
pub(crate) fn put_back(tx: &Transaction, session: SessionId, skus: &[SkuId]) -> Result<(), Error> {
    tx.execute(
        sql!(
            r#"WITH taken AS (
               DELETE FROM "order".cart_taken WHERE session_id = $1 AND sku_id = ANY($2) RETURNING account_id, sku_id, quantity
           )
           INSERT INTO "order".cart_item AS c (account_id, sku_id, quantity)
           SELECT account_id, sku_id, quantity FROM taken
           ON CONFLICT (account_id, sku_id) DO UPDATE SET quantity = LEAST(c.quantity + excluded.quantity, $3::bigint)"#
        ),
        params![session, skus, MAX_QUANTITY],
    )
    .map(drop)
}

fn line(row: &Row) -> Result<CartLine, Error> {
    Ok(CartLine {
        sku_id: row.get("sku_id")?,
        quantity: row.get("quantity")?,
    })
}
