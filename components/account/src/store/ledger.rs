//! Books and the transfers between them.

use std::collections::BTreeMap;

use sdk::{
    AccountId, Currency, Timestamp,
    sql::{self, Error, Row, Transaction, params, sql},
};

use crate::domain::ledger::{Book, BookKey, Filling, Posted, Transfer};

/// What is in an account's wallet; one that was never used is empty.
pub(crate) fn wallet(owner: AccountId, currency: Currency) -> Result<Filling, Error> {
    let row = sql::query_opt(
        sql!("SELECT balance, held FROM ledger_book WHERE name = $1 AND currency = $2"),
        params![Book::Wallet(owner).to_string(), currency],
    )?;
    row.map_or(Ok(Filling::default()), |row| {
        Ok(Filling {
            balance: row.get("balance")?,
            held: row.get("held")?,
        })
    })
}

const FILLED_WALLET: &str = sql!(
    "SELECT balance + held AS amount, currency FROM ledger_book WHERE owner_id = $1 AND balance + held <> 0
     ORDER BY currency LIMIT 1"
);

/// What is in an account's wallet, held or not, in whatever currency; none when it is empty.
pub(crate) fn filled_wallet(account: AccountId) -> Result<Option<(i64, Currency)>, Error> {
    sql::query_opt(FILLED_WALLET, params![account])?.map(filled).transpose()
}

/// The same while the account's profile is locked: nothing is paid into it until the transaction ends.
pub(crate) fn locked_wallet(tx: &Transaction, account: AccountId) -> Result<Option<(i64, Currency)>, Error> {
    tx.query_opt(FILLED_WALLET, params![account])?.map(filled).transpose()
}

fn filled(row: Row) -> Result<(i64, Currency), Error> {
    Ok((row.get("amount")?, row.get("currency")?))
}

/// The countries of these accounts, which stay what they are until the transaction ends; unknown accounts are left out.
pub(crate) fn hold_countries(tx: &Transaction, accounts: &[AccountId]) -> Result<BTreeMap<AccountId, String>, Error> {
    tx.query(
        sql!("SELECT id, country FROM profile WHERE id = ANY($1) ORDER BY id FOR SHARE"),
        params![accounts],
    )?
    .iter()
    .map(|row| Ok((row.get("id")?, row.get("country")?)))
    .collect()
}

/// Locks these books in the order of their names, and says what their balances are. Those that are not there yet come to be.
pub(crate) fn lock(tx: &Transaction, books: &BTreeMap<BookKey, Book>) -> Result<BTreeMap<BookKey, i64>, Error> {
    let names: Vec<String> = books.keys().map(|(name, _)| name.clone()).collect();
    let currencies: Vec<String> = books.keys().map(|(_, currency)| currency.to_string()).collect();
    // Arrays have no nulls: an empty text stands for none.
    let owners: Vec<String> = books
        .values()
        .map(|book| book.owner().map(|owner| owner.to_string()).unwrap_or_default())
        .collect();
    tx.execute(
        sql!(
            "INSERT INTO ledger_book (name, currency, owner_id, balance)
         SELECT name, currency, NULLIF(owner, '')::uuid, 0
         FROM unnest($1::text[], $2::text[], $3::text[]) AS book (name, currency, owner)
         ORDER BY name, currency
         ON CONFLICT DO NOTHING"
        ),
        params![names, currencies, owners],
    )?;
    tx.query(
        sql!(
            "SELECT name, currency, balance FROM ledger_book
         WHERE (name, currency) IN (SELECT * FROM unnest($1::text[], $2::text[]))
         ORDER BY name, currency FOR UPDATE"
        ),
        params![names, currencies],
    )?
    .iter()
    .map(|row| Ok(((row.get("name")?, row.get("currency")?), row.get("balance")?)))
    .collect()
}

/// Takes this much of a wallet's balance aside, or puts it back when it is below 0. The book is locked.
pub(crate) fn set_aside(tx: &Transaction, wallet: &BookKey, amount: i64) -> Result<(), Error> {
    let (name, currency) = wallet;
    tx.execute(
        sql!("UPDATE ledger_book SET balance = balance - $3, held = held + $3 WHERE name = $1 AND currency = $2"),
        params![name, currency, amount],
    )
    .map(drop)
}

/// The transfer of this id, if it happened. It never changes.
pub(crate) fn find(id: &str) -> Result<Option<Posted>, Error> {
    sql::query_opt(POSTED, params![[id].as_slice()])?
        .as_ref()
        .map(read)
        .transpose()
}

/// Those of these transfers that happened.
pub(crate) fn posted(tx: &Transaction, ids: &[&str]) -> Result<Vec<Posted>, Error> {
    tx.query(POSTED, params![ids])?.iter().map(read).collect()
}

const POSTED: &str = sql!("SELECT id, source, destination, currency, amount FROM ledger_transfer WHERE id = ANY($1)");

fn read(row: &Row) -> Result<Posted, Error> {
    Ok(Posted {
        id: row.get("id")?,
        source: row.get("source")?,
        destination: row.get("destination")?,
        currency: row.get("currency")?,
        amount: row.get("amount")?,
    })
}

/// Writes transfers down, and what is in the books after them. The books are locked.
pub(crate) fn write(
    tx: &Transaction,
    transfers: &[&Transfer],
    balances: &BTreeMap<BookKey, i64>,
    now: Timestamp,
) -> Result<(), Error> {
    fn column<T>(transfers: &[&Transfer], of: impl Fn(&Transfer) -> T) -> Vec<T> {
        transfers.iter().map(|transfer| of(transfer)).collect()
    }
    tx.execute(
        sql!(
            "INSERT INTO ledger_transfer (id, source, destination, currency, amount, note, reverts_id, date_created)
         SELECT id, source, destination, currency, amount, note, NULLIF(reverts_id, ''), $8
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[])
              AS transfer (id, source, destination, currency, amount, note, reverts_id)"
        ),
        params![
            column(transfers, |transfer| transfer.id.clone()),
            column(transfers, |transfer| transfer.source.to_string()),
            column(transfers, |transfer| transfer.destination.to_string()),
            column(transfers, |transfer| transfer.currency.to_string()),
            column(transfers, |transfer| transfer.amount),
            column(transfers, |transfer| transfer.note.clone()),
            // Arrays have no nulls: an empty text stands for none.
            column(transfers, |transfer| transfer.reverts_id.clone().unwrap_or_default()),
            now
        ],
    )?;
    let names: Vec<String> = balances.keys().map(|(name, _)| name.clone()).collect();
    let currencies: Vec<String> = balances.keys().map(|(_, currency)| currency.to_string()).collect();
    let amounts: Vec<i64> = balances.values().copied().collect();
    tx.execute(
        sql!(
            "UPDATE ledger_book b SET balance = changed.balance
         FROM unnest($1::text[], $2::text[], $3::bigint[]) AS changed (name, currency, balance)
         WHERE b.name = changed.name AND b.currency = changed.currency"
        ),
        params![names, currencies, amounts],
    )?;
    Ok(())
}
