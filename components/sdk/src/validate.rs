//! The vocabulary of request validation: every failure of a request in one answer, by JSON field name.

use std::{borrow::Cow, collections::BTreeMap};

use serde::de::DeserializeOwned;

use crate::{Uuid, http::Error};

/// A JSON body that knows its rules.
pub trait Input: DeserializeOwned {
    /// Notes what is wrong. What needs the database is not checked here.
    fn check(&self, checks: &mut Checks);
}

/// The failures found so far: the first of each field.
#[derive(Debug, Default)]
pub struct Checks {
    failures: BTreeMap<Cow<'static, str>, String>,
}

impl Checks {
    /// Nothing found yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a failure of a field, unless it has one already. The sentence goes after the field's name: "must be …".
    pub fn fail(&mut self, field: impl Into<Cow<'static, str>>, sentence: impl Into<String>) {
        self.failures.entry(field.into()).or_insert_with(|| sentence.into());
    }

    /// Notes a failure unless `holds`.
    pub fn require(&mut self, field: impl Into<Cow<'static, str>>, holds: bool, sentence: &str) {
        if !holds {
            self.fail(field, sentence);
        }
    }

    /// Rules of a text; none but `required` apply when it is absent.
    pub fn text<'a>(&mut self, field: impl Into<Cow<'static, str>>, value: impl Into<Option<&'a str>>) -> Text<'_, 'a> {
        Text {
            checks: self,
            field: field.into(),
            value: value.into(),
        }
    }

    /// Rules of an integer; none but `required` apply when it is absent.
    pub fn number(&mut self, field: impl Into<Cow<'static, str>>, value: impl Into<Option<i64>>) -> Number<'_, i64> {
        Number {
            checks: self,
            field: field.into(),
            value: value.into(),
        }
    }

    /// Rules of a float; none but `required` apply when it is absent.
    pub fn float(&mut self, field: impl Into<Cow<'static, str>>, value: impl Into<Option<f64>>) -> Number<'_, f64> {
        Number {
            checks: self,
            field: field.into(),
            value: value.into(),
        }
    }

    /// A UUID that must be there and not nil. Takes ids, too.
    pub fn required_id<T: Into<Uuid>>(&mut self, field: impl Into<Cow<'static, str>>, value: Option<T>) {
        if value.is_none_or(|id| id.into().is_nil()) {
            self.fail(field, "is required");
        }
    }

    /// A list that must be there (`None` is absent or null); an empty one passes.
    pub fn list<'a, T: 'a>(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        value: impl Into<Option<&'a [T]>>,
    ) -> List<'_> {
        List {
            checks: self,
            field: field.into(),
            length: value.into().map(<[T]>::len),
        }
    }

    /// The 400 that names every failed field, if there is one.
    pub fn finish(self) -> Result<(), Error> {
        if self.failures.is_empty() {
            Ok(())
        } else {
            Err(Error::validation(&self.failures))
        }
    }
}

/// Rules of one text field.
#[derive(Debug)]
pub struct Text<'c, 'a> {
    checks: &'c mut Checks,
    field: Cow<'static, str>,
    value: Option<&'a str>,
}

impl Text<'_, '_> {
    fn rule(self, holds: impl FnOnce(&str) -> bool, sentence: impl FnOnce() -> String) -> Self {
        if self.value.is_some_and(|value| !holds(value)) {
            self.checks.fail(self.field.clone(), sentence());
        }
        self
    }

    /// Present and not empty.
    pub fn required(self) -> Self {
        if self.value.is_none_or(str::is_empty) {
            self.checks.fail(self.field.clone(), "is required");
        }
        self
    }

    /// At least so many characters.
    pub fn min(self, least: usize) -> Self {
        self.rule(
            |value| value.chars().count() >= least,
            || format!("must have at least {least} characters"),
        )
    }

    /// At most so many characters.
    pub fn max(self, most: usize) -> Self {
        self.rule(
            |value| value.chars().count() <= most,
            || format!("must have at most {most} characters"),
        )
    }

    /// Exactly so many characters.
    pub fn length(self, length: usize) -> Self {
        self.rule(
            |value| value.chars().count() == length,
            || format!("must have exactly {length} characters"),
        )
    }

    /// A phone number: `+`, then an optional non-zero digit, then 7 to 14 digits.
    pub fn e164(self) -> Self {
        self.rule(is_e164, || "must be a phone number like +84901234567".to_owned())
    }

    /// An e-mail address.
    pub fn email(self) -> Self {
        self.rule(is_email, || "must be an e-mail address".to_owned())
    }

    /// ASCII letters and digits.
    pub fn alphanum(self) -> Self {
        self.rule(
            |value| !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric()),
            || "must have only letters and digits".to_owned(),
        )
    }

    /// ASCII letters.
    pub fn alpha(self) -> Self {
        self.rule(
            |value| !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphabetic()),
            || "must have only letters".to_owned(),
        )
    }

    /// No lower-case character.
    pub fn uppercase(self) -> Self {
        self.rule(
            |value| !value.chars().any(char::is_lowercase),
            || "must be upper-case".to_owned(),
        )
    }

    /// A currency code, by its shape.
    pub fn iso4217(self) -> Self {
        self.rule(
            |value| value.parse::<crate::Currency>().is_ok(),
            || "must be a currency code like VND".to_owned(),
        )
    }

    /// A UUID in text form that is not nil.
    pub fn uuid(self) -> Self {
        self.rule(
            |value| value.parse::<Uuid>().is_ok_and(|uuid| !uuid.is_nil()),
            || "must be a UUID".to_owned(),
        )
    }

    /// One of these, with their case.
    pub fn one_of(self, allowed: &[&str]) -> Self {
        self.rule(
            |value| allowed.contains(&value),
            || format!("must be one of {}", allowed.join(", ")),
        )
    }
}

/// Rules of one number field.
#[derive(Debug)]
pub struct Number<'c, T> {
    checks: &'c mut Checks,
    field: Cow<'static, str>,
    value: Option<T>,
}

impl<T: Copy + PartialOrd + Default + std::fmt::Display> Number<'_, T> {
    /// Present and not zero.
    pub fn required(self) -> Self {
        if self.value.is_none_or(|value| value == T::default()) {
            self.checks.fail(self.field.clone(), "is required");
        }
        self
    }

    /// Present; zero passes.
    pub fn present(self) -> Self {
        if self.value.is_none() {
            self.checks.fail(self.field.clone(), "is required");
        }
        self
    }

    /// Not below.
    pub fn min(self, least: T) -> Self {
        if self.value.is_some_and(|value| value < least) {
            self.checks
                .fail(self.field.clone(), format!("must be at least {least}"));
        }
        self
    }

    /// Not above.
    pub fn max(self, most: T) -> Self {
        if self.value.is_some_and(|value| value > most) {
            self.checks.fail(self.field.clone(), format!("must be at most {most}"));
        }
        self
    }
}

/// Rules of one list field.
#[derive(Debug)]
pub struct List<'c> {
    checks: &'c mut Checks,
    field: Cow<'static, str>,
    length: Option<usize>,
}

impl List<'_> {
    /// Present and not null; an empty one passes.
    pub fn required(self) -> Self {
        if self.length.is_none() {
            self.checks.fail(self.field.clone(), "is required");
        }
        self
    }

    /// At least so many items.
    pub fn min(self, least: usize) -> Self {
        if self.length.is_some_and(|length| length < least) {
            self.checks
                .fail(self.field.clone(), format!("must have at least {least} items"));
        }
        self
    }

    /// At most so many items.
    pub fn max(self, most: usize) -> Self {
        if self.length.is_some_and(|length| length > most) {
            self.checks
                .fail(self.field.clone(), format!("must have at most {most} items"));
        }
        self
    }
}

/// `+`, then an optional non-zero digit, then 7 to 14 digits.
pub fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else {
        return false;
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    // The first digit counts as the optional one when it is not zero, which allows one digit more.
    let most = if digits.starts_with('0') { 14 } else { 15 };
    (7..=most).contains(&digits.len())
}

/// An address as people have them: one `@`, dot-separated words of RFC 5322 `atext` before it, a host name with a dot after it.
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atom = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c))
    };
    let label = |word: &str| {
        !word.is_empty()
            && word.len() <= 63
            && !word.starts_with('-')
            && !word.ends_with('-')
            && word.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    text.len() <= 254
        && local.len() <= 64
        && local.split('.').all(atom)
        && domain.contains('.')
        && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(check: impl FnOnce(&mut Checks)) -> String {
        let mut checks = Checks::new();
        check(&mut checks);
        checks
            .finish()
            .map_or_else(|error| error.message().to_owned(), |()| String::new())
    }

    #[test]
    fn all_failures_come_in_one_message_by_json_name() {
        let text = message(|checks| {
            checks.text("name", "").required().max(3);
            checks.text("email", "nobody").email();
            checks.number("quantity", 0).required();
            checks.text("phone", None).e164();
        });
        assert_eq!(
            text,
            r#"validation: {"email":"must be an e-mail address","name":"is required","quantity":"is required"}"#
        );
    }

    #[test]
    fn the_first_failure_of_a_field_is_kept() {
        let text = message(|checks| {
            checks.text("username", "a!").min(3).alphanum();
        });
        assert_eq!(text, r#"validation: {"username":"must have at least 3 characters"}"#);
    }

    #[test]
    fn lengths_count_characters_not_bytes() {
        assert_eq!(message(|checks| drop(checks.text("name", "Đồng").max(4).length(4))), "");
    }

    #[test]
    fn an_absent_value_meets_every_rule_but_required() {
        assert_eq!(
            message(|checks| {
                checks.text("a", None).min(1).email().one_of(&["x"]).uuid();
                checks.number("b", None).min(1).max(2);
                checks.list::<u8>("c", None).min(1);
            }),
            ""
        );
        let text = message(|checks| {
            checks.list::<u8>("c", None).required();
            checks.required_id("d", Some(Uuid::NIL));
        });
        assert_eq!(text, r#"validation: {"c":"is required","d":"is required"}"#);
    }

    #[test]
    fn phone_numbers() {
        for good in ["+84901234567", "+1234567", "+123456789012345", "+0123456"] {
            assert!(is_e164(good), "{good}");
        }
        for bad in [
            "84901234567",
            "+",
            "+123456",
            "+1234567890123456",
            "+012345678901234",
            "+84 901234567",
            "+8490١234",
        ] {
            assert!(!is_e164(bad), "{bad}");
        }
    }

    #[test]
    fn email_addresses() {
        for good in ["a@b.co", "first.last+tag@sub.example.com", "người@ví-dụ.vn"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b.co",
            "a@",
            "a@b",
            "a b@c.de",
            "a..b@c.de",
            "a@-b.de",
            "a@b..de",
            "a@b@c.de",
            ".a@b.de",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
