//! Sign-ins and their rotating refresh tokens. A token is known by the fingerprint of its id.

use sdk::{
    AccountId, Timestamp, Uuid,
    sql::{self, Transaction, params, sql},
};

use crate::domain::token::{Family, Presented};

/// A refresh token as it is kept.
#[derive(Debug)]
pub(crate) struct NewToken<'a> {
    pub(crate) fingerprint: &'a str,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
}

/// Adds a sign-in with its first token; false when the account is suspended. Waits for who is about to suspend it, and makes who comes later
/// wait, so that no sign-in survives a suspension.
pub(crate) fn insert_family(
    tx: &Transaction,
    account: AccountId,
    family: Family,
    token: &NewToken<'_>,
) -> Result<bool, sql::Error> {
    let inserted = tx.execute(
        sql!(
            "WITH family AS (
             INSERT INTO refresh_family (id, account_id, date_created, date_expires)
             SELECT $1, id, $3, $4 FROM account WHERE id = $2 AND status <> 'Suspended' FOR SHARE
             RETURNING id
         )
         INSERT INTO refresh_token (fingerprint, family_id, date_created, date_expires)
         SELECT $5, id, $3, $6 FROM family"
        ),
        params![
            family.id,
            account,
            token.created,
            family.expires,
            token.fingerprint,
            token.expires
        ],
    )?;
    Ok(inserted == 1)
}

/// Removes an account's sign-ins that are over, so that they do not pile up.
pub(crate) fn delete_expired(tx: &Transaction, account: AccountId, now: Timestamp) -> Result<(), sql::Error> {
    tx.execute(
        sql!("DELETE FROM refresh_family WHERE account_id = $1 AND date_expires < $2"),
        params![account, now],
    )?;
    Ok(())
}

/// A token of that family and account, locked with its family until the transaction ends: of two uses of one token, the
/// second sees that it was used.
pub(crate) fn lock(
    tx: &Transaction,
    fingerprint: &str,
    family: Uuid,
    account: AccountId,
) -> Result<Option<Presented>, sql::Error> {
    let row = tx.query_opt(
        sql!(
            "SELECT a.status, t.date_expires, t.date_used, f.date_revoked IS NOT NULL AS revoked
         FROM refresh_token t
         JOIN refresh_family f ON f.id = t.family_id
         JOIN account a ON a.id = f.account_id
         WHERE t.fingerprint = $1 AND f.id = $2 AND a.id = $3
         FOR UPDATE OF t, f"
        ),
        params![fingerprint, family, account],
    )?;
    row.map(|row| {
        Ok(Presented {
            status: row.get("status")?,
            expires: row.get("date_expires")?,
            used: row.get("date_used")?,
            family_revoked: row.get("revoked")?,
        })
    })
    .transpose()
}

/// Exchanges a token for its successor. The first use counts: a repeated one does not prolong the grace.
pub(crate) fn rotate(tx: &Transaction, old: &str, family: Uuid, successor: &NewToken<'_>) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "WITH used AS (
             UPDATE refresh_token SET date_used = COALESCE(date_used, $4) WHERE fingerprint = $1
         )
         INSERT INTO refresh_token (fingerprint, family_id, date_created, date_expires) VALUES ($2, $3, $4, $5)"
        ),
        params![old, successor.fingerprint, family, successor.created, successor.expires],
    )?;
    Ok(())
}

/// Ends a sign-in.
pub(crate) fn revoke(tx: &Transaction, family: Uuid, now: Timestamp) -> Result<(), sql::Error> {
    tx.execute(
        sql!("UPDATE refresh_family SET date_revoked = $2 WHERE id = $1 AND date_revoked IS NULL"),
        params![family, now],
    )?;
    Ok(())
}
