//! The rates: a base, a step per kilogram, a factor per service. Integers only.

/// The name clients know this carrier by.
pub const PROVIDER: &str = "flat";

const DONG: &str = "VND";
const BASE_DONG: i64 = 15_000;
const STEP_DONG: i64 = 2_000;
const STEP_GRAMS: i64 = 1_000;
const DEFAULT_UNIT_GRAMS: i64 = 500;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Within a day.
    Express,
    /// Within two days.
    Standard,
    /// Within three days.
    Economy,
}

impl Service {
    /// In the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::Express, Self::Standard, Self::Economy];

    /// The option with this id. The ids are stored in orders and are never renamed.
    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.id() == id)
    }

    /// The option's id.
    pub fn id(self) -> &'static str {
        match self {
            Self::Express => "express",
            Self::Standard => "standard",
            Self::Economy => "economy",
        }
    }

    /// What people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Express => "Flat rate - express",
            Self::Standard => "Flat rate - standard",
            Self::Economy => "Flat rate - economy",
        }
    }

    /// Hours until delivery.
    pub fn eta_hours(self) -> u32 {
        match self {
            Self::Express => 24,
            Self::Standard => 48,
            Self::Economy => 72,
        }
    }

    fn factor(self) -> (i64, i64) {
        match self {
            Self::Express => (3, 2),
            Self::Standard => (1, 1),
            Self::Economy => (4, 5),
        }
    }
}

/// What carrying costs, before the factor of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tariff {
    /// ISO 4217.
    pub currency: String,
    /// Up to the first kilogram, in minor units.
    pub base_minor: i64,
    /// Each further full kilogram, in minor units.
    pub step_minor: i64,
}

impl Tariff {
    /// From the variables `currency`, `base_minor` and `step_minor`, each empty when it is not set. Only dong has rates of its own:
    /// the same numbers in another currency would be prices nobody has set.
    ///
    /// # Errors
    /// What is wrong with the variables, for an operator.
    pub fn read(currency: &str, base_minor: &str, step_minor: &str) -> Result<Self, String> {
        let currency = match currency.trim() {
            "" => DONG.to_owned(),
            text if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) => text.to_ascii_uppercase(),
            text => return Err(format!("currency: {text:?} is not the three letters of a currency")),
        };
        let is_dong = currency == DONG;
        Ok(Self {
            base_minor: minor("base_minor", base_minor, is_dong.then_some(BASE_DONG), &currency)?,
            step_minor: minor("step_minor", step_minor, is_dong.then_some(STEP_DONG), &currency)?,
            currency,
        })
    }

    /// The price of carrying all loads together, in minor units; `None` when their weight or price exceeds 64 bits or a quantity is
    /// negative.
    pub fn cost_minor(&self, service: Service, loads: impl IntoIterator<Item = Load>) -> Option<i64> {
        let steps = (weight_grams(loads)? - STEP_GRAMS).max(0) / STEP_GRAMS;
        let (numerator, denominator) = service.factor();
        let cost = self.base_minor.checked_add(steps.checked_mul(self.step_minor)?)?;
        Some(cost.checked_mul(numerator)? / denominator)
    }
}

fn minor(name: &str, text: &str, default: Option<i64>, currency: &str) -> Result<i64, String> {
    match (text.trim(), default) {
        ("", Some(default)) => Ok(default),
        ("", None) => Err(format!(
            "{name}: not set, and there is no rate for {currency} without it"
        )),
        (text, _) => {
            let amount = text.parse().ok().filter(|amount| *amount >= 0);
            amount.ok_or_else(|| format!("{name}: {text:?} is not an amount in minor units"))
        }
    }
}

/// Some units of one thing.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many units.
    pub quantity: i64,
    /// Of one unit, in grams; 0 when unknown.
    pub weight_grams: u32,
}

fn weight_grams(loads: impl IntoIterator<Item = Load>) -> Option<i64> {
    let mut weight: i64 = 0;
    for load in loads {
        let unit = if load.weight_grams == 0 {
            DEFAULT_UNIT_GRAMS
        } else {
            i64::from(load.weight_grams)
        };
        if load.quantity < 0 {
            return None;
        }
        weight = weight.checked_add(unit.checked_mul(load.quantity)?)?;
    }
    Some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(service: Service, loads: &[(i64, u32)]) -> Option<i64> {
        let loads = loads
            .iter()
            .map(|&(quantity, weight_grams)| Load { quantity, weight_grams });
        Tariff::read("", "", "")
            .expect("dong has rates")
            .cost_minor(service, loads)
    }

    #[test]
    fn the_currency_is_the_configured_one_and_has_rates_of_its_own() {
        assert_eq!(Tariff::read("VND", "", ""), Tariff::read("", "", ""));
        let dollars = Tariff::read("usd", "450", "75").expect("complete");
        assert_eq!(dollars.currency, "USD");
        let load = Load {
            quantity: 1,
            weight_grams: 3_400,
        };
        assert_eq!(dollars.cost_minor(Service::Standard, [load]), Some(600));
        let cheaper = Tariff::read("VND", "10000", "").expect("the rest has a default");
        assert_eq!((cheaper.base_minor, cheaper.step_minor), (10_000, 2_000));
    }

    #[test]
    fn a_currency_without_rates_has_no_price() {
        for (currency, base, step, reason) in [
            ("USD", "", "75", "base_minor"),
            ("USD", "450", "", "step_minor"),
            ("VND", "-1", "", "base_minor"),
            ("VND", "", "1.5", "step_minor"),
            ("dollars", "1", "1", "currency"),
        ] {
            let refused = Tariff::read(currency, base, step).expect_err(reason);
            assert!(refused.starts_with(reason), "{refused}");
        }
    }

    #[test]
    fn up_to_a_kilogram_costs_the_base() {
        for weight in [1, 500, 999, 1_000, 1_001, 1_999] {
            assert_eq!(cost(Service::Standard, &[(1, weight)]), Some(15_000), "{weight} g");
        }
    }

    #[test]
    fn every_full_kilogram_above_the_first_costs_a_step() {
        assert_eq!(cost(Service::Standard, &[(1, 2_000)]), Some(17_000));
        assert_eq!(cost(Service::Standard, &[(1, 3_400)]), Some(19_000));
        assert_eq!(cost(Service::Express, &[(1, 3_400)]), Some(28_500));
        assert_eq!(cost(Service::Economy, &[(1, 3_400)]), Some(15_200));
    }

    #[test]
    fn all_parcels_and_quantities_count() {
        assert_eq!(cost(Service::Standard, &[(2, 1_200), (4, 250)]), Some(19_000));
    }

    #[test]
    fn a_unit_without_weight_counts_half_a_kilogram() {
        assert_eq!(cost(Service::Standard, &[(6, 0)]), Some(19_000));
        assert_eq!(cost(Service::Standard, &[]), Some(15_000));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(cost(Service::Standard, &[(i64::MAX, 2)]), None);
        assert_eq!(cost(Service::Standard, &[(-1, 2)]), None);
    }

    #[test]
    fn ids_are_found_again() {
        for service in Service::ALL {
            assert_eq!(Service::by_id(service.id()), Some(service));
        }
        assert_eq!(Service::by_id("overnight"), None);
    }
}
