//! Changes of an account's contacts. Each locks the profile, so that the default and the count hold among concurrent ones.

use sdk::{AccountId, new_id, now, sql};

use crate::{
    bindings::shop::common::geocoding,
    domain::contact::{AddressType, Contact, ContactChange, ContactId, Location, may_add, may_delete},
    error::Error,
    store,
};

/// A contact to be added.
#[derive(Debug)]
pub(crate) struct NewContact {
    pub(crate) full_name: String,
    pub(crate) phone: String,
    pub(crate) address: String,
    pub(crate) address_type: AddressType,
}

/// What a client wants changed of a contact; what is none stays as it is.
#[derive(Debug)]
pub(crate) struct ContactEdit {
    pub(crate) full_name: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) address_type: Option<AddressType>,
}

/// Adds a contact; the first one becomes the default.
pub(crate) fn add(me: AccountId, new: NewContact) -> Result<Contact, Error> {
    let location = locate(new.address)?;
    let now = now();
    let contact = Contact {
        id: ContactId(new_id()),
        account_id: me,
        full_name: new.full_name,
        phone: new.phone,
        phone_verified: false,
        address_type: new.address_type,
        date_created: now,
        address: location.address.clone(),
        latitude: location.latitude,
        longitude: location.longitude,
    };
    sql::transaction(|tx| {
        let profile = store::profile::lock(tx, me)?.ok_or(Error::CallerGone)?;
        location.must_lie_in(&profile.country)?;
        may_add(store::contact::count(tx, me)?)?;
        store::contact::insert(tx, &contact)?;
        if profile.default_contact_id.is_none() {
            store::profile::set_default_contact(tx, me, contact.id, now)?;
        }
        Ok(contact)
    })
}

/// Changes a contact of the caller.
pub(crate) fn edit(me: AccountId, id: ContactId, edit: ContactEdit) -> Result<Contact, Error> {
    // Before the address is looked up: a stranger learns nothing, and costs no lookup.
    store::contact::get(me, id)?.ok_or(Error::ContactNotFound)?;
    let address = edit.address.map(locate).transpose()?;
    let change = ContactChange {
        full_name: edit.full_name,
        phone: edit.phone,
        address_type: edit.address_type,
        address,
    };
    sql::transaction(|tx| {
        let profile = store::profile::lock(tx, me)?.ok_or(Error::CallerGone)?;
        if let Some(location) = &change.address {
            location.must_lie_in(&profile.country)?;
        }
        store::contact::update(tx, me, id, &change)?.ok_or(Error::ContactNotFound)
    })
}

/// Deletes a contact of the caller; when it was the default, the newest of the others is.
pub(crate) fn remove(me: AccountId, id: ContactId) -> Result<(), Error> {
    let now = now();
    sql::transaction(|tx| {
        let profile = store::profile::lock(tx, me)?.ok_or(Error::CallerGone)?;
        let owned = store::contact::count(tx, me)?;
        if !store::contact::delete(tx, me, id)? {
            return Err(Error::ContactNotFound);
        }
        may_delete(owned)?;
        if profile.default_contact_id == Some(id)
            && let Some(newest) = store::contact::newest(tx, me)?
        {
            store::profile::set_default_contact(tx, me, newest, now)?;
        }
        Ok(())
    })
}

/// Where an address is; its owner's spelling is kept.
fn locate(address: String) -> Result<Location, Error> {
    let place = geocoding::resolve(&address)?;
    Ok(Location {
        address,
        country: place.country,
        latitude: place.latitude,
        longitude: place.longitude,
    })
}
