//! Requests that start a flow and wait until it knows where the payment continues, and the end of such a flow.

use std::time::Duration;

use sdk::{Timestamp, log, now, promise::WaitError};

use super::{checkout, collect, confirm};
use crate::{
    domain::{
        id::SessionId,
        refusal::{Continuation, Refusal},
        session::Kind,
        status::Status,
    },
    error::Error,
    peers::flows::{self, Flow},
    store::session,
};

/// Starts the flow of a checkout, and waits until it knows where the payment continues, or fails.
pub(super) fn checkout(
    input: &checkout::Checkout,
    session_id: SessionId,
    expires: Timestamp,
) -> Result<checkout::Receipt, Error> {
    flows::start_checkout(&Flow { input, session_id });
    let payment_url = url(Kind::BuyerCheckout, session_id, expires)?;
    Ok(checkout::Receipt {
        session_id,
        payment_url,
    })
}

/// Starts the flow of a confirmation, and waits until it knows where the payment of the fee continues, or fails.
pub(super) fn confirm(
    input: &confirm::Confirm,
    session_id: SessionId,
    expires: Timestamp,
) -> Result<confirm::Receipt, Error> {
    flows::start_confirm(&Flow { input, session_id });
    let payment_url = url(Kind::SellerConfirmationFee, session_id, expires)?;
    Ok(confirm::Receipt {
        session_id,
        payment_url,
    })
}

/// Waits as long as the session lives, and from then on until its flow has ended: that asks the provider once more when time is over, and may find the
/// money. Whoever asked is told to come again by the host meanwhile, and finds the answer then.
fn url(kind: Kind, id: SessionId, expires: Timestamp) -> Result<String, Error> {
    let left_ms = (expires.as_ms() - now().as_ms()).max(0);
    let continuation = flows::payment_url(kind, id);
    let mut told = continuation.wait(Some(Duration::from_millis(left_ms as u64)));
    if told.is_err() {
        flows::await_end(kind, id)?;
        told = continuation.wait(Some(Duration::ZERO));
    }
    match told {
        Ok(Continuation::At(url)) => Ok(url),
        Ok(Continuation::Refused(refusal)) => Err(Error::Refused(refusal)),
        // An operator has ended it before it told anything: before it had opened a session, or when it needed no payment and had settled that.
        Err(WaitError::TimedOut | WaitError::NotFound) => match session::by_ids(&[id])?.get(&id) {
            Some(settled) if settled.status == Status::Success => Ok(String::new()),
            _ => Err(kind.cancelled()),
        },
    }
}

/// Ends a flow, undone if it failed: whoever still waits for a continuation is told why there is none, and money that came nevertheless goes
/// back.
pub(super) fn end<T>(flow: &Flow<T>, kind: Kind, outcome: Result<(), Error>) -> Result<(), Error> {
    if let Err(error) = &outcome {
        let refusal = Refusal::from(error);
        if refusal.status == 500 {
            log::error("a flow failed", &[("session", &flow.session_id), ("cause", error)]);
        }
        flows::payment_url(kind, flow.session_id).complete(&Continuation::Refused(refusal));
        collect::give_back(flow.session_id)?;
    }
    outcome
}
