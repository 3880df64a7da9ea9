//! What a gateway reports: noted and handed to whom it concerns before it is acknowledged, and once, however often it is reported.

use sdk::{
    Timestamp, log,
    sql::{self, Transaction},
};

use super::collect;
use crate::{
    domain::{
        id::SessionId,
        payment::{Event, Outcome},
    },
    error::Error,
    peers::{
        payments,
        webhook::{NoEvent, Received},
    },
    store::{
        event::{self, Noted},
        leg, session, wait,
    },
};

/// Why a report is not acknowledged.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is none, or about nothing of ours.
    Rejected(NoEvent),
    /// It could not be noted: the gateway is to come again.
    Failed(Error),
}

/// What follows from a report.
enum Follows {
    /// It was known, or is for a person to look at.
    Nothing,
    /// The flow of its session sees to it.
    HandedOver,
    /// Nobody waits for it any more.
    Late(SessionId),
}

impl From<sql::Error> for Failure {
    fn from(error: sql::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Takes a report that was received for a gateway of this name.
pub(crate) fn receive(gateway: &str, received: Received) -> Result<(), Failure> {
    let at = received.at;
    let provider = payments::gateway(gateway).ok_or(Failure::Rejected(NoEvent::NotFound))?;
    let event = payments::read(&provider, received).map_err(Failure::Rejected)?;
    let follows = sql::transaction(|tx| {
        let unknown = || Failure::Rejected(NoEvent::NotFound);
        let session_id = leg::session_of(tx, event.leg_id)?.ok_or_else(unknown)?;
        session::lock(tx, session_id)?;
        let legs = leg::of_session(tx, session_id)?;
        // A gateway speaks of its own charges alone.
        let leg = legs
            .iter()
            .find(|leg| leg.id == event.leg_id && leg.provider.as_deref() == Some(&provider))
            .ok_or_else(unknown)?;
        if (leg.amount, leg.currency) != (event.amount.amount_minor, event.amount.currency) {
            return note_mismatch(tx, &provider, event, at);
        }
        match event::insert(tx, &provider, &event, at)? {
            Noted::Now => {}
            Noted::Before => return Ok(Follows::Nothing),
            Noted::NotAsBefore => return Err(reused(&provider, &event.id)),
        }
        Ok(match wait::get(tx, session_id)? {
            Some(wait) => {
                wait.bell.complete(&());
                Follows::HandedOver
            }
            None => Follows::Late(session_id),
        })
    })?;
    match follows {
        Follows::Nothing | Follows::HandedOver => Ok(()),
        Follows::Late(session) => collect::give_back(session).map_err(Failure::Failed),
    }
}

/// Money was taken, and not as much as was asked for, or more. It settles nothing; that it came is kept, where a person finds it.
fn note_mismatch(tx: &Transaction, provider: &str, event: Event, received: Timestamp) -> Result<Follows, Failure> {
    let (leg, amount, currency) = (event.leg_id, event.amount.amount_minor, event.amount.currency);
    log::error(
        "a payment of another amount: a person has to look",
        &[("leg", &leg), ("amount", &amount), ("currency", &currency)],
    );
    let event = Event {
        outcome: Outcome::Mismatch,
        ..event
    };
    if event::insert(tx, provider, &event, received)? == Noted::NotAsBefore {
        return Err(reused(provider, &event.id));
    }
    leg::set_error(tx, leg, leg::OTHER_AMOUNT)?;
    Ok(Follows::Nothing)
}

/// Refuses a report under the id of another one: taken for its repetition it would be lost.
pub(super) fn reused(sender: &str, id: &str) -> Failure {
    log::warn(
        "a report has the id of another one",
        &[("sender", &sender), ("id", &id)],
    );
    Failure::Rejected(NoEvent::Malformed(format!("the id {id} is that of another report")))
}
