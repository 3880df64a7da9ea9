//! Transfers that are held.

use sdk::{
    Timestamp,
    sql::{Error, Row, Transaction, params, sql},
};

use crate::domain::{hold::Hold, ledger::Transfer};

const COLUMNS: &str = "id, state, source, destination, currency, amount, note";

/// Inserts a transfer that is held; false when its id is known. Waits for whoever is about to insert or to block the same id.
pub(crate) fn insert(tx: &Transaction, transfer: &Transfer, now: Timestamp) -> Result<bool, Error> {
    let inserted = tx.execute(
        sql!(
            "INSERT INTO ledger_hold (id, state, source, destination, currency, amount, note, date_created)
         VALUES ($1, 'held', $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING"
        ),
        params![
            transfer.id,
            transfer.source.to_string(),
            transfer.destination.to_string(),
            transfer.currency,
            transfer.amount,
            transfer.note,
            now
        ],
    )?;
    Ok(inserted == 1)
}

/// Blocks an id under which nothing was ever held; false when it is known.
pub(crate) fn insert_blocked(tx: &Transaction, id: &str, now: Timestamp) -> Result<bool, Error> {
    let inserted = tx.execute(
        sql!(
            "INSERT INTO ledger_hold (id, state, date_created, date_ended) VALUES ($1, 'released', $2, $2)
         ON CONFLICT (id) DO NOTHING"
        ),
        params![id, now],
    )?;
    Ok(inserted == 1)
}

/// What became of what was held under this id.
pub(crate) fn get(tx: &Transaction, id: &str) -> Result<Option<Hold>, Error> {
    tx.query_opt(sql!("SELECT ", COLUMNS, " FROM ledger_hold WHERE id = $1"), params![id])?
        .as_ref()
        .map(read)
        .transpose()
}

/// The same, which stays so until the transaction ends. Holds are locked before books, and change after them.
pub(crate) fn lock(tx: &Transaction, id: &str) -> Result<Option<Hold>, Error> {
    tx.query_opt(
        sql!("SELECT ", COLUMNS, " FROM ledger_hold WHERE id = $1 FOR UPDATE"),
        params![id],
    )?
    .as_ref()
    .map(read)
    .transpose()
}

/// Notes that the transfer that was held is made.
pub(crate) fn set_captured(tx: &Transaction, id: &str, now: Timestamp) -> Result<(), Error> {
    tx.execute(
        sql!("UPDATE ledger_hold SET state = 'captured', date_ended = $2 WHERE id = $1"),
        params![id, now],
    )
    .map(drop)
}

/// Notes that what was held is let go of.
pub(crate) fn set_released(tx: &Transaction, id: &str, now: Timestamp) -> Result<(), Error> {
    tx.execute(
        sql!("UPDATE ledger_hold SET state = 'released', date_ended = $2 WHERE id = $1"),
        params![id, now],
    )
    .map(drop)
}

fn read(row: &Row) -> Result<Hold, Error> {
    let state: String = row.get("state")?;
    Ok(match state.as_str() {
        "held" => Hold::Held(transfer(row)?),
        "captured" => Hold::Captured(transfer(row)?),
        _ => Hold::Released,
    })
}

fn transfer(row: &Row) -> Result<Transfer, Error> {
    Ok(Transfer {
        id: row.get("id")?,
        source: row.get("source")?,
        destination: row.get("destination")?,
        currency: row.get("currency")?,
        amount: row.get("amount")?,
        note: row.get("note")?,
        reverts_id: None,
    })
}
