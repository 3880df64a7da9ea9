//! Who buys and who sells.

use std::collections::{BTreeMap, BTreeSet};

use sdk::{AccountId, Currency, http::Caller};

use super::{failed, id};
use crate::{
    bindings::shop::account::{contacts, profiles},
    domain::booking::Party,
    error::Error,
};

const MODULE: &str = "account";

/// What checkout needs to know about a buyer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Buyer {
    /// ISO 3166-1 alpha-2.
    pub(crate) country: String,
    pub(crate) currency: Currency,
}

sdk::standing!(profiles, |reason| failed(MODULE, reason));

impl TryFrom<&Caller> for Buyer {
    type Error = Error;

    /// Who was let in by the gate may buy.
    fn try_from(caller: &Caller) -> Result<Self, Error> {
        Ok(Self {
            country: caller.country.clone(),
            currency: id(MODULE, &caller.currency)?,
        })
    }
}

/// The profile of an account that may buy, for a flow, which no gate has let in. Asks account.
pub(crate) fn buyer(account: AccountId) -> Result<Buyer, Error> {
    let profile = profile(account)?;
    if profile.status == profiles::Status::Suspended {
        return Err(Error::AccountSuspended);
    }
    let currency = id(MODULE, &profile.currency)?;
    Ok(Buyer {
        country: profile.country,
        currency,
    })
}

/// What an account is paid in for what it sells, if it may sell at the moment.
pub(crate) fn sells_in(account: AccountId) -> Result<Option<Currency>, Error> {
    match profiles::get(&account.to_string()) {
        Ok(profile) if profile.status == profiles::Status::Active => Ok(Some(id(MODULE, &profile.currency)?)),
        Ok(_) | Err(profiles::Error::NotFound) => Ok(None),
        Err(profiles::Error::Other(reason)) => Err(failed(MODULE, reason)),
    }
}

/// The addresses these accounts send from.
pub(crate) fn origins(accounts: &BTreeSet<AccountId>) -> Result<BTreeMap<AccountId, String>, Error> {
    let contacts = defaults(accounts.iter().copied())?.into_iter();
    Ok(contacts.map(|(account, contact)| (account, contact.address)).collect())
}

/// The address this account sends from.
pub(crate) fn origin(account: AccountId) -> Result<String, Error> {
    Ok(sender(account)?.address)
}

/// Whom a driver finds where this account sends from.
pub(crate) fn sender(account: AccountId) -> Result<Party, Error> {
    default(account)?.ok_or_else(|| Error::NoDefaultContact(account.to_string()))
}

/// Whom a driver asks for at an address that a buyer gave: by the buyer's contact, or by the name alone where there is none.
pub(crate) fn recipient(account: AccountId, address: &str) -> Result<Party, Error> {
    let (name, phone) = match default(account)? {
        Some(contact) => (contact.name, contact.phone),
        None => (profile(account)?.name, None),
    };
    Ok(Party {
        name,
        phone,
        address: address.to_owned(),
    })
}

/// The default contact of an account that has one.
fn default(account: AccountId) -> Result<Option<Party>, Error> {
    match defaults([account]) {
        Ok(mut contacts) => Ok(contacts.remove(&account)),
        Err(Error::NoDefaultContact(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The default contacts of accounts that all have one.
fn defaults(accounts: impl IntoIterator<Item = AccountId>) -> Result<BTreeMap<AccountId, Party>, Error> {
    let ids: Vec<String> = accounts.into_iter().map(|account| account.to_string()).collect();
    let contacts = contacts::get_defaults(&ids).map_err(|error| match error {
        contacts::Error::NoDefaultContact(accounts) => Error::NoDefaultContact(accounts.join(", ")),
        contacts::Error::Other(reason) => failed(MODULE, reason),
    })?;
    let party = |contact: contacts::Contact| {
        let party = Party {
            name: contact.full_name,
            phone: Some(contact.phone),
            address: contact.address,
        };
        Ok((id(MODULE, &contact.account_id)?, party))
    };
    contacts.into_iter().map(party).collect()
}

fn profile(account: AccountId) -> Result<profiles::Profile, Error> {
    profiles::get(&account.to_string()).map_err(|error| match error {
        profiles::Error::NotFound => Error::EntityNotFound("account"),
        profiles::Error::Other(reason) => failed(MODULE, reason),
    })
}
