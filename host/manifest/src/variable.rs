//! Application variables, the `{{ name }}` templates that refer to them, and the values components get to read.

use std::collections::BTreeMap;
use std::fmt;

/// A value of a component's configuration. Its `Debug` shows a secret as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigValue {
    text: String,
    secret: bool,
}

impl ConfigValue {
    /// The value itself, also when it is secret.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether some of it comes from a variable the manifest calls secret: then it must not be recorded, logged or shown.
    pub fn is_secret(&self) -> bool {
        self.secret
    }
}

impl fmt::Debug for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.secret {
            true => f.write_str("***"),
            false => write!(f, "{:?}", self.text),
        }
    }
}

/// The `[variables]` table with its values.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    /// By name; none where the value is missing, which has been reported and is not worth a second report at each use.
    values: BTreeMap<String, Option<ConfigValue>>,
}

/// Why a template has no value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// `{{` without `}}`.
    Unclosed,
    /// The manifest declares no variable of that name.
    Unknown(String),
}

impl Variables {
    /// The environment variable that holds an application variable, as Spin names it.
    pub(crate) fn environment_name(variable: &str) -> String {
        format!("SPIN_VARIABLE_{}", variable.to_ascii_uppercase())
    }

    /// The variables that a template names.
    pub(crate) fn named(template: &str) -> impl Iterator<Item = &str> {
        let opened = template.split("{{").skip(1);
        opened.filter_map(|rest| Some(rest.split_once("}}")?.0.trim()))
    }

    pub(crate) fn declare(&mut self, name: &str, text: Option<String>, secret: bool) {
        self.values
            .insert(name.to_owned(), text.map(|text| ConfigValue { text, secret }));
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// `template` with every `{{ name }}` replaced; none when a variable it names has no value.
    pub(crate) fn resolve(&self, template: &str) -> Result<Option<ConfigValue>, TemplateError> {
        let mut value = Some(ConfigValue {
            text: String::new(),
            secret: false,
        });
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or(TemplateError::Unclosed)?;
            let name = name.trim();
            let found = self
                .values
                .get(name)
                .ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            value = value.zip(found.as_ref()).map(|(mut value, found)| {
                value.text.push_str(before);
                value.text.push_str(&found.text);
                value.secret |= found.secret;
                value
            });
            rest = after;
        }
        Ok(value.map(|mut value| {
            value.text.push_str(rest);
            value
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::{TemplateError, Variables};

    fn variables() -> Variables {
        let mut variables = Variables::default();
        variables.declare("region", Some("vn".into()), false);
        variables.declare("token", Some("s3cret".into()), true);
        variables.declare("unset", None, true);
        variables
    }

    #[test]
    fn templates_are_replaced_and_secrets_spread() {
        let resolve = |text: &str| variables().resolve(text).unwrap_or(None);
        let plain = resolve("https://{{region}}.example.com/{{ region }}").expect("it has a value");
        assert_eq!(
            (plain.expose(), plain.is_secret()),
            ("https://vn.example.com/vn", false)
        );
        let secret = resolve("Bearer {{ token }}").expect("it has a value");
        assert_eq!((secret.expose(), secret.is_secret()), ("Bearer s3cret", true));
        assert_eq!(format!("{secret:?} {plain:?}"), r#"*** "https://vn.example.com/vn""#);
        assert_eq!(resolve("{{ region }}{{ unset }}"), None);
    }

    #[test]
    fn what_cannot_be_replaced_is_an_error() {
        assert_eq!(
            variables().resolve("{{ regio }}"),
            Err(TemplateError::Unknown("regio".into()))
        );
        assert_eq!(variables().resolve("{{ region"), Err(TemplateError::Unclosed));
    }
}
