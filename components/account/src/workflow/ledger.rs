//! Transfers between books: all of a request, or none.

use std::collections::{BTreeMap, BTreeSet};

use sdk::{AccountId, now, sql};

use crate::{
    domain::{
        country,
        ledger::{self, Book, BookKey, Refusal, Transfer},
    },
    store,
};

/// Why transfers did not happen.
#[derive(Debug)]
pub(crate) enum Error {
    Refused(Refusal),
    Sql(sql::Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<sql::Error> for Error {
    fn from(error: sql::Error) -> Self {
        Self::Sql(error)
    }
}

/// Makes the transfers that did not happen before. Of two requests under one id the second finds the first: both lock the same books.
pub(crate) fn post(transfers: &[Transfer]) -> Result<(), Error> {
    if transfers.is_empty() {
        return Ok(());
    }
    transfers.iter().try_for_each(Transfer::check)?;
    check_wallets(transfers)?;
    let books: BTreeMap<BookKey, Book> = transfers
        .iter()
        .flat_map(|transfer| {
            [
                (transfer.source_key(), transfer.source),
                (transfer.destination_key(), transfer.destination),
            ]
        })
        .collect();
    let now = now();
    sql::transaction(|tx| {
        let mut balances = store::ledger::lock(tx, &books)?;
        let ids: Vec<&str> = transfers.iter().map(|transfer| transfer.id.as_str()).collect();
        let posted = store::ledger::posted(tx, &ids)?;
        let new = ledger::apply(transfers, &posted, &mut balances)?;
        if new.is_empty() {
            return Ok(());
        }
        match store::ledger::write(tx, &new, &balances, now) {
            // Another transfer of that id, between other books, was faster.
            Err(error) if error.constraint() == Some("ledger_transfer_pkey") => {
                Err(Refusal::Conflict(ids.join(", ")).into())
            }
            written => Ok(written?),
        }
    })
}

/// A wallet is in the currency of its owner's country.
fn check_wallets(transfers: &[Transfer]) -> Result<(), Error> {
    let wallets: BTreeSet<(AccountId, sdk::Currency)> = transfers
        .iter()
        .flat_map(|transfer| {
            let owners = [transfer.source.owner(), transfer.destination.owner()];
            owners.into_iter().flatten().map(|owner| (owner, transfer.currency))
        })
        .collect();
    let owners: Vec<AccountId> = wallets.iter().map(|(owner, _)| *owner).collect();
    if owners.is_empty() {
        return Ok(());
    }
    let countries = store::ledger::countries(&owners)?;
    for (owner, currency) in wallets {
        let country = countries.get(&owner).ok_or(Refusal::NoAccount(owner))?;
        if country::currency(country) != Some(currency.as_str()) {
            return Err(Refusal::Invalid(format!("the wallet of {owner} is not in {currency}")).into());
        }
    }
    Ok(())
}
