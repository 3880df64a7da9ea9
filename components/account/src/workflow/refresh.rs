//! A refresh token exchanged for the next pair.

use sdk::{Timestamp, config, log, sql};

use super::session::{AuthTokens, REFRESH_KEY, Session, fingerprint};
use crate::{
    bindings::nexus::crypto::tokens,
    domain::token::{Family, RefreshPayload, Verdict, judge},
    error::Error,
    store,
};

/// Answers a token once; the use of one that was answered before ends the sign-in it came from.
pub(crate) fn refresh(token: &str) -> Result<AuthTokens, Error> {
    let payload = verify(token)?;
    let grace_seconds = config::parse_or("refresh_grace_seconds", 10)?;
    let family = Family {
        id: payload.family,
        expires: Timestamp::from_ms(payload.family_exp.saturating_mul(1000)),
    };
    let old = fingerprint(payload.jti)?;
    let session = Session::renew(family)?;

    let now = session.issued();
    // The verdict leaves the transaction as a value: an error would undo the revocation.
    let verdict = sql::transaction(|tx| {
        let Some(presented) = store::refresh::lock(tx, &old, family.id, payload.account.id)? else {
            return Ok::<_, Error>(Verdict::Refuse);
        };
        let verdict = judge(&presented, now, grace_seconds);
        match verdict {
            Verdict::Rotate => store::refresh::rotate(tx, &old, family.id, &session.token())?,
            // Of a suspended account there are families that began beside its suspension: the others it has revoked.
            Verdict::Revoke | Verdict::Suspended => store::refresh::revoke(tx, family.id, now)?,
            Verdict::Refuse => {}
        }
        Ok(verdict)
    })?;
    match verdict {
        Verdict::Rotate => session.sign(payload.account),
        Verdict::Revoke => {
            log::warn(
                "a used refresh token came again, its family is revoked",
                &[("family", &family.id)],
            );
            Err(Error::RefreshRefused)
        }
        Verdict::Refuse => Err(Error::RefreshRefused),
        Verdict::Suspended => Err(Error::Suspended),
    }
}

/// What the token says, when it is one of ours.
fn verify(token: &str) -> Result<RefreshPayload, Error> {
    let payload = tokens::verify(REFRESH_KEY, token).map_err(|error| match error {
        tokens::Error::Invalid(_) | tokens::Error::Expired => Error::RefreshRefused,
        error @ tokens::Error::UnknownKey(_) => error.into(),
    })?;
    serde_json::from_str(&payload).map_err(|_| Error::RefreshRefused)
}
