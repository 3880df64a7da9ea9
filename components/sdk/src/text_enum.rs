//! Enums whose text is a contract: the same spelling in JSON, in queries and in the database.

/// Declares an enum of units that reads and writes as the given texts, with their case.
///
/// ```
/// sdk::text_enum! {
///     /// Where an address is.
///     pub enum AddressType {
///         /// Somebody lives there.
///         Home = "Home",
///         /// Somebody works there.
///         Work = "Work",
///     }
/// }
/// assert_eq!(AddressType::TEXTS, ["Home", "Work"]);
/// assert_eq!("Work".parse(), Ok(AddressType::Work));
/// assert!("work".parse::<AddressType>().is_err());
/// ```
#[macro_export]
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $name { $($(#[$variant_meta])* $variant),+ }

        impl $name {
            /// All texts, in the order of the variants.
            pub const TEXTS: &'static [&'static str] = &[$($text),+];

            /// Its text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::text_enum::UnknownText;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::text_enum::UnknownText { allowed: Self::TEXTS }),
                }
            }
        }

        impl $crate::id::serde::Serialize for $name {
            fn serialize<S: $crate::id::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> $crate::id::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::id::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'_, str> as $crate::id::serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err($crate::id::serde::de::Error::custom)
            }
        }

        impl $crate::http::FromText for $name {
            const EXPECTED: &'static str = concat!("one of" $(, " ", $text)+);
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }

        impl $crate::sql::ToValue for $name {
            fn to_value(&self) -> $crate::sql::Value {
                $crate::sql::Value::Text(self.as_str().to_owned())
            }
        }

        impl $crate::sql::FromValue for $name {
            fn from_value(value: &$crate::sql::Value) -> Option<Self> {
                match value {
                    $crate::sql::Value::Text(text) => text.parse().ok(),
                    _ => None,
                }
            }
        }
    };
}

/// The text is none of those allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}", .allowed.join(", "))]
pub struct UnknownText {
    /// The texts that are.
    pub allowed: &'static [&'static str],
}
