//! What wallets are to pay once something else has happened: held, then captured or released.
//!
//! What is held is not in the balance of its wallet, so whoever spends from that needs to know of no holds.

use std::collections::{BTreeMap, BTreeSet};

use sdk::{now, sql};

use super::ledger::{self as transfers, Error};
use crate::{
    domain::{
        hold,
        ledger::{self, Refusal, Transfer},
    },
    store,
};

/// Holds what a transfer is to take out of a wallet, once. What was answered for it before is answered again, whatever the wallet has now.
pub(crate) fn hold(transfer: &Transfer) -> Result<(), Error> {
    let holder = hold::holder(transfer)?;
    let owners: BTreeSet<_> = [Some(holder), transfer.destination.owner()]
        .into_iter()
        .flatten()
        .collect();
    let wallet = transfer.source_key();
    let now = now();
    sql::transaction(|tx| {
        let countries = transfers::countries(tx, &owners)?;
        let balances = store::ledger::lock(tx, &BTreeMap::from([(wallet.clone(), transfer.source)]))?;
        if !store::hold::insert(tx, transfer, now)? {
            let known = store::hold::get(tx, &transfer.id)?.ok_or(sql::Error::NoRow)?;
            return Ok(known.check_same(transfer)?);
        }
        if !store::ledger::posted(tx, &[transfer.id.as_str()])?.is_empty() {
            return Err(Refusal::Conflict(transfer.id.clone()).into());
        }
        transfers::check_wallets(&[transfer], &countries)?;
        if balances.get(&wallet).is_none_or(|balance| *balance < transfer.amount) {
            return Err(Refusal::Insufficient(transfer.id.clone()).into());
        }
        Ok(store::ledger::set_aside(tx, &wallet, transfer.amount)?)
    })
}

/// Makes the transfer that is held, once. One that was made without having been held has happened, too.
pub(crate) fn capture(id: &str) -> Result<(), Error> {
    let now = now();
    sql::transaction(|tx| {
        let Some(hold) = store::hold::lock(tx, id)? else {
            return if store::ledger::posted(tx, &[id])?.is_empty() {
                Err(Refusal::Invalid(format!("nothing is held under {id}")).into())
            } else {
                Ok(())
            };
        };
        let Some(transfer) = hold.capture(id)? else {
            return Ok(());
        };
        let (wallet, amount) = (transfer.source_key(), transfer.amount);
        let transfer = [transfer];
        let mut balances = store::ledger::lock(tx, &transfers::books(&transfer))?;
        // It comes back into the balance, and leaves that as every transfer does.
        store::ledger::set_aside(tx, &wallet, -amount)?;
        *balances.entry(wallet).or_default() += amount;
        let made = ledger::apply(&transfer, &[], &mut balances)?;
        transfers::write(tx, &made, &balances, now)?;
        Ok(store::hold::set_captured(tx, id, now)?)
    })
}

/// Lets go of what is held, once; an id under which nothing was ever held is blocked.
pub(crate) fn release(id: &str) -> Result<(), Error> {
    ledger::check_id(id)?;
    let now = now();
    sql::transaction(|tx| {
        if store::hold::insert_blocked(tx, id, now)? {
            return Ok(());
        }
        let hold = store::hold::lock(tx, id)?.ok_or(sql::Error::NoRow)?;
        let Some(transfer) = hold.release(id)? else {
            return Ok(());
        };
        store::ledger::set_aside(tx, &transfer.source_key(), -transfer.amount)?;
        Ok(store::hold::set_released(tx, id, now)?)
    })
}
