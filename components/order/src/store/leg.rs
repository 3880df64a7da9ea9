//! Legs: movements of a session's money. The table is called `transaction`, as the clients' word is.

use sdk::{
    Currency, Money, Timestamp,
    sql::{self, Error, Row, Transaction, params, sql},
};

use crate::domain::{
    id::{ItemId, LegId, OrderId, SessionId},
    item::Item,
    payment::Leg,
    session::Kind,
};

/// A leg to insert.
#[derive(Debug, Clone)]
pub(crate) struct NewLeg {
    pub(crate) id: LegId,
    pub(crate) session_id: SessionId,
    pub(crate) kind: Kind,
    /// None is the wallet.
    pub(crate) payment_option: Option<String>,
    pub(crate) data: serde_json::Value,
    /// Above 0.
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    pub(crate) date_created: Timestamp,
    /// When the attempt is over; none for what is not paid elsewhere.
    pub(crate) date_expired: Option<Timestamp>,
    /// When its money moved; none while it is pending.
    pub(crate) date_settled: Option<Timestamp>,
}

/// Which of a session's legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rail {
    /// That which the payer's wallet paid.
    Wallet,
    /// Those that are paid elsewhere.
    Elsewhere,
}

/// What is wrong with a leg of which a provider says that it was paid otherwise than was asked for.
pub(crate) const OTHER_AMOUNT: &str = "the gateway reports another amount";

/// Why a leg ends whose lines have come to nothing.
pub(crate) const NOTHING_LEFT: &str = "nothing is left to be paid";

/// Inserts a leg.
pub(crate) fn insert(tx: &Transaction, new: &NewLeg) -> Result<(), Error> {
    tx.execute(
        sql!(r#"INSERT INTO "order".transaction
               (id, session_id, status, note, payment_option, data, amount, from_currency, to_currency, date_created, date_expired,
                date_settled)
           VALUES ($1, $2, CASE WHEN $10::timestamptz IS NULL THEN 'Pending' ELSE 'Success' END, $3, $4, $5, $6, $7, $7, $8, $9, $10)"#),
        params![
            new.id,
            new.session_id,
            new.kind.note(),
            new.payment_option,
            new.data,
            new.amount,
            new.currency,
            new.date_created,
            new.date_expired,
            new.date_settled
        ],
    )
    .map(drop)
}

/// Money back from a settled leg, to the payer's wallet: a leg of its own that names it.
pub(crate) fn insert_reversal(
    tx: &Transaction,
    id: LegId,
    of: LegId,
    amount: i64,
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute(
        sql!(r#"INSERT INTO "order".transaction
               (id, session_id, status, note, amount, from_currency, to_currency, exchange_rate, reverses_id, date_created, date_settled)
           SELECT $1, session_id, 'Success', 'Refund', -$3::bigint, to_currency, from_currency, exchange_rate, id, $4, $4
           FROM "order".transaction WHERE id = $2"#),
        params![id, of, amount, now],
    )
    .map(drop)
}

/// Money back for a line, to its buyer's wallet: a leg of its own that reverses the one its checkout was paid with on this rail. A line has
/// one per leg at most.
pub(crate) fn insert_refund(
    tx: &Transaction,
    id: LegId,
    item: &Item,
    rail: Rail,
    amount: i64,
    now: Timestamp,
) -> Result<(), Error> {
    let inserted = tx.execute(
        sql!(r#"INSERT INTO "order".transaction
               (id, session_id, status, note, amount, from_currency, to_currency, reverses_id, item_id, date_created, date_settled)
           SELECT $1, t.session_id, 'Success', 'Refund', -$3::bigint, t.to_currency, t.from_currency, t.id, $4, $5, $5
           FROM "order".transaction t
           WHERE t.session_id = $2 AND t.status = 'Success' AND t.reverses_id IS NULL AND (t.payment_option IS NULL) = $6
             AND t.amount >= $3::bigint + (SELECT COALESCE(-sum(r.amount), 0) FROM "order".transaction r WHERE r.reverses_id = t.id)
           ORDER BY t.date_created, t.id LIMIT 1"#),
        params![
            id,
            item.payment_session_id,
            amount,
            item.id,
            now,
            rail == Rail::Wallet
        ],
    )?;
    if inserted == 1 { Ok(()) } else { Err(Error::NoRow) }
}

/// The fee of an order's confirmation is not kept back after all: nothing was collected. Nothing happens when it was paid otherwise.
pub(crate) fn reverse_netted(tx: &Transaction, id: LegId, order: OrderId, now: Timestamp) -> Result<(), Error> {
    tx.execute(
        sql!(r#"INSERT INTO "order".transaction
               (id, session_id, status, note, payment_option, data, amount, from_currency, to_currency, reverses_id, date_created, date_settled)
           SELECT $1, t.session_id, 'Success', 'Refund', t.payment_option, t.data, -t.amount, t.to_currency, t.from_currency, t.id, $3, $3
           FROM "order".transaction t JOIN "order"."order" o ON o.confirm_session_id = t.session_id
           WHERE o.id = $2 AND t.status = 'Success' AND t.reverses_id IS NULL AND t.data ? 'netted'"#),
        params![id, order, now],
    )
    .map(drop)
}

/// What was given back of what a wallet paid for a session, by line.
pub(crate) fn wallet_refunds(session: SessionId) -> Result<Vec<(ItemId, Money)>, Error> {
    sql::query(
        sql!(
            r#"SELECT r.item_id, -r.amount AS amount, r.from_currency FROM "order".transaction r
           JOIN "order".transaction t ON t.id = r.reverses_id
           WHERE r.session_id = $1 AND r.item_id IS NOT NULL AND t.payment_option IS NULL ORDER BY r.item_id"#
        ),
        params![session],
    )?
    .iter()
    .map(|row| {
        Ok((
            row.get("item_id")?,
            Money::new(row.get("amount")?, row.get("from_currency")?),
        ))
    })
    .collect()
}

/// What a leg brought a session that is paid.
pub(crate) struct Paid {
    pub(crate) id: LegId,
    pub(crate) amount: Money,
    /// A provider took it; otherwise a wallet did.
    pub(crate) is_captured: bool,
}

/// What a session was paid, but for what a carrier collects; nothing as long as it is not. An attempt whose money came late and went back paid
/// for nothing.
pub(crate) fn paid(session: SessionId) -> Result<Vec<Paid>, Error> {
    sql::query(
        sql!(
            r#"SELECT t.id, t.amount, t.from_currency, t.data ? 'provider' AS is_captured FROM "order".transaction t
           JOIN "order".payment_session s ON s.id = t.session_id AND s.status = 'Success'
           WHERE t.session_id = $1 AND t.status = 'Success' AND t.reverses_id IS NULL AND NOT t.data ? 'netted'
               AND (t.data ? 'provider' OR t.payment_option IS NULL)
               AND NOT EXISTS (SELECT FROM "order".transaction r WHERE r.reverses_id = t.id AND r.item_id IS NULL)
           ORDER BY t.id"#
        ),
        params![session],
    )?
    .iter()
    .map(|row| {
        Ok(Paid {
            id: row.get("id")?,
            amount: Money::new(row.get("amount")?, row.get("from_currency")?),
            is_captured: row.get("is_captured")?,
        })
    })
    .collect()
}

/// The legs that are to bring a session its money from elsewhere, oldest first, with what was reported of them.
pub(crate) fn of_session(tx: &Transaction, session: SessionId) -> Result<Vec<Leg>, Error> {
    tx.query(
        sql!(r#"SELECT t.id, t.status, t.amount, t.from_currency, t.data->>'provider' AS provider, t.data->>'gateway_url' AS url,
                  t.date_expired,
                  COALESCE((SELECT e.provider_ref FROM "order".payment_event e
                            WHERE e.leg_id = t.id AND e.outcome = 'succeeded' ORDER BY e.date_received, e.event_id LIMIT 1),
                           t.data->>'asked_ref') AS paid,
                  EXISTS (SELECT FROM "order".payment_event e
                          WHERE e.leg_id = t.id AND e.outcome IN ('failed', 'expired')) OR t.data ? 'declined' AS failed
           FROM "order".transaction t
           WHERE t.session_id = $1 AND t.reverses_id IS NULL AND t.payment_option IS NOT NULL ORDER BY t.date_created, t.id"#),
        params![session],
    )?
    .iter()
    .map(read)
    .collect()
}

/// The session of a leg, which never changes.
pub(crate) fn session_of(tx: &Transaction, id: LegId) -> Result<Option<SessionId>, Error> {
    tx.query_opt(
        sql!(r#"SELECT session_id FROM "order".transaction WHERE id = $1 AND reverses_id IS NULL"#),
        params![id],
    )?
    .map(|row| row.get("session_id"))
    .transpose()
}

/// Notes where the payer continues.
pub(crate) fn set_url(tx: &Transaction, id: LegId, url: &str) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".transaction SET data = data || $2 WHERE id = $1"#),
        params![id, serde_json::json!({ "gateway_url": url })],
    )
    .map(drop)
}

/// Notes that the money of a leg is there, as its provider says when it is asked, with its reference.
pub(crate) fn note_money(tx: &Transaction, id: LegId, reference: &str) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".transaction SET data = data || $2 WHERE id = $1 AND status <> 'Success'"#),
        params![id, serde_json::json!({ "asked_ref": reference })],
    )
    .map(drop)
}

/// Settles the pending legs of a session.
pub(crate) fn settle(tx: &Transaction, session: SessionId, now: Timestamp) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".transaction SET status = 'Success', date_settled = $2 WHERE session_id = $1 AND status = 'Pending'"#),
        params![session, now],
    )
    .map(drop)
}

/// Settles what a wallet pays for a session, which is paid. Nothing happens when no wallet does.
pub(crate) fn settle_wallet(tx: &Transaction, session: SessionId, now: Timestamp) -> Result<(), Error> {
    tx.execute(
        sql!(
            r#"UPDATE "order".transaction SET status = 'Success', date_settled = $2
           WHERE session_id = $1 AND payment_option IS NULL AND status = 'Pending'"#
        ),
        params![session, now],
    )
    .map(drop)
}

/// Settles one leg, whatever was thought of it before: its money arrived.
pub(crate) fn settle_one(tx: &Transaction, id: LegId, reference: &str, now: Timestamp) -> Result<(), Error> {
    tx.execute(
        sql!(
            r#"UPDATE "order".transaction SET status = 'Success', error = NULL, date_settled = $2, data = data || $3
           WHERE id = $1 AND status <> 'Success'"#
        ),
        params![id, now, serde_json::json!({ "provider_ref": reference })],
    )
    .map(drop)
}

/// Notes what is wrong with a leg that is not paid.
pub(crate) fn set_error(tx: &Transaction, id: LegId, error: &str) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".transaction SET error = $2 WHERE id = $1 AND status <> 'Success'"#),
        params![id, error],
    )
    .map(drop)
}

/// One attempt came to nothing. What a person has to look at stays.
pub(crate) fn fail(tx: &Transaction, id: LegId, reason: &str) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".transaction SET status = 'Failed', error = COALESCE(error, $2) WHERE id = $1 AND status = 'Pending'"#),
        params![id, reason],
    )
    .map(drop)
}

/// One attempt came to nothing, and its provider says that it will not.
pub(crate) fn decline(tx: &Transaction, id: LegId, reason: &str) -> Result<(), Error> {
    tx.execute(
        sql!(
            r#"UPDATE "order".transaction SET status = 'Failed', error = COALESCE(error, $2), data = data || '{"declined": true}'
           WHERE id = $1 AND status = 'Pending'"#
        ),
        params![id, reason],
    )
    .map(drop)
}

/// Ends the pending legs of a session without money, for this reason.
pub(crate) fn close(tx: &Transaction, session: SessionId, reason: &str) -> Result<(), Error> {
    tx.execute(
        sql!(
            r#"UPDATE "order".transaction SET status = 'Failed', error = COALESCE(error, $2)
           WHERE session_id = $1 AND status = 'Pending'"#
        ),
        params![session, reason],
    )
    .map(drop)
}

/// What the pending leg of a session still has to bring. Nothing to bring ends it.
pub(crate) fn set_pending_amount(tx: &Transaction, session: SessionId, amount: i64) -> Result<(), Error> {
    tx.execute(
        sql!(
            r#"UPDATE "order".transaction
           SET amount = CASE WHEN $2::bigint > 0 THEN $2::bigint ELSE amount END,
               status = CASE WHEN $2::bigint > 0 THEN status ELSE 'Failed' END,
               error = CASE WHEN $2::bigint > 0 THEN error ELSE $3 END
           WHERE session_id = $1 AND status = 'Pending'"#
        ),
        params![session, amount, NOTHING_LEFT],
    )
    .map(drop)
}

fn read(row: &Row) -> Result<Leg, Error> {
    Ok(Leg {
        id: row.get("id")?,
        status: row.get("status")?,
        amount: row.get("amount")?,
        currency: row.get("from_currency")?,
        provider: row.get("provider")?,
        url: row.get("url")?,
        date_expired: row.get("date_expired")?,
        paid: row.get("paid")?,
        failed: row.get("failed")?,
    })
}
