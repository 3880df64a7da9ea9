//! What other modules may ask.

use std::collections::{BTreeMap, BTreeSet};

use sdk::{AccountId, log, trap};

use crate::{
    bindings::{
        exports::shop::account::{contacts, ledger, profiles},
        shop::common::types::Money,
    },
    domain::{
        contact::Contact,
        ledger::{Book, Refusal, Transfer},
        profile::{Profile, Status},
    },
    store, workflow,
};

/// The profile as other modules need it.
pub(crate) fn profile(account_id: &str) -> Result<profiles::Profile, profiles::Error> {
    // What is no id names no account.
    let id: AccountId = account_id.parse().map_err(|_| profiles::Error::NotFound)?;
    match store::profile::get(id) {
        Ok(Some(profile)) => Ok(profile.into()),
        Ok(None) => Err(profiles::Error::NotFound),
        Err(error) => {
            log::error("read a profile", &[("cause", &error)]);
            Err(profiles::Error::Other("the profile could not be read".to_owned()))
        }
    }
}

/// The default contact of each account, in their order, once each.
pub(crate) fn default_contacts(account_ids: &[String]) -> Result<Vec<contacts::Contact>, contacts::Error> {
    let known: Vec<AccountId> = account_ids.iter().filter_map(|id| id.parse().ok()).collect();
    if account_ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = store::contact::defaults(&known).map_err(|error| {
        log::error("read default contacts", &[("cause", &error)]);
        contacts::Error::Other("the contacts could not be read".to_owned())
    })?;
    arrange(account_ids, found).map_err(contacts::Error::NoDefaultContact)
}

/// All transfers, or none.
pub(crate) fn post(transfers: Vec<ledger::Transfer>) -> Result<(), ledger::Error> {
    let transfers = transfers
        .into_iter()
        .map(transfer)
        .collect::<Result<Vec<_>, ledger::Error>>()?;
    answered(workflow::ledger::post(&transfers))
}

/// Moves back what a transfer has moved. Revisions of order ask for it that took a wallet's share before it was to be paid.
pub(crate) fn revert(id: &str, reversal_id: &str, note: &str) -> Result<(), ledger::Error> {
    answered(workflow::ledger::revert(id, reversal_id, note))
}

/// What a wallet can pay. What is no id names no account.
pub(crate) fn balance(account_id: &str) -> Result<Money, ledger::Error> {
    let unknown = |_| ledger::Error::AccountNotFound(account_id.to_owned());
    let wallet = answered(workflow::ledger::wallet(account_id.parse().map_err(unknown)?))?;
    Ok(Money {
        amount_minor: wallet.filling.balance,
        currency: wallet.currency.to_owned(),
    })
}

/// Holds what a transfer is to take out of a wallet.
pub(crate) fn hold(wire: ledger::Transfer) -> Result<(), ledger::Error> {
    answered(workflow::hold::hold(&transfer(wire)?))
}

/// Makes the transfer that is held.
pub(crate) fn capture(id: &str) -> Result<(), ledger::Error> {
    answered(workflow::hold::capture(id))
}

/// Lets go of what is held.
pub(crate) fn release(id: &str) -> Result<(), ledger::Error> {
    answered(workflow::hold::release(id))
}

/// A database that does not answer ends the attempt, and the host tries again.
fn answered<T>(result: Result<T, workflow::ledger::Error>) -> Result<T, ledger::Error> {
    result.map_err(|error| match error {
        workflow::ledger::Error::Refused(refusal) => refusal.into(),
        workflow::ledger::Error::Sql(error) => trap(&format!("ask the ledger: {error}")),
    })
}

fn transfer(wire: ledger::Transfer) -> Result<Transfer, ledger::Error> {
    let currency = wire.amount.currency;
    let currency = currency
        .parse()
        .map_err(|_| ledger::Error::Invalid(format!("`{currency}` is no currency")))?;
    Ok(Transfer {
        source: book(wire.source)?,
        destination: book(wire.destination)?,
        id: wire.id,
        currency,
        amount: wire.amount.amount_minor,
        note: wire.note,
        reverts_id: None,
    })
}

fn book(wire: ledger::Book) -> Result<Book, ledger::Error> {
    Ok(match wire {
        ledger::Book::World => Book::World,
        ledger::Book::Escrow => Book::Escrow,
        ledger::Book::Revenue => Book::Revenue,
        // What is no id names no account.
        ledger::Book::Wallet(id) => Book::Wallet(id.parse().map_err(|_| ledger::Error::AccountNotFound(id))?),
    })
}

impl From<Refusal> for ledger::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoAccount(account) => Self::AccountNotFound(account.to_string()),
            Refusal::Insufficient(id) => Self::Insufficient(id),
            Refusal::Conflict(id) => Self::Conflict(id),
            Refusal::Invalid(reason) => Self::Invalid(reason),
        }
    }
}

/// Brings contacts into the order of the ids that were asked for; the ids without one when any is missing.
fn arrange(account_ids: &[String], found: Vec<Contact>) -> Result<Vec<contacts::Contact>, Vec<String>> {
    let mut by_account: BTreeMap<AccountId, Contact> =
        found.into_iter().map(|contact| (contact.account_id, contact)).collect();
    let mut seen = BTreeSet::new();
    let mut arranged = Vec::new();
    let mut missing = Vec::new();
    for text in account_ids {
        let id: Option<AccountId> = text.parse().ok();
        // Of two spellings of one id the first counts; what is no id is told apart by its text.
        if !seen.insert((id, id.is_none().then_some(text))) {
            continue;
        }
        match id.and_then(|id| by_account.remove(&id)) {
            Some(contact) => arranged.push(contact.into()),
            None => missing.push(text.clone()),
        }
    }
    if missing.is_empty() { Ok(arranged) } else { Err(missing) }
}

impl From<Profile> for profiles::Profile {
    fn from(profile: Profile) -> Self {
        Self {
            id: profile.id.to_string(),
            currency: profile.currency().to_owned(),
            name: profile.name,
            status: match profile.status {
                Status::Active => profiles::Status::Active,
                Status::Suspended => profiles::Status::Suspended,
            },
            country: profile.country,
        }
    }
}

impl From<Contact> for contacts::Contact {
    fn from(contact: Contact) -> Self {
        Self {
            id: contact.id.to_string(),
            account_id: contact.account_id.to_string(),
            full_name: contact.full_name,
            phone: contact.phone,
            address: contact.address,
            latitude: contact.latitude,
            longitude: contact.longitude,
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk::{Timestamp, Uuid};

    use super::*;
    use crate::domain::contact::{AddressType, ContactId};

    fn id(number: u128) -> String {
        Uuid::from_u128(number).to_string()
    }

    fn contact(account: u128) -> Contact {
        Contact {
            id: ContactId(Uuid::from_u128(account + 100)),
            account_id: AccountId(Uuid::from_u128(account)),
            full_name: String::new(),
            phone: String::new(),
            phone_verified: false,
            address_type: AddressType::Home,
            date_created: Timestamp::from_ms(0),
            address: String::new(),
            latitude: 0.0,
            longitude: 0.0,
        }
    }

    #[test]
    fn contacts_come_in_the_order_asked_once_each() {
        let asked = [id(2), id(1), id(2)];
        let arranged = arrange(&asked, vec![contact(1), contact(2)]).unwrap();
        let accounts: Vec<_> = arranged.into_iter().map(|contact| contact.account_id).collect();
        assert_eq!(accounts, [id(2), id(1)]);
    }

    #[test]
    fn the_accounts_without_one_are_named() {
        let asked = [id(1), id(3), "nobody".to_owned(), id(3)];
        assert_eq!(arrange(&asked, vec![contact(1)]), Err(vec![id(3), "nobody".to_owned()]));
    }
}
