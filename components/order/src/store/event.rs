//! What gateways reported.

use sdk::{
    Timestamp,
    sql::{Error, Transaction, params, sql},
};

use crate::domain::payment::Event;

/// What became of a report that was to be noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It is new.
    Now,
    /// It was noted before.
    Before,
    /// Its id is that of a report of something else. It is not noted.
    NotAsBefore,
}

impl Noted {
    /// Of a report whose id was there, with the same content or not.
    pub(super) fn already(is_same: bool) -> Self {
        if is_same { Self::Before } else { Self::NotAsBefore }
    }
}

/// Notes an event.
pub(crate) fn insert(tx: &Transaction, provider: &str, event: &Event, received: Timestamp) -> Result<Noted, Error> {
    let inserted = tx.execute(
        sql!(
            r#"INSERT INTO "order".payment_event
               (provider, event_id, leg_id, outcome, amount, currency, provider_ref, date_occurred, date_received)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           ON CONFLICT (provider, event_id) DO NOTHING"#
        ),
        params![
            provider,
            event.id,
            event.leg_id,
            event.outcome.as_str(),
            event.amount.amount_minor,
            event.amount.currency,
            event.reference,
            event.occurred,
            received
        ],
    )?;
    if inserted == 1 {
        return Ok(Noted::Now);
    }
    let noted = tx.query_one(
        sql!(
            r#"SELECT leg_id = $3 AND outcome = $4 AND amount = $5 AND currency = $6 AS is_same
           FROM "order".payment_event WHERE provider = $1 AND event_id = $2"#
        ),
        params![
            provider,
            event.id,
            event.leg_id,
            event.outcome.as_str(),
            event.amount.amount_minor,
            event.amount.currency
        ],
    )?;
    Ok(Noted::already(noted.get("is_same")?))
}
