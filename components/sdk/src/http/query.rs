//! Query and path parameters.

use percent_encoding::percent_decode_str;

use super::Error;
use crate::{Timestamp, Uuid};

/// A type that a parameter can be.
pub trait FromText: Sized {
    /// For the message: "must be …".
    const EXPECTED: &'static str;

    /// None when the text is something else.
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! from_text {
    ($($type:ty: $expected:literal, $read:expr;)*) => {$(
        impl FromText for $type {
            const EXPECTED: &'static str = $expected;
            fn from_text(text: &str) -> Option<Self> {
                let read: fn(&str) -> Option<Self> = $read;
                read(text)
            }
        }
    )*};
}

from_text! {
    // No text column can keep U+0000.
    String: "a text", |text| (!text.contains('\0')).then(|| text.to_owned());
    i32: "an integer", |text| text.parse().ok();
    i64: "an integer", |text| text.parse().ok();
    f64: "a number", |text| text.parse().ok().filter(|number: &f64| number.is_finite());
    bool: "true or false", |text| match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    };
    StrictBool: "true or false", |text| match text {
        "true" => Some(StrictBool(true)),
        "false" => Some(StrictBool(false)),
        _ => None,
    };
    Uuid: "a UUID", |text| text.parse().ok();
    Timestamp: "an RFC 3339 time", |text| text.parse().ok();
}

/// A boolean that may be absent and is written as `true` or `false` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrictBool(pub bool);

/// The query of a request: names and values, decoded, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads what stands after the question mark. Broken percent-encoding is taken as it is written.
    pub fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self { pairs: pairs.collect() }
    }

    /// A parameter; absent and empty are the same. Of several the first counts.
    pub fn get<T: FromText>(&self, name: &str) -> Result<Option<T>, Error> {
        self.values(name).next().map(|text| read(name, text)).transpose()
    }

    /// A parameter that must be there.
    pub fn require<T: FromText>(&self, name: &str) -> Result<T, Error> {
        self.get(name)?.ok_or_else(|| Error::invalid(name, "is required"))
    }

    /// A list given by repeating the parameter; empty ones are left out.
    pub fn list<T: FromText>(&self, name: &str) -> Result<Vec<T>, Error> {
        self.values(name).map(|text| read(name, text)).collect()
    }

    /// A list given by repeating the parameter, by commas within it, or both; blanks are trimmed, empty items left out.
    pub fn comma_list<T: FromText>(&self, name: &str) -> Result<Vec<T>, Error> {
        let items = self.values(name).flat_map(|text| text.split(',')).map(str::trim);
        items
            .filter(|item| !item.is_empty())
            .map(|item| read(name, item))
            .collect()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }
}

pub(super) fn read<T: FromText>(name: &str, text: &str) -> Result<T, Error> {
    T::from_text(text).ok_or_else(|| Error::invalid(name, format!("must be {}", T::EXPECTED)))
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_absent() {
        let query = Query::parse("x=&id=&slug=,%20,");
        assert_eq!(query.get::<i64>("x"), Ok(None));
        assert_eq!(query.list::<Uuid>("id"), Ok(vec![]));
        assert_eq!(query.comma_list::<String>("slug"), Ok(vec![]));
    }

    #[test]
    fn lists_repeat_and_comma_lists_split() {
        let query = Query::parse("tag=a&tag=b%2Cc&category=1,+2&category=3");
        assert_eq!(query.list::<String>("tag"), Ok(vec!["a".to_owned(), "b,c".to_owned()]));
        assert_eq!(query.comma_list::<i64>("category"), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn a_failure_names_the_parameter() {
        let error = Query::parse("limit=ten").get::<i64>("limit").unwrap_err();
        assert_eq!(
            (error.status(), error.message()),
            (400, r#"validation: {"limit":"must be an integer"}"#)
        );
        let error = Query::default().require::<Uuid>("account_id").unwrap_err();
        assert_eq!(error.message(), r#"validation: {"account_id":"is required"}"#);
    }

    #[test]
    fn booleans_are_lenient_unless_nullable() {
        let query = Query::parse("a=T&b=0");
        assert_eq!(query.get::<bool>("a"), Ok(Some(true)));
        assert_eq!(query.get::<bool>("b"), Ok(Some(false)));
        assert!(query.get::<StrictBool>("a").is_err());
        assert_eq!(Query::parse("a=true").get("a"), Ok(Some(StrictBool(true))));
    }

    #[test]
    fn values_are_decoded() {
        let query = Query::parse("q=caf%C3%A9+noir&since=2024-01-01T00%3A00%3A00%2B07%3A00");
        assert_eq!(query.get::<String>("q"), Ok(Some("café noir".to_owned())));
        assert_eq!(
            query.get::<Timestamp>("since").unwrap().unwrap().to_string(),
            "2023-12-31T17:00:00Z"
        );
    }
}
