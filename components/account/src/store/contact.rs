//! Saved addresses. Every function is scoped to an owner: somebody else's contact is one that is not there.

use sdk::{
    AccountId,
    sql::{self, Row, Transaction, params, sql},
};

use crate::domain::contact::{Contact, ContactChange, ContactId};

/// All contacts of an account, oldest id first.
pub(crate) fn list(owner: AccountId) -> Result<Vec<Contact>, sql::Error> {
    let rows = sql::query(
        sql!("SELECT id, account_id, full_name, phone, phone_verified, address_type, date_created, address, latitude, longitude
         FROM contact WHERE account_id = $1 ORDER BY id"),
        params![owner],
    )?;
    rows.iter().map(read).collect()
}

/// One contact of an account.
pub(crate) fn get(owner: AccountId, id: ContactId) -> Result<Option<Contact>, sql::Error> {
    let row = sql::query_opt(
        sql!("SELECT id, account_id, full_name, phone, phone_verified, address_type, date_created, address, latitude, longitude
         FROM contact WHERE account_id = $1 AND id = $2"),
        params![owner, id],
    )?;
    row.as_ref().map(read).transpose()
}

/// The default contacts of these accounts, in no order; accounts without one are left out.
pub(crate) fn defaults(owners: &[AccountId]) -> Result<Vec<Contact>, sql::Error> {
    let rows = sql::query(
        sql!("SELECT c.id, c.account_id, c.full_name, c.phone, c.phone_verified, c.address_type, c.date_created, c.address,
                c.latitude, c.longitude
         FROM profile p JOIN contact c ON c.account_id = p.id AND c.id = p.default_contact_id
         WHERE p.id = ANY ($1)"),
        params![owners],
    )?;
    rows.iter().map(read).collect()
}

/// How many contacts an account has.
pub(crate) fn count(tx: &Transaction, owner: AccountId) -> Result<i64, sql::Error> {
    tx.query_one(
        sql!("SELECT count(*) AS contacts FROM contact WHERE account_id = $1"),
        params![owner],
    )?
    .get("contacts")
}

/// Adds a contact.
pub(crate) fn insert(tx: &Transaction, contact: &Contact) -> Result<(), sql::Error> {
    tx.execute(
        sql!("INSERT INTO contact (id, account_id, full_name, phone, phone_verified, address_type, date_created, address,
                              latitude, longitude)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"),
        params![
            contact.id,
            contact.account_id,
            contact.full_name,
            contact.phone,
            contact.phone_verified,
            contact.address_type,
            contact.date_created,
            contact.address,
            contact.latitude,
            contact.longitude
        ],
    )?;
    Ok(())
}

/// Changes a contact of an account; a new phone number is not verified. None when it is not there.
pub(crate) fn update(
    tx: &Transaction,
    owner: AccountId,
    id: ContactId,
    change: &ContactChange,
) -> Result<Option<Contact>, sql::Error> {
    let row = tx.query_opt(
        sql!(
            "UPDATE contact
         SET full_name = COALESCE($3, full_name),
             phone_verified = phone_verified AND COALESCE($4, phone) = phone,
             phone = COALESCE($4, phone),
             address_type = COALESCE($5, address_type),
             address = COALESCE($6, address),
             latitude = COALESCE($7, latitude),
             longitude = COALESCE($8, longitude)
         WHERE account_id = $1 AND id = $2
         RETURNING id, account_id, full_name, phone, phone_verified, address_type, date_created, address, latitude,
                   longitude"
        ),
        params![
            owner,
            id,
            change.full_name,
            change.phone,
            change.address_type,
            change.address.as_ref().map(|location| &location.address),
            change.address.as_ref().map(|location| location.latitude),
            change.address.as_ref().map(|location| location.longitude)
        ],
    )?;
    row.as_ref().map(read).transpose()
}

/// Deletes a contact of an account; false when it is not there. A default that it was is none afterwards.
pub(crate) fn delete(tx: &Transaction, owner: AccountId, id: ContactId) -> Result<bool, sql::Error> {
    Ok(tx.execute(
        sql!("DELETE FROM contact WHERE account_id = $1 AND id = $2"),
        params![owner, id],
    )? > 0)
}

/// The contact of an account that was added last.
pub(crate) fn newest(tx: &Transaction, owner: AccountId) -> Result<Option<ContactId>, sql::Error> {
    let row = tx.query_opt(
        sql!("SELECT id FROM contact WHERE account_id = $1 ORDER BY date_created DESC, id DESC LIMIT 1"),
        params![owner],
    )?;
    row.map(|row| row.get("id")).transpose()
}

fn read(row: &Row) -> Result<Contact, sql::Error> {
    Ok(Contact {
        id: row.get("id")?,
        account_id: row.get("account_id")?,
        full_name: row.get("full_name")?,
        phone: row.get("phone")?,
        phone_verified: row.get("phone_verified")?,
        address_type: row.get("address_type")?,
        date_created: row.get("date_created")?,
        address: row.get("address")?,
        latitude: row.get("latitude")?,
        longitude: row.get("longitude")?,
    })
}
