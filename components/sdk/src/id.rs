//! Newtypes for ids, so that one cannot be given where another is meant.

/// Declares a newtype over [`Uuid`](crate::Uuid) that reads and writes like one in JSON, SQL, paths and queries.
///
/// ```
/// sdk::id! {
///     /// A saved address.
///     pub struct ContactId;
/// }
/// let id: ContactId = "0190a5b2-7c11-7d3e-8f00-0123456789ab".parse().unwrap();
/// assert_eq!(id.to_string(), "0190a5b2-7c11-7d3e-8f00-0123456789ab");
/// ```
#[macro_export]
macro_rules! id {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident;) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility struct $name(pub $crate::Uuid);

        impl $crate::id::UuidNewtype for $name {
            fn from_uuid(uuid: $crate::Uuid) -> Self {
                Self(uuid)
            }
            fn uuid(self) -> $crate::Uuid {
                self.0
            }
        }

        impl From<$name> for $crate::Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::uuid::ParseUuidError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl $crate::id::serde::Serialize for $name {
            fn serialize<S: $crate::id::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::id::serde::Serialize::serialize(&self.0, serializer)
            }
        }

        impl<'de> $crate::id::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::id::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::id::serde::Deserialize::deserialize(deserializer).map(Self)
            }
        }

        impl $crate::http::FromText for $name {
            const EXPECTED: &'static str = "a UUID";
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }

        impl $crate::sql::ToValue for $name {
            fn to_value(&self) -> $crate::sql::Value {
                $crate::sql::ToValue::to_value(&self.0)
            }
        }

        impl $crate::sql::FromValue for $name {
            fn from_value(value: &$crate::sql::Value) -> Option<Self> {
                $crate::sql::FromValue::from_value(value).map(Self)
            }
        }

        impl $crate::sql::Element for $name {
            fn to_array(items: &[Self]) -> $crate::sql::Value {
                $crate::sql::Value::UuidArray(items.iter().map(|item| item.0.into()).collect())
            }
            fn from_array(value: &$crate::sql::Value) -> Option<Vec<Self>> {
                <$crate::Uuid as $crate::sql::Element>::from_array(value).map(|ids| ids.into_iter().map(Self).collect())
            }
        }
    };
}

/// For [`id!`], whose users need not depend on serde by that path.
#[doc(hidden)]
pub use serde;

use crate::Uuid;

/// A newtype made by [`id!`].
pub trait UuidNewtype: Copy {
    /// Wraps.
    fn from_uuid(uuid: Uuid) -> Self;
    /// Unwraps.
    fn uuid(self) -> Uuid;
}

crate::id! {
    /// An account: the caller of a request, the owner of a thing.
    pub struct AccountId;
}
