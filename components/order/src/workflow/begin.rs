//! Requests that begin a flow and wait until it knows where the payment continues, and the end of such a flow.

use std::time::Duration;

use sdk::{Promise, Timestamp, log, now, promise::WaitError};

use super::{checkout, collect, confirm};
use crate::{
    domain::{
        id::SessionId,
        refusal::{Continuation, Refusal},
        session::Kind,
    },
    error::Error,
    peers::flows::{self, Flow},
};

/// Begins the flow of a checkout, and waits until it knows where the payment continues, or fails.
pub(super) fn checkout(
    input: &checkout::Checkout,
    session_id: SessionId,
    expires: Timestamp,
) -> Result<checkout::Receipt, Error> {
    let payment_url = Promise::new();
    flows::send_checkout(&Flow {
        input,
        session_id,
        payment_url: payment_url.clone(),
    });
    let payment_url = url(&payment_url, Kind::BuyerCheckout, expires)?;
    Ok(checkout::Receipt {
        session_id,
        payment_url,
    })
}

/// Begins the flow of a confirmation, and waits until it knows where the payment of the fee continues, or fails.
pub(super) fn confirm(
    input: &confirm::Confirm,
    session_id: SessionId,
    expires: Timestamp,
) -> Result<confirm::Receipt, Error> {
    let payment_url = Promise::new();
    flows::send_confirm(&Flow {
        input,
        session_id,
        payment_url: payment_url.clone(),
    });
    let payment_url = url(&payment_url, Kind::SellerConfirmationFee, expires)?;
    Ok(confirm::Receipt {
        session_id,
        payment_url,
    })
}

/// As long as the session lives: whoever asked is told to come again by the host, and finds the answer then.
fn url(promise: &Promise<Continuation>, kind: Kind, expires: Timestamp) -> Result<String, Error> {
    let left_ms = (expires.as_ms() - now().as_ms()).max(0);
    match promise.wait(Some(Duration::from_millis(left_ms as u64))) {
        Ok(Continuation::At(url)) => Ok(url),
        Ok(Continuation::Refused(refusal)) => Err(Error::Refused(refusal)),
        Err(WaitError::TimedOut | WaitError::NotFound) => Err(kind.expired()),
    }
}

/// Ends a flow, undone if it failed: whoever still waits for a continuation is told why there is none, and money that came nevertheless goes
/// back.
pub(super) fn end<T>(flow: &Flow<T>, outcome: Result<(), Error>) -> Result<(), Error> {
    if let Err(error) = &outcome {
        let refusal = Refusal::from(error);
        if refusal.status == 500 {
            log::error("a flow failed", &[("session", &flow.session_id), ("cause", error)]);
        }
        flow.payment_url.complete(&Continuation::Refused(refusal));
        collect::give_back(flow.session_id)?;
    }
    outcome
}
