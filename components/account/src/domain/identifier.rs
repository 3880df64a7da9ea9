//! What an account signs in with.

/// An identifier by its kind. No text is of two kinds, so nobody can take a username that is somebody's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identifier {
    /// The key of an address, as [`email_key`] makes it.
    Email(String),
    Phone(String),
    Username(String),
}

impl Identifier {
    /// The kind a text must be of: an `@` is in addresses alone, a leading `+` in phone numbers alone.
    pub(crate) fn classify(text: &str) -> Self {
        let text = text.trim();
        if text.contains('@') {
            Self::Email(email_key(text))
        } else if text.starts_with('+') {
            Self::Phone(text.to_owned())
        } else {
            Self::Username(text.to_owned())
        }
    }
}

/// What makes two addresses the same.
pub(crate) fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// An optional text that clients also send empty when they mean none; without the blanks around it.
pub(crate) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// True for a username that cannot be read as an address or a phone number.
pub(crate) fn is_username(text: &str) -> bool {
    matches!(Identifier::classify(text), Identifier::Username(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_has_one_kind() {
        assert_eq!(
            Identifier::classify(" An@Example.COM "),
            Identifier::Email("an@example.com".to_owned())
        );
        assert_eq!(
            Identifier::classify("+84901234567"),
            Identifier::Phone("+84901234567".to_owned())
        );
        assert_eq!(
            Identifier::classify("84901234567"),
            Identifier::Username("84901234567".to_owned())
        );
    }

    #[test]
    fn a_username_is_no_address_and_no_phone_number() {
        assert!(is_username("an.nguyen"));
        assert!(!is_username("an@example.com"));
        assert!(!is_username("+84901234567"));
    }

    #[test]
    fn empty_means_not_given() {
        assert_eq!(given(Some("  ")), None);
        assert_eq!(given(None), None);
        assert_eq!(given(Some(" x ")), Some("x"));
    }
}
