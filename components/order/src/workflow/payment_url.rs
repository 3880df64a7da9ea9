//! Where a payer continues to pay an open session.

use std::time::Duration;

use sdk::{AccountId, Promise, now, promise::WaitError, sql};

use crate::{
    domain::{id::SessionId, payment::Wishes, refusal::Continuation, session::Kind, status::Status},
    error::Error,
    store::{leg, session, wait},
};

/// How long a request waits for the flow.
const PATIENCE: Duration = Duration::from_secs(10);

enum Found {
    At(String),
    Awaited(Promise<Continuation>),
}

/// The address of the attempt that is open, or of another one that is begun for it. Empty when nothing is paid elsewhere.
pub(crate) fn next(payer: AccountId, kind: Kind, id: SessionId) -> Result<String, Error> {
    let now = now();
    let found = sql::transaction(|tx| {
        let session = session::lock_of_payer(tx, id, kind, payer)?.ok_or(Error::EntityNotFound("payment session"))?;
        if session.status != Status::Pending {
            return Err(Error::SessionClosed);
        }
        if now >= session.date_expired {
            return Err(kind.expired());
        }
        let Some(wait) = wait::get(tx, id)? else {
            return Ok(Found::At(String::new()));
        };
        let legs = leg::of_session(tx, id)?;
        if let Some(url) = legs.iter().find_map(|leg| leg.usable_url(now)) {
            return Ok(Found::At(url.to_owned()));
        }
        let next_url = match wait.next_url {
            Some(next_url) => next_url,
            None => {
                let next_url = Promise::new();
                wait::set_next_url(tx, id, Some(&next_url))?;
                next_url
            }
        };
        // One that is open has no address yet, and gets one.
        if !legs.iter().any(|leg| leg.is_usable(now)) {
            let wishes = Wishes {
                retry: true,
                ..wait.wishes
            };
            wait::set_wishes(tx, id, wishes)?;
            wait.bell.complete(&());
        }
        Ok(Found::Awaited(next_url))
    })?;
    match found {
        Found::At(url) => Ok(url),
        Found::Awaited(next_url) => match next_url.wait(Some(PATIENCE)) {
            Ok(Continuation::At(url)) => Ok(url),
            Ok(Continuation::Refused(refusal)) => Err(Error::Refused(refusal)),
            Err(WaitError::TimedOut | WaitError::NotFound) => Err(Error::PaymentInProgress),
        },
    }
}
