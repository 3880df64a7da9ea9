//! Names the manifest gives to things outside it, each with its own rules.

use std::fmt;

/// A newtype over text that only this crate makes, after its check.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as the manifest writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A PostgreSQL schema: lower case, at most 63 bytes, not one of the server's or the host's own.
    SchemaName
);
name!(
    /// A token signing key of the host, by name.
    KeyName
);
name!(
    /// The label of a key-value store.
    StoreName
);

/// Schemas that belong to PostgreSQL or to the host itself.
const RESERVED_SCHEMAS: [&str; 4] = ["public", "information_schema", "host", "nexus"];

impl SchemaName {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if !is_words(text, '_') {
            return Err("is not lower_snake_case of at most 63 characters");
        }
        if text.starts_with("pg_") || RESERVED_SCHEMAS.contains(&text) {
            return Err("belongs to PostgreSQL or to the host");
        }
        Ok(Self(text.to_owned()))
    }
}

impl KeyName {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        match is_words(text, '-') || is_words(text, '_') {
            true => Ok(Self(text.to_owned())),
            false => Err("is not kebab-case or snake_case of at most 63 characters"),
        }
    }
}

impl StoreName {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        match is_words(text, '-') || is_words(text, '_') {
            true => Ok(Self(text.to_owned())),
            false => Err("is not kebab-case or snake_case of at most 63 characters"),
        }
    }
}

/// Whether `text` is lower-case words of letters and digits, each opening with a letter, joined by `delimiter`; at most 63 bytes,
/// which is what PostgreSQL keeps of an identifier. Spin's ids are the same but for upper case, which we refuse.
pub(crate) fn is_words(text: &str, delimiter: char) -> bool {
    text.len() <= 63
        && text.split(delimiter).all(|word| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::{SchemaName, is_words};

    #[test]
    fn words_open_with_a_letter_and_are_lower_case() {
        for good in ["account", "payment-cod", "a1-b2"] {
            assert!(is_words(good, '-'), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "1a", "a-1b", "Account", "a_b", "a b"] {
            assert!(!is_words(bad, '-'), "{bad}");
        }
        assert!(!is_words(&"a".repeat(64), '-'));
    }

    #[test]
    fn schemas_of_the_server_and_the_host_are_refused() {
        for reserved in ["public", "pg_catalog", "information_schema", "host"] {
            assert!(SchemaName::parse(reserved).is_err(), "{reserved}");
        }
        assert_eq!(
            SchemaName::parse("order").map(|name| name.to_string()),
            Ok("order".into()),
            "keywords are quoted"
        );
    }
}
