//! A sign-in with an identifier and a password.

use sdk::sql;

use super::session::{AuthTokens, Session};
use crate::{
    bindings::nexus::crypto::passwords,
    domain::{identifier::Identifier, profile::Status, token::AccountClaim},
    error::Error,
    store,
};

/// Opens a session for the account that both belong to.
///
/// An unknown account and one without a password cost as much time as a wrong password. That an account is suspended is
/// told to those alone who know its password.
pub(crate) fn login(identifier: &str, password: &str) -> Result<AuthTokens, Error> {
    let found = store::account::find(&Identifier::classify(identifier))?;
    let hash = found.as_ref().and_then(|account| account.password_hash.as_deref());
    let verdict = passwords::verify(password, hash);

    let account = found.as_ref().ok_or(Error::AccountNotFound)?;
    let Some(hash) = hash.filter(|_| verdict.matches) else {
        return Err(Error::InvalidCredentials);
    };
    if account.status == Status::Suspended {
        return Err(Error::Suspended);
    }

    let renewed = if verdict.outdated {
        Some(passwords::hash(password)?)
    } else {
        None
    };
    let session = Session::open()?;
    sql::transaction(|tx| {
        if let Some(renewed) = &renewed {
            store::account::rehash(tx, account.id, hash, renewed)?;
        }
        store::refresh::delete_expired(tx, account.id, session.issued())?;
        match store::refresh::insert_family(tx, account.id, session.family(), &session.token())? {
            true => Ok(()),
            // Since it was looked at.
            false => Err(Error::Suspended),
        }
    })?;
    session.sign(AccountClaim {
        id: account.id,
        number: account.number,
    })
}
