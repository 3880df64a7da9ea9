//! What the configuration offers, and what it refuses.

/// Stored in orders; never renamed.
pub const OPTION_ID: &str = "system-cod";

/// The name clients know this provider by.
pub const PROVIDER: &str = "system";

/// What people read.
pub const NAME: &str = "System - COD";

const DEFAULT_CURRENCY: &str = "VND";

/// The configured offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Off: there is no option at all.
    pub enabled: bool,
    /// ISO 4217 codes the carriers collect.
    pub currencies: Vec<String>,
}

/// Why a charge is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The option is not offered.
    Option,
    /// Nobody collects this currency.
    Currency,
}

impl Offer {
    /// From the variables `cod_enabled` and `cod_currencies`. Anything but a plain `true` withdraws the offer: a slip must not
    /// start selling on credit.
    pub fn read(enabled: Option<&str>, currencies: Option<&str>) -> Self {
        let listed: Vec<String> = currencies
            .unwrap_or_default()
            .split(',')
            .map(|code| code.trim().to_ascii_uppercase())
            .filter(|code| !code.is_empty())
            .collect();
        Self {
            enabled: enabled.is_none_or(|text| text.trim().eq_ignore_ascii_case("true")),
            currencies: if listed.is_empty() {
                vec![DEFAULT_CURRENCY.to_owned()]
            } else {
                listed
            },
        }
    }

    /// Whether this option can collect this currency.
    pub fn check(&self, option_id: &str, currency: &str) -> Result<(), Refusal> {
        if !self.enabled || option_id != OPTION_ID {
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

    #[test]
    fn without_configuration_it_collects_dong() {
        let offer = Offer::read(None, None);
        assert_eq!(offer.check(OPTION_ID, "VND"), Ok(()));
        assert_eq!(offer.check(OPTION_ID, "USD"), Err(Refusal::Currency));
    }

    #[test]
    fn another_option_is_refused_before_its_currency() {
        assert_eq!(Offer::read(None, None).check("vnpay_qr", "USD"), Err(Refusal::Option));
    }

    #[test]
    fn a_withdrawn_offer_refuses_everything() {
        for text in ["false", "0", "", "yes"] {
            assert_eq!(
                Offer::read(Some(text), None).check(OPTION_ID, "VND"),
                Err(Refusal::Option),
                "{text:?}"
            );
        }
        assert!(Offer::read(Some(" True "), None).enabled);
    }

    #[test]
    fn currencies_are_a_list() {
        let offer = Offer::read(None, Some("VND, usd,,"));
        assert_eq!(offer.currencies, ["VND", "USD"]);
        assert_eq!(offer.check(OPTION_ID, "USD"), Ok(()));
        assert_eq!(Offer::read(None, Some(" , ")).currencies, ["VND"]);
    }
}
