//! Accounts with their profiles.

use sdk::{
    AccountId, Timestamp,
    sql::{self, Row, Transaction, params, sql},
};

use crate::domain::{
    contact::ContactId,
    identifier::email_key,
    profile::{Profile, ProfileChange},
};

const SELECT: &str = sql!(
    "
    SELECT a.id, a.date_created, p.date_updated, a.status, a.phone, a.email, a.username, p.gender, p.name, p.date_of_birth,
           p.email_verified, p.phone_verified, p.country, p.default_contact_id, p.description
    FROM account a JOIN profile p ON p.id = a.id
    WHERE a.id = $1"
);

/// The account's profile.
pub(crate) fn get(id: AccountId) -> Result<Option<Profile>, sql::Error> {
    sql::query_opt(SELECT, params![id])?.as_ref().map(read).transpose()
}

/// What a change of an account's contacts must know and hold still.
#[derive(Debug)]
pub(crate) struct Locked {
    /// ISO 3166-1 alpha-2.
    pub(crate) country: String,
    pub(crate) default_contact_id: Option<ContactId>,
}

/// Locks the profile, so that changes of one account's contacts happen one after another.
pub(crate) fn lock(tx: &Transaction, id: AccountId) -> Result<Option<Locked>, sql::Error> {
    let row = tx.query_opt(
        sql!("SELECT country, default_contact_id FROM profile WHERE id = $1 FOR UPDATE"),
        params![id],
    )?;
    row.map(|row| {
        Ok(Locked {
            country: row.get("country")?,
            default_contact_id: row.get("default_contact_id")?,
        })
    })
    .transpose()
}

/// Makes a contact the default; it must be the account's own.
pub(crate) fn set_default_contact(
    tx: &Transaction,
    id: AccountId,
    contact: ContactId,
    now: Timestamp,
) -> Result<(), sql::Error> {
    tx.execute(
        sql!("UPDATE profile SET default_contact_id = $2, date_updated = $3 WHERE id = $1"),
        params![id, contact, now],
    )?;
    Ok(())
}

/// Moves the account to a country.
pub(crate) fn set_country(tx: &Transaction, id: AccountId, country: &str, now: Timestamp) -> Result<(), sql::Error> {
    tx.execute(
        sql!("UPDATE profile SET country = $2, date_updated = $3 WHERE id = $1"),
        params![id, country, now],
    )?;
    Ok(())
}

/// Changes a profile and its account; returns both as they are then, none when there is no such account.
///
/// What was verified is not any more once it changes; the old values are still in `account` when that is decided, which is
/// why the profile comes first.
pub(crate) fn update(
    tx: &Transaction,
    id: AccountId,
    change: &ProfileChange,
    now: Timestamp,
) -> Result<Option<Profile>, sql::Error> {
    let key = change.email.as_deref().map(email_key);
    tx.execute(
        sql!(
            "UPDATE profile p
         SET gender = COALESCE($2, p.gender),
             name = COALESCE($3, p.name),
             description = COALESCE($4, p.description),
             date_of_birth = COALESCE($5, p.date_of_birth),
             avatar_rs_id = COALESCE($6, p.avatar_rs_id),
             default_contact_id = COALESCE($7, p.default_contact_id),
             email_verified = p.email_verified AND COALESCE($8, a.email_key) IS NOT DISTINCT FROM a.email_key,
             phone_verified = p.phone_verified AND COALESCE($9, a.phone) IS NOT DISTINCT FROM a.phone,
             date_updated = $10
         FROM account a
         WHERE p.id = $1 AND a.id = p.id"
        ),
        params![
            id,
            change.gender,
            change.name,
            change.description,
            change.date_of_birth,
            change.avatar_rs_id,
            change.default_contact_id,
            key,
            change.phone,
            now
        ],
    )?;
    if change.username.is_some() || change.phone.is_some() || change.email.is_some() {
        tx.execute(
            sql!(
                "UPDATE account
             SET username = COALESCE($2, username),
                 phone = COALESCE($3, phone),
                 email = COALESCE($4, email),
                 email_key = COALESCE($5, email_key)
             WHERE id = $1"
            ),
            params![id, change.username, change.phone, change.email, key],
        )?;
    }
    tx.query_opt(SELECT, params![id])?.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Profile, sql::Error> {
    Ok(Profile {
        id: row.get("id")?,
        date_created: row.get("date_created")?,
        date_updated: row.get("date_updated")?,
        status: row.get("status")?,
        phone: row.get("phone")?,
        email: row.get("email")?,
        username: row.get("username")?,
        gender: row.get("gender")?,
        name: row.get("name")?,
        date_of_birth: row.get("date_of_birth")?,
        email_verified: row.get("email_verified")?,
        phone_verified: row.get("phone_verified")?,
        country: row.get("country")?,
        default_contact_id: row.get("default_contact_id")?,
        description: row.get("description")?,
    })
}
