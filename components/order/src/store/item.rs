//! Lines of checkouts.

use std::collections::BTreeMap;

use sdk::{
    AccountId, Currency, Timestamp,
    sql::{self, Error, Json, Row, Transaction, params, sql},
};

use crate::domain::{
    checkout::Line,
    id::{ItemId, OrderId, ReservationId, SessionId, SkuId},
    item::Item,
};

/// What the lines of one checkout have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Common<'a> {
    pub(crate) session_id: SessionId,
    pub(crate) buyer: AccountId,
    pub(crate) address: &'a str,
    pub(crate) currency: Currency,
    pub(crate) now: Timestamp,
}

/// Inserts the lines of a checkout in one statement. `serials` has the units picked for each line, none for goods without.
pub(crate) fn insert(
    tx: &Transaction,
    common: Common<'_>,
    lines: &[Line],
    serials: &[Vec<String>],
) -> Result<(), Error> {
    fn column<T>(lines: &[Line], of: impl Fn(&Line) -> T) -> Vec<T> {
        lines.iter().map(of).collect()
    }
    // Arrays have no nulls: an empty text stands for none.
    let serials: Vec<String> = serials
        .iter()
        .map(|serials| {
            if serials.is_empty() {
                String::new()
            } else {
                serde_json::Value::from(serials.clone()).to_string()
            }
        })
        .collect();
    tx.execute(
        sql!(r#"INSERT INTO "order".item
               (account_id, seller_id, sku_id, spu_id, slug, sku_name, address, note, serial_ids, quantity, weight_grams,
                transport_option, currency, unit_amount, subtotal_amount, shipping_amount, total_amount,
                wallet_amount, payment_session_id, reservation_id, date_created)
           SELECT $1, line.seller_id, line.sku_id, line.spu_id, line.slug, line.sku_name, $2, NULLIF(line.note, ''),
                  NULLIF(line.serials, '')::jsonb, line.quantity, line.weight_grams, line.transport_option, $3,
                  line.unit_amount, line.subtotal_amount, line.shipping_amount, line.total_amount, line.wallet_amount, $4,
                  line.reservation_id, $5
           FROM unnest($6::uuid[], $7::uuid[], $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[],
                       $14::bigint[], $15::text[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::uuid[])
                WITH ORDINALITY
                AS line (seller_id, sku_id, spu_id, slug, sku_name, note, serials, quantity,
                         weight_grams, transport_option, unit_amount, subtotal_amount, shipping_amount, total_amount,
                         wallet_amount, reservation_id, position)
           ORDER BY line.position"#),
        params![
            common.buyer,
            common.address,
            common.currency,
            common.session_id,
            common.now,
            column(lines, |line| line.offer.seller_id),
            column(lines, |line| line.wanted.sku_id),
            column(lines, |line| line.offer.spu_id),
            column(lines, |line| line.offer.slug.clone()),
            column(lines, |line| line.offer.label()),
            column(lines, |line| line.wanted.note.clone().unwrap_or_default()),
            serials,
            column(lines, |line| line.wanted.quantity),
            column(lines, |line| i64::from(line.offer.weight_grams)),
            column(lines, |line| line.wanted.transport_option.clone()),
            column(lines, |line| line.offer.price),
            column(lines, |line| line.subtotal_amount),
            column(lines, |line| line.shipping_amount),
            column(lines, |line| line.total_amount),
            column(lines, |line| line.wallet_amount),
            column(lines, |line| line.reservation_id)
        ],
    )
    .map(drop)
}

/// Lines that are read at once: the widest fit one answer of the database (1 MiB), but for the numbers of their units.
const PORTION: usize = 100;

/// Numbers of units that do not come with the lines, but in portions of their own: from this many bytes on.
const LONG_SERIALS: i64 = 2048;

/// Bytes of such numbers that are read at once. The longest there are of one line fit: 1,000 of 512 bytes.
const SERIALS_PORTION: i64 = 768 * 1024;

/// Bytes of such numbers that one answer shows; the lines whose numbers are beyond it say so.
const SERIALS_SHOWN: i64 = 5 * 1024 * 1024;

/// Bytes of lines, but for these numbers, that one answer shows of orders: a thousand of the widest. With the numbers, and a hundred orders, it is
/// under 16 MiB, which the memory of an instance holds as rows and as an answer that grows.
const LINES_SHOWN: i64 = 10 * 1024 * 1024;

/// The columns of a line. What follows says which.
pub(super) const LINES: &str = r#"SELECT i.id, i.order_id, i.confirm_session_id, i.account_id, i.seller_id, i.sku_id, i.spu_id, i.slug, i.sku_name,
           i.address, i.note, i.quantity, i.weight_grams, i.transport_option, i.currency, i.subtotal_amount, i.total_amount, i.wallet_amount,
           i.payment_session_id, i.reservation_id, i.date_created, i.date_cancelled, i.cancelled_by_id,
           COALESCE(octet_length(i.serial_ids::text), 0)::bigint AS serials_bytes,
           CASE WHEN octet_length(i.serial_ids::text) <= 2048 THEN i.serial_ids END AS serial_ids
    FROM "order".item i "#;

/// The same without the texts, which never change: what a transaction reads is recorded with it, and all of it together has 1 MiB.
const LOCKED: &str = r#"SELECT i.id, i.order_id, i.confirm_session_id, i.account_id, i.seller_id, i.sku_id, i.spu_id, '' AS slug, '' AS sku_name,
           '' AS address, NULL::text AS note, i.quantity, i.weight_grams, '' AS transport_option, i.currency, i.subtotal_amount, i.total_amount,
           i.wallet_amount, i.payment_session_id, i.reservation_id, i.date_created, i.date_cancelled, i.cancelled_by_id,
           0::bigint AS serials_bytes, NULL::jsonb AS serial_ids
    FROM "order".item i "#;

/// Lines by id; unknown ones are left out.
pub(crate) fn by_ids(ids: &[ItemId]) -> Result<Vec<Item>, Error> {
    in_portions(|after| {
        sql::query(
            sql!(LINES, "WHERE i.id = ANY($1) AND i.id > $2 ORDER BY i.id LIMIT $3"),
            params![ids, after, PORTION as i64],
        )
    })
}

/// The lines of a checkout.
pub(crate) fn of_session(session: SessionId) -> Result<Vec<Item>, Error> {
    in_portions(|after| {
        sql::query(
            sql!(
                LINES,
                "WHERE i.payment_session_id = $1 AND i.id > $2 ORDER BY i.id LIMIT $3"
            ),
            params![session, after, PORTION as i64],
        )
    })
}

/// How many lines were quoted as one parcel in this checkout, whatever became of them.
pub(crate) fn parcel_lines(checkout: SessionId, seller: AccountId, transport_option: &str) -> Result<i64, Error> {
    sql::query_one(
        sql!(
            r#"SELECT count(*) AS lines FROM "order".item
           WHERE payment_session_id = $1 AND seller_id = $2 AND transport_option = $3"#
        ),
        params![checkout, seller, transport_option],
    )?
    .get("lines")
}

/// The lines of orders, as one answer shows them.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// All of them, unless they are very many or very wide: then each order has its first line, and of the next ones, taken in turn, as many as
    /// there is room for.
    pub(crate) lines: Vec<Item>,
    pub(crate) sums: BTreeMap<OrderId, Sum>,
}

/// All lines of an order, whether they are shown or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum {
    pub(crate) lines: i64,
    /// What those cost that are not cancelled.
    pub(crate) total_amount: i64,
}

pub(crate) fn of_orders(orders: &[OrderId]) -> Result<Shown, Error> {
    if orders.is_empty() {
        return Ok(Shown::default());
    }
    // As JSON, in which clients get them: 1,000 bytes are the keys, ids, dates and amounts. An order's sums come with its first line.
    let shown = sql::query(
        sql!(
            r#"SELECT id, CASE WHEN nth = 1 THEN order_id END AS sums_of, CASE WHEN nth = 1 THEN lines END AS lines,
                      CASE WHEN nth = 1 THEN total END AS total
               FROM (
                   SELECT id, order_id, nth, lines, total, sum(size) OVER (ORDER BY nth, place) AS so_far FROM (
                       SELECT i.id, i.order_id, array_position($1::uuid[], i.order_id) AS place,
                              row_number() OVER (PARTITION BY i.order_id ORDER BY i.id) AS nth,
                              count(*) OVER every AS lines,
                              COALESCE(sum(i.total_amount) FILTER (WHERE i.date_cancelled IS NULL) OVER every, 0)::bigint AS total,
                              1000 + octet_length(to_json(i.sku_name)::text) + octet_length(to_json(i.address)::text)
                                   + COALESCE(octet_length(to_json(i.note)::text), 0)
                                   + LEAST(COALESCE(octet_length(i.serial_ids::text), 0), 2048) AS size
                       FROM "order".item i WHERE i.order_id = ANY($1::uuid[])
                       WINDOW every AS (PARTITION BY i.order_id)
                   ) line
               ) page WHERE so_far <= $2::bigint OR nth = 1 ORDER BY id"#
        ),
        params![orders, LINES_SHOWN],
    )?;
    let mut ids = Vec::with_capacity(shown.len());
    let mut sums = BTreeMap::new();
    for row in &shown {
        ids.push(row.get("id")?);
        if let Some(order) = row.get::<Option<OrderId>>("sums_of")? {
            let sum = Sum {
                lines: row.get("lines")?,
                total_amount: row.get("total")?,
            };
            sums.insert(order, sum);
        }
    }
    Ok(Shown {
        lines: by_ids(&ids)?,
        sums,
    })
}

/// The lines of an order, which never change.
pub(crate) fn ids_of_order(tx: &Transaction, order: OrderId) -> Result<Vec<ItemId>, Error> {
    tx.query(
        sql!(r#"SELECT id FROM "order".item WHERE order_id = $1 ORDER BY id"#),
        params![order],
    )?
    .iter()
    .map(|row| row.get("id"))
    .collect()
}

/// The checkout of a buyer's line, which never changes.
pub(crate) fn session_of(tx: &Transaction, id: ItemId, buyer: AccountId) -> Result<Option<SessionId>, Error> {
    tx.query_opt(
        sql!(r#"SELECT payment_session_id FROM "order".item WHERE id = $1 AND account_id = $2"#),
        params![id, buyer],
    )?
    .map(|row| row.get("payment_session_id"))
    .transpose()
}

/// Locks lines by id, without texts and numbers of units; unknown ones are left out.
pub(crate) fn lock(tx: &Transaction, ids: &[ItemId]) -> Result<Vec<Item>, Error> {
    in_portions(|after| {
        tx.query(
            sql!(
                LOCKED,
                "WHERE i.id = ANY($1) AND i.id > $2 ORDER BY i.id LIMIT $3 FOR UPDATE"
            ),
            params![ids, after, PORTION as i64],
        )
    })
}

/// Locks the lines of a checkout, without texts and numbers of units.
pub(crate) fn lock_of_session(tx: &Transaction, session: SessionId) -> Result<Vec<Item>, Error> {
    in_portions(|after| {
        tx.query(
            sql!(
                LOCKED,
                "WHERE i.payment_session_id = $1 AND i.id > $2 ORDER BY i.id LIMIT $3 FOR UPDATE"
            ),
            params![session, after, PORTION as i64],
        )
    })
}

/// Whether the line that holds this stock keeps it: it is paid, claimed by a confirmation, or in an order.
pub(crate) fn is_kept(reservation: ReservationId) -> Result<bool, Error> {
    let kept = sql::query_opt(
        sql!(
            r#"SELECT i.id FROM "order".item i JOIN "order".payment_session s ON s.id = i.payment_session_id
           WHERE i.reservation_id = $1 AND i.date_cancelled IS NULL
             AND (i.confirm_session_id IS NOT NULL OR i.order_id IS NOT NULL OR s.status = 'Success')"#
        ),
        params![reservation],
    )?;
    Ok(kept.is_some())
}

/// Marks lines cancelled; `by` none is the system. Returns the stock to release.
pub(crate) fn cancel(
    tx: &Transaction,
    ids: &[ItemId],
    by: Option<AccountId>,
    now: Timestamp,
) -> Result<Vec<ReservationId>, Error> {
    let mut released: Vec<(ItemId, ReservationId)> = tx
        .query(
            sql!(
                r#"UPDATE "order".item SET date_cancelled = $2, cancelled_by_id = $3
               WHERE id = ANY($1) AND date_cancelled IS NULL RETURNING id, reservation_id"#
            ),
            params![ids, now, by],
        )?
        .iter()
        .map(|row| Ok((row.get("id")?, row.get("reservation_id")?)))
        .collect::<Result<_, Error>>()?;
    // The database promises no order, and what follows must not depend on it.
    released.sort();
    Ok(released.into_iter().map(|(_, reservation)| reservation).collect())
}

/// What is left of a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remaining {
    /// Lines that are not cancelled.
    pub(crate) lines: i64,
    /// What they cost together.
    pub(crate) total_amount: i64,
    /// As much of it as no wallet has paid.
    pub(crate) due_amount: i64,
}

/// What is left of a checkout.
pub(crate) fn remaining(tx: &Transaction, session: SessionId) -> Result<Remaining, Error> {
    let row = tx.query_one(
        sql!(
            r#"SELECT count(*) AS lines, COALESCE(sum(total_amount), 0)::bigint AS total,
                  COALESCE(sum(total_amount - wallet_amount), 0)::bigint AS due
           FROM "order".item WHERE payment_session_id = $1 AND date_cancelled IS NULL"#
        ),
        params![session],
    )?;
    Ok(Remaining {
        lines: row.get("lines")?,
        total_amount: row.get("total")?,
        due_amount: row.get("due")?,
    })
}

/// Claims open lines for a confirmation; returns how many it got.
pub(crate) fn claim(tx: &Transaction, ids: &[ItemId], claim: SessionId) -> Result<u64, Error> {
    tx.execute(
        sql!(
            r#"UPDATE "order".item SET confirm_session_id = $2
           WHERE id = ANY($1) AND confirm_session_id IS NULL AND order_id IS NULL AND date_cancelled IS NULL"#
        ),
        params![ids, claim],
    )
}

/// Gives a claim back, as far as it did not become an order.
pub(crate) fn unclaim(tx: &Transaction, claim: SessionId) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".item SET confirm_session_id = NULL WHERE confirm_session_id = $1 AND order_id IS NULL"#),
        params![claim],
    )
    .map(drop)
}

/// Puts the claimed lines into an order; returns how many.
pub(crate) fn place(tx: &Transaction, claim: SessionId, order: OrderId) -> Result<u64, Error> {
    tx.execute(
        sql!(
            r#"UPDATE "order".item SET order_id = $2
           WHERE confirm_session_id = $1 AND order_id IS NULL AND date_cancelled IS NULL"#
        ),
        params![claim, order],
    )
}

/// Whether an order of this buyer that was delivered holds an uncancelled line of one of these SKUs.
pub(crate) fn bought(buyer: AccountId, order: OrderId, skus: &[SkuId]) -> Result<bool, Error> {
    sql::query_one(
        sql!(
            r#"SELECT EXISTS (
               SELECT FROM "order".item i JOIN "order"."order" o ON o.id = i.order_id
               JOIN "order".transport t ON t.id = o.transport_id AND t.status = 'Success'
               WHERE o.id = $2 AND o.buyer_id = $1 AND i.sku_id = ANY($3) AND i.date_cancelled IS NULL
           ) AS bought"#
        ),
        params![buyer, order, skus],
    )?
    .get("bought")
}

/// Lines by what a page of a list has of [`LINES`].
pub(super) fn of_page(rows: &[Row]) -> Result<Vec<Item>, Error> {
    let mut lines = Lines::new();
    lines.read(rows)?;
    Ok(lines.read)
}

/// All lines of a statement that gives the next [`PORTION`] of them behind an id.
fn in_portions(query: impl Fn(ItemId) -> Result<Vec<Row>, Error>) -> Result<Vec<Item>, Error> {
    let mut lines = Lines::new();
    loop {
        let rows = query(lines.read.last().map_or(ItemId(0), |item| item.id))?;
        lines.read(&rows)?;
        if rows.len() < PORTION {
            return Ok(lines.read);
        }
    }
}

/// Lines as far as they are read.
struct Lines {
    read: Vec<Item>,
    /// Bytes of long numbers that there is room for.
    room: i64,
}

impl Lines {
    fn new() -> Self {
        Self {
            read: Vec::new(),
            room: SERIALS_SHOWN,
        }
    }

    fn read(&mut self, rows: &[Row]) -> Result<(), Error> {
        let mut long: Vec<(ItemId, i64)> = Vec::new();
        for row in rows {
            let mut item = read(row)?;
            let bytes: i64 = row.get("serials_bytes")?;
            if bytes > LONG_SERIALS {
                if bytes <= self.room {
                    self.room -= bytes;
                    long.push((item.id, bytes));
                } else {
                    item.is_abridged = true;
                }
            }
            self.read.push(item);
        }
        let mut rest = long.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |(_, more): &&(ItemId, i64)| {
                bytes += more;
                bytes <= SERIALS_PORTION
            };
            let (portion, next) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            self.read_serials(&portion.iter().map(|(id, _)| *id).collect::<Vec<_>>())?;
            rest = next;
        }
        Ok(())
    }

    fn read_serials(&mut self, ids: &[ItemId]) -> Result<(), Error> {
        let rows = sql::query(
            sql!(r#"SELECT id, serial_ids FROM "order".item WHERE id = ANY($1)"#),
            params![ids],
        )?;
        for row in rows {
            let id: ItemId = row.get("id")?;
            if let Some(item) = self.read.iter_mut().find(|item| item.id == id) {
                item.serial_ids = serial_ids(&row)?;
            }
        }
        Ok(())
    }
}

fn serial_ids(row: &Row) -> Result<Option<Vec<String>>, Error> {
    let ids: Option<Json<Vec<String>>> = row.get("serial_ids")?;
    Ok(ids.map(|Json(ids)| ids))
}

fn read(row: &Row) -> Result<Item, Error> {
    Ok(Item {
        id: row.get("id")?,
        order_id: row.get("order_id")?,
        confirm_session_id: row.get("confirm_session_id")?,
        account_id: row.get("account_id")?,
        seller_id: row.get("seller_id")?,
        sku_id: row.get("sku_id")?,
        spu_id: row.get("spu_id")?,
        slug: row.get("slug")?,
        sku_name: row.get("sku_name")?,
        address: row.get("address")?,
        note: row.get("note")?,
        serial_ids: serial_ids(row)?,
        is_abridged: false,
        quantity: row.get("quantity")?,
        weight_grams: row.get("weight_grams")?,
        transport_option: row.get("transport_option")?,
        currency: row.get("currency")?,
        subtotal_amount: row.get("subtotal_amount")?,
        total_amount: row.get("total_amount")?,
        wallet_amount: row.get("wallet_amount")?,
        payment_session_id: row.get("payment_session_id")?,
        reservation_id: row.get("reservation_id")?,
        date_created: row.get("date_created")?,
        date_cancelled: row.get("date_cancelled")?,
        cancelled_by_id: row.get("cancelled_by_id")?,
    })
}
