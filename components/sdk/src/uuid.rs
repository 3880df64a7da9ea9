//! A UUID without the machinery for making one: ids come from the host ([`new_id`](crate::new_id)) or from a caller.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::bindings::nexus::sql::sql;

/// 128 bits, written as lower-case hyphenated text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(u128);

/// The text is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct ParseUuidError;

impl Uuid {
    /// All zero: the value `required` refuses.
    pub const NIL: Self = Self(0);

    /// From its 128 bits, the first group being the most significant.
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    /// Its 128 bits.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// True for [`Uuid::NIL`].
    pub const fn is_nil(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (bits >> 96) as u32,
            (bits >> 80) as u16,
            (bits >> 64) as u16,
            (bits >> 48) as u16,
            bits & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    /// Accepts the hyphenated form in either case.
    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(ParseUuidError);
        }
        let mut bits = 0u128;
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if *byte != b'-' {
                    return Err(ParseUuidError);
                }
                continue;
            }
            let digit = (*byte as char).to_digit(16).ok_or(ParseUuidError)?;
            bits = bits << 4 | u128::from(digit);
        }
        Ok(Self(bits))
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Uuid;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a UUID")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Uuid, E> {
                text.parse()
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl From<Uuid> for sql::Uuid {
    fn from(uuid: Uuid) -> Self {
        Self {
            high: (uuid.0 >> 64) as u64,
            low: uuid.0 as u64,
        }
    }
}

impl From<sql::Uuid> for Uuid {
    fn from(uuid: sql::Uuid) -> Self {
        Self(u128::from(uuid.high) << 64 | u128::from(uuid.low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0190a5b2-7c11-7d3e-8f00-0123456789ab";

    #[test]
    fn text_and_sql_forms_round_trip() {
        let uuid: Uuid = TEXT.parse().unwrap();
        assert_eq!(uuid.to_string(), TEXT);
        assert_eq!(Uuid::from(sql::Uuid::from(uuid)), uuid);
        assert_eq!(TEXT.to_uppercase().parse::<Uuid>().unwrap().to_string(), TEXT);
    }

    #[test]
    fn what_is_no_uuid_is_refused() {
        for text in [
            "",
            "abc",
            "0190a5b2-7c11-7d3e-8f00-0123456789a",
            "0190a5b2 7c11-7d3e-8f00-0123456789ab",
        ] {
            assert_eq!(text.parse::<Uuid>(), Err(ParseUuidError), "{text}");
        }
        assert!("0190a5b2-7c11-7d3e-8f00-0123456789ag".parse::<Uuid>().is_err());
        assert!("+190a5b2-7c11-7d3e-8f00-0123456789ab".parse::<Uuid>().is_err());
    }
}
