//! Ids of this module's rows, and of what other modules own.

use std::fmt;

use sdk::{
    http::FromText,
    sql::{Element, FromValue, ToValue, Value},
};
use serde::{Deserialize, Serialize};

sdk::id! {
    /// A money intent.
    pub(crate) struct SessionId;
}
sdk::id! {
    /// One movement of a session's money; the provider's reference.
    pub(crate) struct LegId;
}
sdk::id! {
    /// A confirmed order.
    pub(crate) struct OrderId;
}
sdk::id! {
    /// Stock held for one line; owned by this module, known to inventory.
    pub(crate) struct ReservationId;
}
sdk::id! {
    /// A purchasable variant.
    pub(crate) struct SkuId;
}
sdk::id! {
    /// A listing.
    pub(crate) struct SpuId;
}

/// Declares a newtype over a 64-bit number that reads and writes like one.
macro_rules! number_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromText for $name {
            const EXPECTED: &'static str = "an integer";
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok().map(Self)
            }
        }

        impl ToValue for $name {
            fn to_value(&self) -> Value {
                self.0.to_value()
            }
        }

        impl FromValue for $name {
            fn from_value(value: &Value) -> Option<Self> {
                i64::from_value(value).map(Self)
            }
        }

        impl Element for $name {
            fn to_array(items: &[Self]) -> Value {
                Value::Int64Array(items.iter().map(|item| item.0).collect())
            }
            fn from_array(value: &Value) -> Option<Vec<Self>> {
                <i64 as Element>::from_array(value).map(|items| items.into_iter().map(Self).collect())
            }
        }
    };
}

number_id! {
    /// One line of a checkout.
    ItemId
}
number_id! {
    /// A parcel.
    TransportId
}
