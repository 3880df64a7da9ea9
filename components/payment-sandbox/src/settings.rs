//! What the configuration offers, and what it refuses.

/// Stored in orders; never renamed.
pub(crate) const OPTION_ID: &str = "sandbox-redirect";

/// The name clients know this provider by.
pub(crate) const PROVIDER: &str = "sandbox";

/// What people read.
pub(crate) const NAME: &str = "Sandbox - payment page";

const DEFAULT_CURRENCY: &str = "VND";

/// Everything the provider needs: there are none unless all of it is configured.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Whether the gateway speaks TLS.
    pub(crate) is_secure: bool,
    /// Host and port.
    pub(crate) authority: String,
    /// What both sides sign with.
    pub(crate) secret: String,
    /// ISO 4217 codes the gateway charges.
    pub(crate) currencies: Vec<String>,
}

/// The variables as they are set.
#[derive(Default)]
pub(crate) struct Variables {
    /// `sandbox_enabled`.
    pub(crate) enabled: Option<String>,
    /// `sandbox_url`.
    pub(crate) url: Option<String>,
    /// `sandbox_secret`.
    pub(crate) secret: Option<String>,
    /// `sandbox_currencies`.
    pub(crate) currencies: Option<String>,
}

/// Why a charge is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The option is not offered.
    Option,
    /// The gateway does not charge this currency.
    Currency,
}

impl Settings {
    /// None unless it is enabled by a plain `true`, and both address and secret are given.
    pub(crate) fn read(variables: Variables) -> Option<Self> {
        let given = |value: Option<String>| value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if !given(variables.enabled)?.eq_ignore_ascii_case("true") {
            return None;
        }
        let url = given(variables.url)?;
        let (scheme, rest) = url.split_once("://")?;
        let is_secure = match scheme {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let mut currencies: Vec<String> = variables
            .currencies
            .unwrap_or_default()
            .split(',')
            .map(|code| code.trim().to_ascii_uppercase())
            .filter(|code| !code.is_empty())
            .collect();
        if currencies.is_empty() {
            currencies.push(DEFAULT_CURRENCY.to_owned());
        }
        Some(Self {
            is_secure,
            authority: rest.trim_end_matches('/').to_owned(),
            secret: given(variables.secret)?,
            currencies,
        })
    }

    /// Whether this option can charge this currency.
    pub(crate) fn check(&self, option_id: &str, currency: &str) -> Result<(), Refusal> {
        if option_id != OPTION_ID {
            return Err(Refusal::Option);
        }
        if !self.currencies.iter().any(|code| code == currency) {
            return Err(Refusal::Currency);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        Variables {
            enabled: Some("true".to_owned()),
            url: Some("http://127.0.0.1:9000/".to_owned()),
            secret: Some("shared".to_owned()),
            currencies: None,
        }
    }

    #[test]
    fn it_is_off_unless_it_is_enabled_and_complete() {
        assert!(Settings::read(Variables::default()).is_none());
        for broken in [
            Variables {
                enabled: Some("yes".to_owned()),
                ..variables()
            },
            Variables {
                enabled: None,
                ..variables()
            },
            Variables {
                url: Some("127.0.0.1:9000".to_owned()),
                ..variables()
            },
            Variables {
                url: Some("ftp://127.0.0.1".to_owned()),
                ..variables()
            },
            Variables {
                secret: Some(" ".to_owned()),
                ..variables()
            },
        ] {
            assert!(Settings::read(broken).is_none());
        }
    }

    #[test]
    fn an_address_is_scheme_host_and_port() {
        let settings = Settings::read(variables()).unwrap();
        assert_eq!(
            (settings.is_secure, settings.authority.as_str()),
            (false, "127.0.0.1:9000")
        );
        assert_eq!(settings.currencies, ["VND"]);
    }

    #[test]
    fn another_option_is_refused_before_its_currency() {
        let settings = Settings::read(variables()).unwrap();
        assert_eq!(settings.check("system-cod", "USD"), Err(Refusal::Option));
        assert_eq!(settings.check(OPTION_ID, "USD"), Err(Refusal::Currency));
        assert_eq!(settings.check(OPTION_ID, "VND"), Ok(()));
    }
}
