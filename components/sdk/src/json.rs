//! Reading JSON bodies the way existing clients write them.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de::Error as _};

/// A PATCH field that tells absent from `null`. Give it `#[serde(default)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// Leave it as it is.
    #[default]
    Absent,
    /// Clear it.
    Null,
    /// Set it.
    Value(T),
}

impl<T> Patch<T> {
    /// The new value, when there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// What the field is after the patch, given what it was.
    pub fn apply(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Absent => old,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// True unless the field is to stay as it is.
    pub fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number")]
enum NumberOrText<T> {
    Number(T),
    Text(String),
}

/// For `#[serde(default, deserialize_with = "sdk::json::optional_number")]`: clients send nullable numbers as strings, too.
pub fn optional_number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr + Deserialize<'de>,
{
    match Option::<NumberOrText<T>>::deserialize(deserializer)? {
        None => Ok(None),
        Some(NumberOrText::Number(number)) => Ok(Some(number)),
        Some(NumberOrText::Text(text)) if text.is_empty() => Ok(None),
        Some(NumberOrText::Text(text)) => text
            .parse()
            .map(Some)
            .map_err(|_| D::Error::custom("expected a number")),
    }
}

/// For `#[serde(default, deserialize_with = "sdk::json::null_as_default")]`: an explicit `null` is the same as absent.
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// True when a JSON text has `\u0000` in it, which no text column can keep. The only way to write it is this escape; an
/// escape begins at a backslash that is not itself escaped.
pub(crate) fn has_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = &rest[at + 1..];
        if escape.starts_with(b"u0000") {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        note: Patch<String>,
        #[serde(default, deserialize_with = "optional_number")]
        quantity: Option<i64>,
        #[serde(default, deserialize_with = "null_as_default")]
        tags: Vec<String>,
    }

    fn body(text: &str) -> Body {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn absent_null_and_value_are_three_things() {
        assert_eq!(body("{}").note, Patch::Absent);
        assert_eq!(body(r#"{"note":null}"#).note, Patch::Null);
        assert_eq!(body(r#"{"note":"x"}"#).note, Patch::Value("x".to_owned()));
        assert_eq!(Patch::Absent.apply(Some(1)), Some(1));
        assert_eq!(Patch::Null.apply(Some(1)), None);
        assert_eq!(Patch::Value(2).apply(Some(1)), Some(2));
    }

    #[test]
    fn a_nullable_number_may_come_as_text() {
        assert_eq!(body(r#"{"quantity":"12"}"#).quantity, Some(12));
        assert_eq!(body(r#"{"quantity":12}"#).quantity, Some(12));
        assert_eq!(body(r#"{"quantity":null}"#).quantity, None);
        assert!(serde_json::from_str::<Body>(r#"{"quantity":"a dozen"}"#).is_err());
    }

    #[test]
    fn null_lists_are_empty() {
        assert!(body(r#"{"tags":null}"#).tags.is_empty());
    }
}
