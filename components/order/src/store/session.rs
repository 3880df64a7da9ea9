//! Payment sessions.

use std::collections::BTreeMap;

use sdk::{
    AccountId, Currency, Timestamp,
    sql::{self, Error, Row, Transaction, params, sql},
};

use crate::domain::{
    id::{ItemId, LegId, OrderId, SessionId},
    session::{Kind, Session},
    status::Status,
};

/// A session to insert.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    pub(crate) id: SessionId,
    pub(crate) kind: Kind,
    /// Who pays; none is the platform.
    pub(crate) from_id: Option<AccountId>,
    /// Who is paid; none is the platform.
    pub(crate) to_id: Option<AccountId>,
    pub(crate) currency: Currency,
    pub(crate) total_amount: i64,
    pub(crate) collect_on_delivery: bool,
    pub(crate) data: serde_json::Value,
    pub(crate) date_created: Timestamp,
    pub(crate) date_expired: Timestamp,
}

/// Inserts a pending session.
pub(crate) fn insert(tx: &Transaction, new: &NewSession) -> Result<(), Error> {
    tx.execute(
        sql!(
            r#"INSERT INTO "order".payment_session
               (id, kind, status, from_id, to_id, note, currency, total_amount, collect_on_delivery, data, date_created,
                date_expired)
           VALUES ($1, $2, 'Pending', $3, $4, $5, $6, $7, $8, $9, $10, $11)"#
        ),
        params![
            new.id,
            new.kind.as_str(),
            new.from_id,
            new.to_id,
            new.kind.note(),
            new.currency,
            new.total_amount,
            new.collect_on_delivery,
            new.data,
            new.date_created,
            new.date_expired
        ],
    )
    .map(drop)
}

/// Sessions by id; unknown ones are left out.
pub(crate) fn by_ids(ids: &[SessionId]) -> Result<BTreeMap<SessionId, Session>, Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    map(sql::query(
        sql!(r#"SELECT * FROM "order".payment_session WHERE id = ANY($1)"#),
        params![ids],
    )?)
}

/// A session by its own id or by that of one of its legs, if this account pays it.
pub(crate) fn by_leg(payer: AccountId, leg: LegId) -> Result<Option<Session>, Error> {
    sql::query_opt(
        sql!(
            r#"SELECT * FROM "order".payment_session
           WHERE from_id = $1 AND (id = $2 OR id = (SELECT session_id FROM "order".transaction WHERE id = $2))"#
        ),
        params![payer, leg],
    )?
    .as_ref()
    .map(read)
    .transpose()
}

/// The session of the fee of an order.
pub(crate) fn fee_of_order(tx: &Transaction, order: OrderId) -> Result<Session, Error> {
    read(&tx.query_one(
        sql!(
            r#"SELECT s.* FROM "order".payment_session s JOIN "order"."order" o ON o.confirm_session_id = s.id
           WHERE o.id = $1"#
        ),
        params![order],
    )?)
}

/// Locks a session of this kind that this account pays.
pub(crate) fn lock_of_payer(
    tx: &Transaction,
    id: SessionId,
    kind: Kind,
    payer: AccountId,
) -> Result<Option<Session>, Error> {
    tx.query_opt(
        sql!(r#"SELECT * FROM "order".payment_session WHERE id = $1 AND from_id = $2 AND kind = $3 FOR UPDATE"#),
        params![id, payer, kind.as_str()],
    )?
    .as_ref()
    .map(read)
    .transpose()
}

/// Locks a session, whoever's it is.
pub(crate) fn lock(tx: &Transaction, id: SessionId) -> Result<Option<Session>, Error> {
    tx.query_opt(
        sql!(r#"SELECT * FROM "order".payment_session WHERE id = $1 FOR UPDATE"#),
        params![id],
    )?
    .as_ref()
    .map(read)
    .transpose()
}

/// Locks the checkouts of these lines.
pub(crate) fn lock_of_items(tx: &Transaction, items: &[ItemId]) -> Result<BTreeMap<SessionId, Session>, Error> {
    map(tx.query(
        sql!(
            r#"SELECT * FROM "order".payment_session
           WHERE id IN (SELECT payment_session_id FROM "order".item WHERE id = ANY($1))
           ORDER BY id FOR UPDATE"#
        ),
        params![items],
    )?)
}

/// Marks an open session paid. False when it was closed before.
pub(crate) fn succeed(tx: &Transaction, id: SessionId, now: Timestamp) -> Result<bool, Error> {
    let changed = tx.execute(
        sql!(r#"UPDATE "order".payment_session SET status = 'Success', date_paid = $2 WHERE id = $1 AND status = 'Pending'"#),
        params![id, now],
    )?;
    Ok(changed == 1)
}

/// Marks an open payout as being made, or one that is being made as done.
pub(crate) fn advance_payout(tx: &Transaction, id: SessionId, to: Status, now: Timestamp) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".payment_session SET status = $2, date_paid = CASE WHEN $2 = 'Success' THEN $3::timestamptz END
           WHERE id = $1 AND kind = 'seller-payout' AND status IN ('Pending', 'Processing')"#),
        params![id, to, now],
    )
    .map(drop)
}

/// Until when the money of an order is kept, while its payout is open.
pub(crate) fn set_due(tx: &Transaction, payout: SessionId, due: Timestamp) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".payment_session SET date_expired = $2 WHERE id = $1 AND status = 'Pending'"#),
        params![payout, due],
    )
    .map(drop)
}

/// Locks the open checkouts of an order's lines that carriers collect for.
pub(crate) fn lock_collected(tx: &Transaction, order: OrderId) -> Result<Vec<SessionId>, Error> {
    tx.query(
        sql!(
            r#"SELECT id FROM "order".payment_session
           WHERE collect_on_delivery AND status = 'Pending'
             AND id IN (SELECT payment_session_id FROM "order".item WHERE order_id = $1)
           ORDER BY id FOR UPDATE"#
        ),
        params![order],
    )?
    .iter()
    .map(|row| row.get("id"))
    .collect()
}

/// Marks an open checkout paid whose carriers have collected everything: each line that is left was delivered. False when they have not. It is locked.
pub(crate) fn settle_collected(tx: &Transaction, id: SessionId, now: Timestamp) -> Result<bool, Error> {
    let changed = tx.execute(
        sql!(
            r#"UPDATE "order".payment_session s SET status = 'Success', date_paid = $2
           WHERE s.id = $1 AND s.collect_on_delivery AND s.status = 'Pending'
             AND NOT EXISTS (
                 SELECT FROM "order".item i LEFT JOIN "order"."order" o ON o.id = i.order_id
                     LEFT JOIN "order".transport t ON t.id = o.transport_id
                 WHERE i.payment_session_id = s.id AND i.date_cancelled IS NULL
                   AND t.status IS DISTINCT FROM 'Success')"#
        ),
        params![id, now],
    )?;
    Ok(changed == 1)
}

/// Ends an open session without money. False when it was closed before, or never stored.
pub(crate) fn close(tx: &Transaction, id: SessionId, status: Status) -> Result<bool, Error> {
    let changed = tx.execute(
        sql!(r#"UPDATE "order".payment_session SET status = $2 WHERE id = $1 AND status = 'Pending'"#),
        params![id, status],
    )?;
    Ok(changed == 1)
}

/// What is still to be paid of an open session.
pub(crate) fn set_total(tx: &Transaction, id: SessionId, total_amount: i64) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".payment_session SET total_amount = $2 WHERE id = $1 AND status = 'Pending'"#),
        params![id, total_amount],
    )
    .map(drop)
}

/// Locks the checkouts whose lines a confirmation has claimed.
pub(crate) fn lock_of_claim(tx: &Transaction, claim: SessionId) -> Result<Vec<Session>, Error> {
    tx.query(
        sql!(
            r#"SELECT * FROM "order".payment_session
           WHERE id IN (SELECT payment_session_id FROM "order".item WHERE confirm_session_id = $1 AND order_id IS NULL)
           ORDER BY id FOR UPDATE"#
        ),
        params![claim],
    )?
    .iter()
    .map(read)
    .collect()
}

fn map(rows: Vec<Row>) -> Result<BTreeMap<SessionId, Session>, Error> {
    rows.iter()
        .map(|row| read(row).map(|session| (session.id, session)))
        .collect()
}

fn read(row: &Row) -> Result<Session, Error> {
    Ok(Session {
        id: row.get("id")?,
        kind: row.get("kind")?,
        status: row.get("status")?,
        from_id: row.get("from_id")?,
        to_id: row.get("to_id")?,
        note: row.get("note")?,
        currency: row.get("currency")?,
        total_amount: row.get("total_amount")?,
        collect_on_delivery: row.get("collect_on_delivery")?,
        data: row.get("data")?,
        date_created: row.get("date_created")?,
        date_paid: row.get("date_paid")?,
        date_expired: row.get("date_expired")?,
    })
}
