//! Transfers between books: all of a request, or none.

use std::collections::{BTreeMap, BTreeSet};

use sdk::{
    AccountId, Timestamp, now,
    sql::{self, Transaction},
};

use crate::{
    domain::{
        country,
        ledger::{self, Book, BookKey, Filling, Refusal, Transfer},
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

/// An account's wallet.
pub(crate) struct Wallet {
    pub(crate) filling: Filling,
    pub(crate) currency: &'static str,
}

/// What is in an account's wallet; the wallet of one whose country has no currency is empty, and is in none.
pub(crate) fn wallet(account: AccountId) -> Result<Wallet, Error> {
    let profile = store::profile::get(account)?.ok_or(Refusal::NoAccount(account))?;
    let currency = profile.currency();
    let filling = match currency.parse() {
        Ok(currency) => store::ledger::wallet(account, currency)?,
        Err(_) => Filling::default(),
    };
    Ok(Wallet { filling, currency })
}

/// Moves back what a transfer has moved, if it has. It cannot happen between the look and the move: whoever undoes it asked for it, too.
pub(crate) fn revert(id: &str, reversal_id: &str, note: &str) -> Result<(), Error> {
    let Some(posted) = store::ledger::find(id)? else {
        return Ok(());
    };
    let reversal = posted.reversal(reversal_id, note);
    let reversal = reversal.map_err(|_| Refusal::Invalid(format!("{id} is between books of another kind")))?;
    post(&[reversal])
}

/// Makes the transfers that did not happen before. Of two requests under one id the second finds the first: both lock the same books.
pub(crate) fn post(transfers: &[Transfer]) -> Result<(), Error> {
    if transfers.is_empty() {
        return Ok(());
    }
    transfers.iter().try_for_each(Transfer::check)?;
    let books = books(transfers);
    let owners: BTreeSet<AccountId> = books.values().filter_map(|book| book.owner()).collect();
    let now = now();
    sql::transaction(|tx| {
        let countries = countries(tx, &owners)?;
        let mut balances = store::ledger::lock(tx, &books)?;
        let ids: Vec<&str> = transfers.iter().map(|transfer| transfer.id.as_str()).collect();
        let posted = store::ledger::posted(tx, &ids)?;
        let new = ledger::apply(transfers, &posted, &mut balances)?;
        if new.is_empty() {
            return Ok(());
        }
        check_wallets(&new, &countries)?;
        write(tx, &new, &balances, now)
    })
}

/// The books between which these transfers are.
pub(super) fn books(transfers: &[Transfer]) -> BTreeMap<BookKey, Book> {
    let ends = |transfer: &Transfer| {
        [
            (transfer.source_key(), transfer.source),
            (transfer.destination_key(), transfer.destination),
        ]
    };
    transfers.iter().flat_map(ends).collect()
}

/// Writes transfers down, and what they leave in the books, which are locked.
pub(super) fn write(
    tx: &Transaction,
    transfers: &[&Transfer],
    balances: &BTreeMap<BookKey, i64>,
    now: Timestamp,
) -> Result<(), Error> {
    match store::ledger::write(tx, transfers, balances, now) {
        // Another transfer of that id, between other books, was faster; or another has moved the same one back.
        Err(error)
            if matches!(
                error.constraint(),
                Some("ledger_transfer_pkey" | "ledger_transfer_reverted_once")
            ) =>
        {
            let ids: Vec<&str> = transfers.iter().map(|transfer| transfer.id.as_str()).collect();
            Err(Refusal::Conflict(ids.join(", ")).into())
        }
        written => Ok(written?),
    }
}

/// The countries of the owners of wallets, none of whom moves meanwhile.
pub(super) fn countries(tx: &Transaction, owners: &BTreeSet<AccountId>) -> Result<BTreeMap<AccountId, String>, Error> {
    if owners.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<AccountId> = owners.iter().copied().collect();
    let countries = store::ledger::hold_countries(tx, &ids)?;
    match owners.iter().find(|owner| !countries.contains_key(owner)) {
        Some(unknown) => Err(Refusal::NoAccount(*unknown).into()),
        None => Ok(countries),
    }
}

/// A wallet is in the currency of its owner's country.
pub(super) fn check_wallets(transfers: &[&Transfer], countries: &BTreeMap<AccountId, String>) -> Result<(), Refusal> {
    for transfer in transfers {
        for owner in [transfer.source.owner(), transfer.destination.owner()]
            .into_iter()
            .flatten()
        {
            let currency = countries.get(&owner).and_then(|country| country::currency(country));
            if currency != Some(transfer.currency.as_str()) {
                return Err(Refusal::Invalid(format!(
                    "the wallet of {owner} is not in {}",
                    transfer.currency
                )));
            }
        }
    }
    Ok(())
}
