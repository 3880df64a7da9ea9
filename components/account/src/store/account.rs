//! Login identities.

use sdk::{
    AccountId, Timestamp,
    sql::{self, Transaction, params, sql},
};

use crate::domain::{identifier::Identifier, profile::Status};

/// What a sign-in needs to know.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) id: AccountId,
    pub(crate) number: i64,
    pub(crate) status: Status,
    pub(crate) password_hash: Option<String>,
}

/// A new account with its profile.
#[derive(Debug)]
pub(crate) struct NewAccount<'a> {
    pub(crate) id: AccountId,
    pub(crate) phone: Option<&'a str>,
    /// As its owner writes it.
    pub(crate) email: Option<&'a str>,
    pub(crate) email_key: Option<String>,
    pub(crate) username: Option<&'a str>,
    pub(crate) password_hash: String,
    pub(crate) country: &'a str,
    pub(crate) created: Timestamp,
}

/// The account with that identifier.
pub(crate) fn find(identifier: &Identifier) -> Result<Option<Credentials>, sql::Error> {
    let (statement, value) = match identifier {
        Identifier::Email(key) => (
            sql!("SELECT id, number, status, password_hash FROM account WHERE email_key = $1"),
            key,
        ),
        Identifier::Phone(phone) => (
            sql!("SELECT id, number, status, password_hash FROM account WHERE phone = $1"),
            phone,
        ),
        Identifier::Username(name) => (
            sql!("SELECT id, number, status, password_hash FROM account WHERE username = $1"),
            name,
        ),
    };
    let row = sql::query_opt(statement, params![value])?;
    row.map(|row| {
        Ok(Credentials {
            id: row.get("id")?,
            number: row.get("number")?,
            status: row.get("status")?,
            password_hash: row.get("password_hash")?,
        })
    })
    .transpose()
}

/// Adds an account and its profile; returns the account's number.
pub(crate) fn insert(tx: &Transaction, new: &NewAccount<'_>) -> Result<i64, sql::Error> {
    let row = tx.query_one(
        sql!(
            "WITH added AS (
             INSERT INTO account (id, status, phone, email, email_key, username, password_hash, date_created)
             VALUES ($1, 'Active', $2, $3, $4, $5, $6, $8)
             RETURNING id, number, date_created
         ), profile AS (
             INSERT INTO profile (id, name, description, email_verified, phone_verified, date_created, date_updated,
                                  country, internal_balance)
             SELECT id, '', '', false, false, date_created, date_created, $7, 0 FROM added
         )
         SELECT number FROM added"
        ),
        params![
            new.id,
            new.phone,
            new.email,
            new.email_key,
            new.username,
            new.password_hash,
            new.country,
            new.created
        ],
    )?;
    row.get("number")
}

/// Replaces an outdated hash, unless the password was changed since it was read.
pub(crate) fn rehash(tx: &Transaction, id: AccountId, old: &str, new: &str) -> Result<(), sql::Error> {
    tx.execute(
        sql!("UPDATE account SET password_hash = $3 WHERE id = $1 AND password_hash = $2"),
        params![id, old, new],
    )?;
    Ok(())
}
