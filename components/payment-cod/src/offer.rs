//! What the configuration offers, and what it refuses.

/// Stored in orders; never renamed.
pub const OPTION_ID: &str = "system-cod";

/// The name clients know this provider by.
pub const PROVIDER: &str = "system";

/// What people read.
pub const NAME: &str = "System - COD";

const DEFAULT_CURRENCY: &str = "VND";

/// The public field in which clients, and the shop, read [`Offer::max_minor`].
pub const MAX_FIELD: &str = "max_minor";

/// The configured offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Off: there is no option at all.
    pub enabled: bool,
    /// ISO 4217 codes the carriers collect.
    pub currencies: Vec<String>,
    /// The most that is collected for one checkout, in minor units of whichever currency; none is no bound.
    pub max_minor: Option<i64>,
}

/// Why a charge is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The option is not offered.
    Option,
    /// Nobody collects this currency.
    Currency,
    /// Nobody collects more than this.
    Amount(i64),
}

impl Offer {
    /// From the variables `cod_enabled`, `cod_currencies` and `cod_max_minor`. Anything but a plain `true`, and a bound that is no number,
    /// withdraws the offer: a slip must not start selling on credit.
    pub fn read(enabled: Option<&str>, currencies: Option<&str>, max_minor: Option<&str>) -> Self {
        let max_minor = max_minor.map(str::trim).filter(|text| !text.is_empty());
        let max_minor = max_minor.map(str::parse::<i64>).transpose();
        let listed: Vec<String> = currencies
            .unwrap_or_default()
            .split(',')
            .map(|code| code.trim().to_ascii_uppercase())
            .filter(|code| !code.is_empty())
            .collect();
        Self {
            enabled: enabled.is_some_and(|text| text.trim().eq_ignore_ascii_case("true")) && max_minor.is_ok(),
            currencies: if listed.is_empty() {
                vec![DEFAULT_CURRENCY.to_owned()]
            } else {
                listed
            },
            max_minor: max_minor.unwrap_or_default(),
        }
    }

    /// Whether this option can collect this much of this currency.
    pub fn check(&self, option_id: &str, currency: &str, amount_minor: i64) -> Result<(), Refusal> {
        if !self.enabled || option_id != OPTION_ID {
            return Err(Refusal::Option);
        }
        if !self.currencies.iter().any(|code| code == currency) {
            return Err(Refusal::Currency);
        }
        if let Some(most) = self.max_minor.filter(|most| amount_minor > *most) {
            return Err(Refusal::Amount(most));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: Option<&str> = Some("true");

    #[test]
    fn without_configuration_it_collects_nothing() {
        let offer = Offer::read(None, None, None);
        assert_eq!(offer.check(OPTION_ID, "VND", 1), Err(Refusal::Option));
    }

    #[test]
    fn enabled_it_collects_dong() {
        let offer = Offer::read(ON, None, None);
        assert_eq!(offer.check(OPTION_ID, "VND", i64::MAX), Ok(()));
        assert_eq!(offer.check(OPTION_ID, "USD", 1), Err(Refusal::Currency));
    }

    #[test]
    fn another_option_is_refused_before_its_currency() {
        assert_eq!(
            Offer::read(ON, None, None).check("vnpay_qr", "USD", 1),
            Err(Refusal::Option)
        );
    }

    #[test]
    fn it_collects_no_more_than_its_bound() {
        let offer = Offer::read(ON, None, Some(" 500 "));
        assert_eq!(offer.check(OPTION_ID, "VND", 500), Ok(()));
        assert_eq!(offer.check(OPTION_ID, "VND", 501), Err(Refusal::Amount(500)));
        assert_eq!(Offer::read(ON, None, Some("")).max_minor, None);
    }

    #[test]
    fn a_withdrawn_offer_refuses_everything() {
        for text in ["false", "0", "", "yes"] {
            assert_eq!(
                Offer::read(Some(text), None, None).check(OPTION_ID, "VND", 1),
                Err(Refusal::Option),
                "{text:?}"
            );
        }
        assert!(Offer::read(Some(" True "), None, None).enabled);
        assert!(!Offer::read(ON, None, Some("much")).enabled);
    }

    #[test]
    fn currencies_are_a_list() {
        let offer = Offer::read(ON, Some("VND, usd,,"), None);
        assert_eq!(offer.currencies, ["VND", "USD"]);
        assert_eq!(offer.check(OPTION_ID, "USD", 1), Ok(()));
        assert_eq!(Offer::read(ON, Some(" , "), None).currencies, ["VND"]);
    }
}
