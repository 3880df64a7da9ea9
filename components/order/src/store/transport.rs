//! Parcels.

use std::collections::BTreeMap;

use sdk::{
    Money, Timestamp,
    sql::{self, Error, Row, Transaction, params, sql},
};

use crate::domain::{id::TransportId, order::Transport};

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
        sql!(r#"SELECT id, option, status, data, date_created FROM "order".transport WHERE id = ANY($1)"#),
        params![ids],
    )?
    .iter()
    .map(|row| read(row).map(|transport| (transport.id, transport)))
    .collect()
}

fn read(row: &Row) -> Result<Transport, Error> {
    Ok(Transport {
        id: row.get("id")?,
        option: row.get("option")?,
        status: row.get("status")?,
        data: row.get("data")?,
        date_created: row.get("date_created")?,
    })
}
