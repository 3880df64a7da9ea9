//! The rates: a base, a step per kilogram, a factor per service. Integers only.

/// The name clients know this carrier by.
pub const PROVIDER: &str = "flat";

const BASE_VND: i64 = 15_000;
const STEP_VND: i64 = 2_000;
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

/// Some units of one thing.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many units.
    pub quantity: i64,
    /// Of one unit, in grams; 0 when unknown.
    pub weight_grams: u32,
}

/// The price of carrying all loads together, in VND; `None` when their weight or price exceeds 64 bits or a quantity is negative.
pub fn cost_vnd(service: Service, loads: impl IntoIterator<Item = Load>) -> Option<i64> {
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
    let steps = (weight - STEP_GRAMS).max(0) / STEP_GRAMS;
    let (numerator, denominator) = service.factor();
    Some(
        BASE_VND
            .checked_add(steps.checked_mul(STEP_VND)?)?
            .checked_mul(numerator)?
            / denominator,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(service: Service, loads: &[(i64, u32)]) -> Option<i64> {
        cost_vnd(
            service,
            loads
                .iter()
                .map(|&(quantity, weight_grams)| Load { quantity, weight_grams }),
        )
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
