//! A component's configuration. Values may change between a call and its replay, so they are recorded; of a secret only name and
//! version are, and its present value is handed out again.

use std::collections::BTreeMap;
use std::fmt;

use host_types::Fault;
use minicbor::{Decode, Encode};
use ring::hmac;

use crate::MasterKey;

/// One value.
#[derive(Clone)]
pub struct ConfigValue {
    text: String,
    /// Of a secret: changes with the value, and tells nothing about it.
    version: Option<String>,
}

/// A component's values by key.
#[derive(Debug, Default)]
pub struct Config {
    values: BTreeMap<String, ConfigValue>,
}

/// A value as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Recorded {
    #[n(0)]
    Plain(#[n(0)] String),
    #[n(1)]
    Secret {
        #[n(0)]
        version: String,
    },
}

/// A value as a guest is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revealed {
    pub(crate) text: String,
    /// A secret, and not the one that is recorded as read.
    pub(crate) is_other: bool,
}

impl ConfigValue {
    /// A value anybody may see.
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            version: None,
        }
    }

    /// A value that is never recorded.
    pub fn secret(text: impl Into<String>, master: &MasterKey) -> Self {
        let text = text.into();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &master.derive::<32>("config version"));
        let version = hex::encode(&hmac::sign(&key, text.as_bytes()).as_ref()[..8]);
        Self {
            text,
            version: Some(version),
        }
    }

    fn record(&self) -> Recorded {
        match &self.version {
            None => Recorded::Plain(self.text.clone()),
            Some(version) => Recorded::Secret {
                version: version.clone(),
            },
        }
    }
}

impl fmt::Debug for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            None => write!(f, "{:?}", self.text),
            Some(version) => write!(f, "*** ({version})"),
        }
    }
}

impl FromIterator<(String, ConfigValue)> for Config {
    fn from_iter<I: IntoIterator<Item = (String, ConfigValue)>>(values: I) -> Self {
        Self {
            values: values.into_iter().collect(),
        }
    }
}

impl Config {
    /// The value itself, for a component of which nothing is recorded.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|value| value.text.as_str())
    }

    pub(crate) fn record(&self, key: &str) -> Option<Recorded> {
        self.values.get(key).map(ConfigValue::record)
    }

    pub(crate) fn record_all(&self) -> Vec<(String, Recorded)> {
        self.values
            .iter()
            .map(|(key, value)| (key.clone(), value.record()))
            .collect()
    }

    /// The value the guest is given for what is recorded.
    pub(crate) fn reveal(&self, key: &str, recorded: Recorded) -> Result<Revealed, Fault> {
        let version = match recorded {
            Recorded::Plain(text) => return Ok(Revealed { text, is_other: false }),
            Recorded::Secret { version } => version,
        };
        match self.values.get(key) {
            Some(value) => {
                let is_other = value.version.as_deref() != Some(&version);
                if is_other {
                    // A rotated secret: the invocation goes on with the one that is valid now.
                    tracing::info!(config.key = key, "a secret is not the one this invocation read before");
                }
                let text = value.text.clone();
                Ok(Revealed { text, is_other })
            }
            None => Err(Fault::Transient(format!("the secret {key:?} is no longer configured"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(secret: &str) -> Config {
        let master = MasterKey::new(&[1; 32]);
        [
            ("url".to_owned(), ConfigValue::plain("https://x")),
            ("key".to_owned(), ConfigValue::secret(secret, &master)),
        ]
        .into_iter()
        .collect()
    }

    fn revealed(text: &str, is_other: bool) -> Revealed {
        let text = text.to_owned();
        Revealed { text, is_other }
    }

    #[test]
    fn a_secret_is_recorded_by_version_and_read_again() {
        let config = config("hunter2");
        let recorded = config.record("key").unwrap();
        let bytes = minicbor::to_vec(&recorded).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(config.reveal("key", recorded), Ok(revealed("hunter2", false)));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_rotated_secret_is_given_as_it_is_now() {
        let recorded = config("old").record("key").unwrap();
        assert_ne!(Some(&recorded), config("new").record("key").as_ref());
        assert_eq!(config("new").reveal("key", recorded.clone()), Ok(revealed("new", true)));
        assert!(matches!(
            Config::default().reveal("key", recorded),
            Err(Fault::Transient(_))
        ));
    }

    #[test]
    fn a_plain_value_is_given_as_it_was() {
        let recorded = config("s").record("url").unwrap();
        assert_eq!(
            Config::default().reveal("url", recorded),
            Ok(revealed("https://x", false))
        );
        assert_eq!(config("s").record("nothing"), None);
    }
}
