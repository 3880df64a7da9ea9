//! A sign-in: two tokens whose ids are drawn before the transaction and which are signed after it.
//!
//! The transaction keeps the fingerprint of the refresh token's id, so everything it stores is known before it begins and
//! a sign-in takes one commit. Signing is repeatable: the same payload and key give the same token.

use sdk::{
    AccountId, Timestamp, Uuid, config,
    http::{self, Caller, Standing},
    new_id, now,
};
use serde::Serialize;

use crate::{
    bindings::nexus::crypto::tokens,
    domain::{
        profile::Status,
        token::{AccountClaim, Family, Lifetimes, Pair},
    },
    error::Error,
    store::{self, refresh::NewToken},
};

pub(super) const ACCESS_KEY: &str = "access";
pub(super) const REFRESH_KEY: &str = "refresh";

/// What a client gets for a sign-in.
#[derive(Debug, Serialize)]
pub(crate) struct AuthTokens {
    access_token: String,
    refresh_token: String,
    /// Seconds until the access token expires.
    expires_in: i64,
}

/// A sign-in that is about to be stored.
#[derive(Debug)]
pub(super) struct Session {
    pair: Pair,
    fingerprint: String,
}

impl Session {
    /// A new sign-in.
    pub(super) fn open() -> Result<Self, Error> {
        let issued = now();
        let lifetimes = lifetimes()?;
        let family = Family {
            id: new_id(),
            expires: issued.plus_seconds(lifetimes.session_seconds),
        };
        Self::issue(issued, lifetimes, family)
    }

    /// The next pair of a sign-in.
    pub(super) fn renew(family: Family) -> Result<Self, Error> {
        Self::issue(now(), lifetimes()?, family)
    }

    fn issue(issued: Timestamp, lifetimes: Lifetimes, family: Family) -> Result<Self, Error> {
        let pair = Pair {
            access_id: new_id(),
            refresh_id: new_id(),
            family,
            issued,
            lifetimes,
        };
        Ok(Self {
            pair,
            fingerprint: fingerprint(pair.refresh_id)?,
        })
    }

    /// When it was asked for: the time of everything it stores.
    pub(super) fn issued(&self) -> Timestamp {
        self.pair.issued
    }

    pub(super) fn family(&self) -> Family {
        self.pair.family
    }

    /// The refresh token as it is kept.
    pub(super) fn token(&self) -> NewToken<'_> {
        NewToken {
            fingerprint: &self.fingerprint,
            created: self.pair.issued,
            expires: self.pair.refresh_expires(),
        }
    }

    /// Signs both tokens.
    pub(super) fn sign(&self, account: AccountClaim) -> Result<AuthTokens, Error> {
        Ok(AuthTokens {
            access_token: sign(ACCESS_KEY, &self.pair.access(account))?,
            refresh_token: sign(REFRESH_KEY, &self.pair.refresh(account))?,
            expires_in: self.pair.lifetimes.access_seconds,
        })
    }
}

/// What is kept of a refresh token.
pub(super) fn fingerprint(token_id: Uuid) -> Result<String, Error> {
    Ok(tokens::fingerprint(REFRESH_KEY, &token_id.to_string())?)
}

/// The gate of this module: whether the account that calls may act.
pub(crate) fn standing(account_id: AccountId) -> Result<Standing, http::Error> {
    let Some(profile) = store::profile::get(account_id)? else {
        return Ok(Standing::Unknown);
    };
    Ok(match profile.status {
        Status::Suspended => Standing::Suspended,
        Status::Active => Standing::Active(Caller {
            account_id,
            currency: profile.currency().to_owned(),
            country: profile.country,
        }),
    })
}

fn sign<T: Serialize>(key: &str, payload: &T) -> Result<String, Error> {
    let payload = serde_json::to_string(payload).map_err(|error| Error::TokenKey(error.to_string()))?;
    Ok(tokens::sign(key, &payload)?)
}

fn lifetimes() -> Result<Lifetimes, Error> {
    Ok(Lifetimes {
        access_seconds: config::parse_or("access_token_seconds", 3600)?,
        refresh_seconds: config::parse_or("refresh_token_seconds", 1_209_600)?,
        session_seconds: config::parse_or("session_seconds", 2_592_000)?,
    })
}
