//! What gateways reported.

use sdk::{
    Timestamp,
    sql::{Error, Transaction, params, sql},
};

use crate::domain::payment::Event;

/// Notes an event. False when it was noted before.
pub(crate) fn insert(tx: &Transaction, provider: &str, event: &Event, received: Timestamp) -> Result<bool, Error> {
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
    Ok(inserted == 1)
}
