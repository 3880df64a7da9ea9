//! Parcels.

use std::collections::BTreeMap;

use sdk::{
    Money, Timestamp,
    sql::{self, Error, Row, Transaction, params, sql},
};

use super::event::Noted;
use crate::domain::{
    id::{OrderId, TransportId},
    order::Transport,
    parcel::{Parcel, Report},
    status::Status,
};

/// A parcel to the buyer that is to be booked.
#[derive(Debug, Clone)]
pub(crate) struct NewTransport<'a> {
    pub(crate) option: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) cost: Money,
    pub(crate) data: serde_json::Value,
    pub(crate) date_created: Timestamp,
}

/// Inserts a pending outbound parcel.
pub(crate) fn insert(tx: &Transaction, new: &NewTransport<'_>) -> Result<TransportId, Error> {
    tx.query_one(
        sql!(
            r#"INSERT INTO "order".transport (option, provider, direction, cost_amount, currency, data, date_created)
           VALUES ($1, $2, 'outbound', $3, $4, $5, $6) RETURNING id"#
        ),
        params![
            new.option,
            new.provider,
            new.cost.amount_minor,
            new.cost.currency,
            new.data,
            new.date_created
        ],
    )?
    .get("id")
}

/// Parcels by id; unknown ones are left out.
pub(crate) fn by_ids(ids: &[TransportId]) -> Result<BTreeMap<TransportId, Transport>, Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    sql::query(
        sql!(r#"SELECT id, provider, option, status, data, date_created FROM "order".transport WHERE id = ANY($1)"#),
        params![ids],
    )?
    .iter()
    .map(|row| read(row).map(|transport| (transport.id, transport)))
    .collect()
}

/// The parcel of an order. Whoever changes it has locked the order's payout.
pub(crate) fn of_order(tx: &Transaction, order: OrderId) -> Result<Parcel, Error> {
    let row = tx.query_one(
        sql!(
            r#"SELECT t.id, t.provider, t.status, t.date_created, t.date_status
           FROM "order"."order" o JOIN "order".transport t ON t.id = o.transport_id WHERE o.id = $1"#
        ),
        params![order],
    )?;
    Ok(Parcel {
        id: row.get("id")?,
        provider: row.get("provider")?,
        status: row.get("status")?,
        date_created: row.get("date_created")?,
        date_status: row.get("date_status")?,
    })
}

/// Notes what its carrier calls a parcel, and what clients read of that; what is noted stays.
pub(crate) fn set_booked(
    tx: &Transaction,
    id: TransportId,
    tracking_code: &str,
    data: &serde_json::Value,
) -> Result<(), Error> {
    tx.execute(
        sql!(
            r#"UPDATE "order".transport SET tracking_code = $2, data = data || $3 WHERE id = $1 AND tracking_code IS NULL"#
        ),
        params![id, tracking_code, data],
    )
    .map(drop)
}

/// Notes where a parcel is now, since when, and what clients read of it besides.
pub(crate) fn advance(
    tx: &Transaction,
    id: TransportId,
    status: Status,
    since: Timestamp,
    data: &serde_json::Value,
) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".transport SET status = $2, date_status = $3, data = data || $4 WHERE id = $1"#),
        params![id, status, since, data],
    )
    .map(drop)
}

/// Notes what a carrier reported of a parcel.
pub(crate) fn insert_event(
    tx: &Transaction,
    parcel: &Parcel,
    report: &Report,
    received: Timestamp,
) -> Result<Noted, Error> {
    let inserted = tx.execute(
        sql!(
            r#"INSERT INTO "order".transport_event
               (provider, event_id, transport_id, status, carrier_status, reason, date_occurred, date_received)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
           ON CONFLICT (provider, event_id) DO NOTHING"#
        ),
        params![
            parcel.provider,
            report.id,
            parcel.id,
            report.status,
            report.carrier_status,
            report.reason,
            report.occurred,
            received
        ],
    )?;
    if inserted == 1 {
        return Ok(Noted::Now);
    }
    let noted = tx.query_one(
        sql!(
            r#"SELECT transport_id = $3 AND status = $4 AS is_same
           FROM "order".transport_event WHERE provider = $1 AND event_id = $2"#
        ),
        params![parcel.provider, report.id, parcel.id, report.status],
    )?;
    Ok(Noted::already(noted.get("is_same")?))
}

fn read(row: &Row) -> Result<Transport, Error> {
    Ok(Transport {
        id: row.get("id")?,
        provider: row.get("provider")?,
        option: row.get("option")?,
        status: row.get("status")?,
        data: row.get("data")?,
        date_created: row.get("date_created")?,
    })
}
