//! A new account.

use sdk::{AccountId, new_id, sql};

use super::session::{AuthTokens, Session};
use crate::{
    bindings::nexus::crypto::passwords,
    domain::{country, identifier::email_key, token::AccountClaim},
    error::Error,
    store::{self, account::NewAccount},
};

/// What a new account is made of; what is none was not given.
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    pub(crate) username: Option<&'a str>,
    pub(crate) email: Option<&'a str>,
    pub(crate) phone: Option<&'a str>,
    pub(crate) password: &'a str,
    /// Upper case.
    pub(crate) country: &'a str,
}

/// Makes the account with its profile and signs it in.
pub(crate) fn register(input: &Registration<'_>) -> Result<AuthTokens, Error> {
    if input.username.is_none() && input.email.is_none() && input.phone.is_none() {
        return Err(Error::MissingIdentifier);
    }
    if country::currency(input.country).is_none() {
        return Err(Error::InvalidCountry(input.country.to_owned()));
    }
    let password_hash = passwords::hash(input.password)?;
    let session = Session::open()?;
    let account = NewAccount {
        id: AccountId(new_id()),
        phone: input.phone,
        email: input.email,
        email_key: input.email.map(email_key),
        username: input.username,
        password_hash,
        country: input.country,
        created: session.issued(),
    };
    // The unique constraints decide who comes first; asking before would only be right some of the time.
    let number = sql::transaction(|tx| {
        let number = store::account::insert(tx, &account)?;
        store::refresh::insert_family(tx, account.id, session.family(), &session.token())?;
        Ok::<_, Error>(number)
    })?;
    session.sign(AccountClaim { id: account.id, number })
}
