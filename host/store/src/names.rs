//! Identifiers: which may be a schema, how roles are called, and how any of them is put into a statement.

use ring::digest::{SHA256, digest};

use crate::{Error, Result};

/// PostgreSQL cuts longer identifiers off, silently.
const MAX_IDENTIFIER_BYTES: usize = 63;
/// Hexadecimal digits that make a shortened name unique.
const HASH_DIGITS: usize = 16;

/// Schemas that are not a module's.
const RESERVED: [&str; 4] = ["host", "host_view", "public", "information_schema"];

/// Accepts what can be a module's schema.
pub(crate) fn check_schema(schema: &str) -> Result<()> {
    let mut letters = schema.bytes();
    let starts_well = letters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase() || first == b'_');
    let goes_on_well = letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_');
    let free = !RESERVED.contains(&schema) && !schema.starts_with("pg_") && schema.len() <= MAX_IDENTIFIER_BYTES;
    if starts_well && goes_on_well && free {
        Ok(())
    } else {
        Err(Error::SchemaName(schema.to_owned()))
    }
}

/// The role that owns a module's schema. Roles belong to the whole server, hence the database in the name.
pub(crate) fn owner_role(database: &str, schema: &str) -> String {
    bounded(format!("{database}_{schema}_owner"))
}

/// The role a module's sessions log in as.
pub(crate) fn runtime_role(database: &str, schema: &str) -> String {
    bounded(format!("{database}_{schema}"))
}

/// The role that owns the host's schema.
pub(crate) fn host_role(database: &str) -> String {
    bounded(format!("{database}_host"))
}

/// The role that may read the views, and nothing else.
pub(crate) fn view_role(database: &str) -> String {
    bounded(format!("{database}_host_view"))
}

/// An identifier as it stands in a statement.
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// A text as it stands in a statement that takes no parameters.
pub(crate) fn literal(text: &str) -> String {
    // With a backslash anywhere the E form is the only one that means the same under every setting.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn bounded(name: String) -> String {
    if name.len() <= MAX_IDENTIFIER_BYTES {
        return name;
    }
    let hash: String = digest(&SHA256, name.as_bytes()).as_ref()[..HASH_DIGITS / 2]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let kept = name.floor_char_boundary(MAX_IDENTIFIER_BYTES - 1 - HASH_DIGITS);
    format!("{}_{hash}", &name[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_fit_and_stay_apart() {
        let long = "d".repeat(70);
        let (one, other) = (runtime_role(&long, "order"), runtime_role(&long, "cart"));
        assert_eq!((one.len(), other.len()), (63, 63));
        assert_ne!(one, other);
        assert_eq!(runtime_role("nexus", "order"), "nexus_order");
        assert!(owner_role(&"é".repeat(40), "order").len() <= 63);
    }

    #[test]
    fn only_plain_names_are_schemas() {
        for schema in ["order", "_a1", "payment_vnpay"] {
            assert!(check_schema(schema).is_ok(), "{schema}");
        }
        for schema in [
            "",
            "Order",
            "1a",
            "a-b",
            "a\"b",
            "host",
            "host_view",
            "public",
            "pg_temp",
            "é",
        ] {
            assert!(check_schema(schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn quotes_inside_are_doubled() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's \\"), "E'it''s \\\\'");
    }
}
