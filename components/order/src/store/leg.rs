//! Legs: movements of a session's money. The table is called `transaction`, as the clients' word is.

use sdk::{
    Currency, Timestamp,
    sql::{self, Error, Transaction, params},
};

use crate::domain::{
    id::{LegId, SessionId},
    session::Kind,
    status::Status,
};

/// A pending leg to insert.
#[derive(Debug, Clone)]
pub(crate) struct NewLeg {
    pub(crate) id: LegId,
    pub(crate) session_id: SessionId,
    pub(crate) kind: Kind,
    pub(crate) payment_option: String,
    pub(crate) data: serde_json::Value,
    /// Above 0.
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    pub(crate) date_created: Timestamp,
}

/// Inserts a pending leg.
pub(crate) fn insert(tx: &Transaction, new: &NewLeg) -> Result<(), Error> {
    tx.execute(
        r#"INSERT INTO "order".transaction
               (id, session_id, status, note, payment_option, data, amount, from_currency, to_currency, date_created)
           VALUES ($1, $2, 'Pending', $3, $4, $5, $6, $7, $7, $8)"#,
        params![
            new.id,
            new.session_id,
            new.kind.note(),
            new.payment_option,
            new.data,
            new.amount,
            new.currency,
            new.date_created
        ],
    )
    .map(drop)
}

/// Adds to a leg's data.
pub(crate) fn add_data(id: LegId, data: &serde_json::Value) -> Result<(), Error> {
    sql::execute(
        r#"UPDATE "order".transaction SET data = data || $2 WHERE id = $1"#,
        params![id, data],
    )
    .map(drop)
}

/// Settles the pending legs of a session, noting the provider's reference when there is one.
pub(crate) fn settle(
    tx: &Transaction,
    session: SessionId,
    reference: Option<&str>,
    now: Timestamp,
) -> Result<(), Error> {
    let data = reference.map_or_else(|| serde_json::json!({}), |it| serde_json::json!({ "provider_ref": it }));
    tx.execute(
        r#"UPDATE "order".transaction SET status = 'Success', date_settled = $2, data = data || $3
           WHERE session_id = $1 AND status = 'Pending'"#,
        params![session, now, data],
    )
    .map(drop)
}

/// Ends the pending legs of a session without money, with a reason when it is a failure.
pub(crate) fn close(tx: &Transaction, session: SessionId, status: Status, reason: Option<&str>) -> Result<(), Error> {
    tx.execute(
        r#"UPDATE "order".transaction SET status = $2, error = $3 WHERE session_id = $1 AND status = 'Pending'"#,
        params![session, status, reason],
    )
    .map(drop)
}

/// What the pending leg of a session still has to bring. Nothing to bring ends it.
pub(crate) fn set_pending_amount(tx: &Transaction, session: SessionId, amount: i64) -> Result<(), Error> {
    tx.execute(
        r#"UPDATE "order".transaction
           SET amount = CASE WHEN $2::bigint > 0 THEN $2::bigint ELSE amount END,
               status = CASE WHEN $2::bigint > 0 THEN status ELSE 'Cancelled' END
           WHERE session_id = $1 AND status = 'Pending'"#,
        params![session, amount],
    )
    .map(drop)
}
