//! Saved addresses.

use sdk::{AccountId, Timestamp};
use serde::Serialize;

use crate::error::Error;

sdk::id! {
    /// A saved address.
    pub(crate) struct ContactId;
}

sdk::text_enum! {
    /// What is at an address.
    pub(crate) enum AddressType {
        /// Somebody lives there.
        Home = "Home",
        /// Somebody works there.
        Work = "Work",
    }
}

/// A saved address, as it is stored and as it is sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Contact {
    pub(crate) id: ContactId,
    pub(crate) account_id: AccountId,
    pub(crate) full_name: String,
    pub(crate) phone: String,
    pub(crate) phone_verified: bool,
    pub(crate) address_type: AddressType,
    pub(crate) date_created: Timestamp,
    pub(crate) address: String,
    /// Degrees.
    pub(crate) latitude: f64,
    /// Degrees.
    pub(crate) longitude: f64,
}

/// A change of a contact: what is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ContactChange {
    pub(crate) full_name: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) address_type: Option<AddressType>,
    pub(crate) address: Option<Location>,
}

/// An address that was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Location {
    /// As its owner wrote it.
    pub(crate) address: String,
    /// ISO 3166-1 alpha-2.
    pub(crate) country: String,
    /// Degrees.
    pub(crate) latitude: f64,
    /// Degrees.
    pub(crate) longitude: f64,
}

impl Location {
    /// An account's addresses lie in its own country, because its prices and parcels do.
    pub(crate) fn must_lie_in(&self, country: &str) -> Result<(), Error> {
        if self.country == country {
            return Ok(());
        }
        Err(Error::CountryMismatch {
            resolved: self.country.clone(),
            profile: country.to_owned(),
        })
    }
}

/// Contacts of one account: the list of them is read at once, and is one message.
const MAX_CONTACTS: i64 = 100;

/// Whether there may be a further contact.
pub(crate) fn may_add(owned: i64) -> Result<(), Error> {
    if owned < MAX_CONTACTS {
        Ok(())
    } else {
        Err(Error::ContactsFull { most: MAX_CONTACTS })
    }
}

/// Whether a contact may go: an account that has any keeps at least one.
pub(crate) fn may_delete(owned: i64) -> Result<(), Error> {
    if owned > 1 { Ok(()) } else { Err(Error::LastContact) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_abroad_is_refused() {
        let location = Location {
            address: "1 Main St".to_owned(),
            country: "US".to_owned(),
            latitude: 0.0,
            longitude: 0.0,
        };
        assert!(location.must_lie_in("US").is_ok());
        assert!(matches!(
            location.must_lie_in("VN"),
            Err(Error::CountryMismatch { resolved, profile }) if resolved == "US" && profile == "VN"
        ));
    }

    #[test]
    fn a_hundred_contacts_are_the_limit() {
        assert!(may_add(99).is_ok());
        assert!(matches!(may_add(100), Err(Error::ContactsFull { most: 100 })));
    }

    #[test]
    fn the_last_contact_stays() {
        assert!(matches!(may_delete(1), Err(Error::LastContact)));
        assert!(may_delete(2).is_ok());
    }
}
