//! Whom a request is about: the text of one member of its JSON.

use std::fmt;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The text that the object has in this member; of several the last one, as whoever reads the whole has it. None when there is none, or this
/// is no object: the component will say so.
pub(crate) fn named(body: &[u8], member: &str) -> Option<String> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let named = json.deserialize_map(Member(member)).ok()?;
    json.end().ok()?;
    named
}

/// Keeps this member alone, however large the rest is.
struct Member<'a>(&'a str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut named = None;
        while let Some(name) = members.next_key::<String>()? {
            if name == self.0 {
                named = match members.next_value()? {
                    serde_json::Value::String(text) => Some(text),
                    _ => return Err(A::Error::custom("no text")),
                };
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_member_is_found_wherever_it_is() {
        let found = |body: &str| named(body.as_bytes(), "id");
        for body in [
            r#"{"id":"ann"}"#,
            r#" { "other": [{"id": "bob"}, 1e9, null], "\u0069d": "\u0061nn" } "#,
            r#"{"id":"bob","id":"ann"}"#,
        ] {
            assert_eq!(found(body).as_deref(), Some("ann"), "{body}");
        }
        for body in [
            "",
            "{",
            "[]",
            "\"id\"",
            r#"{"id":7}"#,
            r#"{"id":"ann"} x"#,
            r#"{"ID":"ann"}"#,
        ] {
            assert_eq!(found(body), None, "{body}");
        }
    }
}
