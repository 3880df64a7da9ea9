//! What an account shows of itself, to itself and to others.

use sdk::{AccountId, Timestamp, Uuid};
use serde::Serialize;

use super::{contact::ContactId, country};

sdk::text_enum! {
    /// Whether an account may do anything.
    pub(crate) enum Status {
        /// It may.
        Active = "Active",
        /// It may not sign in, refresh, or act.
        Suspended = "Suspended",
    }
}

sdk::text_enum! {
    /// As its owner says.
    pub(crate) enum Gender {
        /// He.
        Male = "Male",
        /// She.
        Female = "Female",
        /// Neither, or not told.
        Other = "Other",
    }
}

/// An account with its profile, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) id: AccountId,
    pub(crate) date_created: Timestamp,
    pub(crate) date_updated: Timestamp,
    pub(crate) status: Status,
    pub(crate) phone: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) gender: Option<Gender>,
    pub(crate) name: String,
    pub(crate) date_of_birth: Option<Timestamp>,
    pub(crate) email_verified: bool,
    pub(crate) phone_verified: bool,
    pub(crate) country: String,
    pub(crate) default_contact_id: Option<ContactId>,
    pub(crate) description: String,
}

/// A profile as it is sent. All keys are always there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ProfileView {
    id: AccountId,
    date_created: Timestamp,
    date_updated: Timestamp,
    status: Status,
    phone: Option<String>,
    email: Option<String>,
    username: Option<String>,
    gender: Option<Gender>,
    name: String,
    date_of_birth: Option<Timestamp>,
    email_verified: bool,
    phone_verified: bool,
    country: String,
    currency: &'static str,
    default_contact_id: Option<ContactId>,
    /// Null until the module that owns resources can resolve one.
    avatar_url: Option<String>,
    description: String,
}

impl Profile {
    /// The currency of its country, empty where that has none.
    pub(crate) fn currency(&self) -> &'static str {
        country::currency(&self.country).unwrap_or_default()
    }

    /// For its owner: everything.
    pub(crate) fn for_self(self) -> ProfileView {
        ProfileView {
            currency: self.currency(),
            id: self.id,
            date_created: self.date_created,
            date_updated: self.date_updated,
            status: self.status,
            phone: self.phone,
            email: self.email,
            username: self.username,
            gender: self.gender,
            name: self.name,
            date_of_birth: self.date_of_birth,
            email_verified: self.email_verified,
            phone_verified: self.phone_verified,
            country: self.country,
            default_contact_id: self.default_contact_id,
            avatar_url: None,
            description: self.description,
        }
    }

    /// For `viewer`: what is private is null unless it is their own.
    pub(crate) fn for_viewer(self, viewer: AccountId) -> ProfileView {
        let own = self.id == viewer;
        let view = self.for_self();
        if own {
            return view;
        }
        ProfileView {
            phone: None,
            email: None,
            date_of_birth: None,
            default_contact_id: None,
            ..view
        }
    }
}

/// A change of one's own profile: what is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProfileChange {
    pub(crate) username: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) gender: Option<Gender>,
    pub(crate) name: Option<String>,
    pub(crate) date_of_birth: Option<Timestamp>,
    pub(crate) avatar_rs_id: Option<Uuid>,
    pub(crate) default_contact_id: Option<ContactId>,
    pub(crate) description: Option<String>,
}

impl ProfileChange {
    /// True when nothing is to change.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        let at = Timestamp::from_ms(0);
        Profile {
            id: AccountId(Uuid::from_u128(1)),
            date_created: at,
            date_updated: at,
            status: Status::Active,
            phone: Some("+84901234567".to_owned()),
            email: Some("an@example.com".to_owned()),
            username: Some("an".to_owned()),
            gender: Some(Gender::Other),
            name: String::new(),
            date_of_birth: Some(at),
            email_verified: false,
            phone_verified: false,
            country: "VN".to_owned(),
            default_contact_id: Some(ContactId(Uuid::from_u128(2))),
            description: String::new(),
        }
    }

    #[test]
    fn others_do_not_see_what_is_private() {
        let seen = serde_json::to_value(profile().for_viewer(AccountId(Uuid::from_u128(9)))).unwrap();
        for private in ["phone", "email", "date_of_birth", "default_contact_id"] {
            assert_eq!(seen.get(private), Some(&serde_json::Value::Null), "{private}");
        }
        assert_eq!(seen["username"], "an");
        assert_eq!(seen["currency"], "VND");
    }

    #[test]
    fn the_owner_sees_everything_under_the_same_keys() {
        let own = serde_json::to_value(profile().for_viewer(profile().id)).unwrap();
        let public = serde_json::to_value(profile().for_viewer(AccountId(Uuid::NIL))).unwrap();
        assert_eq!(own["email"], "an@example.com");
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&own), keys(&public));
        assert_eq!(keys(&own).len(), 17);
    }

    #[test]
    fn a_country_without_a_currency_shows_none() {
        let profile = Profile {
            country: "AQ".to_owned(),
            ..profile()
        };
        assert_eq!(serde_json::to_value(profile.for_self()).unwrap()["currency"], "");
    }
}
