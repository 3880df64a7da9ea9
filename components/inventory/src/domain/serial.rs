//! The states of one physical unit, and which a seller may move it between.

use std::str::FromStr;

use sdk::sql::{FromValue, ToValue, Value};
use serde::{Deserialize, Serialize};

pub(crate) const MAX_CHARS: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// Free to reserve.
    Active,
    /// Withheld by the seller.
    Inactive,
    /// Out with a reservation; only reserving and releasing lead here and away.
    Taken,
    /// Unusable.
    Damaged,
}

impl Status {
    const ALL: [Self; 4] = [Self::Active, Self::Inactive, Self::Taken, Self::Damaged];

    /// As the wire and the database write it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
            Self::Taken => "Taken",
            Self::Damaged => "Damaged",
        }
    }

    /// What a seller's change to `next` does to the quantity that is free; none when it is not allowed.
    pub(crate) const fn change_to(self, next: Self) -> Option<i64> {
        match (self, next) {
            (Self::Taken, _) | (_, Self::Taken) => None,
            (Self::Active, Self::Active) | (Self::Inactive, Self::Inactive) | (Self::Damaged, Self::Damaged) => Some(0),
            (Self::Active, Self::Inactive | Self::Damaged) => Some(-1),
            (Self::Inactive | Self::Damaged, Self::Active) => Some(1),
            (Self::Inactive, Self::Damaged) => Some(0),
            (Self::Damaged, Self::Inactive) => None,
        }
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.name() == text).ok_or(())
    }
}

impl ToValue for Status {
    fn to_value(&self) -> Value {
        self.name().to_value()
    }
}

impl FromValue for Status {
    fn from_value(value: &Value) -> Option<Self> {
        String::from_value(value)?.parse().ok()
    }
}

/// Serials that stand in the list more than once, each once.
pub(crate) fn repeated(serials: &[String]) -> Vec<String> {
    let mut sorted: Vec<&String> = serials.iter().collect();
    sorted.sort_unstable();
    let mut repeated: Vec<String> = sorted
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| pair[0].clone())
        .collect();
    repeated.dedup();
    repeated
}

#[cfg(test)]
mod tests {
    use super::{Status::*, *};

    #[test]
    fn what_a_seller_may_change_and_what_it_does_to_the_free_quantity() {
        for (from, to, change) in [
            (Active, Inactive, Some(-1)),
            (Active, Damaged, Some(-1)),
            (Inactive, Active, Some(1)),
            (Damaged, Active, Some(1)),
            (Inactive, Damaged, Some(0)),
            (Damaged, Inactive, None),
            (Active, Active, Some(0)),
        ] {
            assert_eq!(from.change_to(to), change, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn a_unit_that_is_out_cannot_be_moved_and_none_can_be_sent_out() {
        for status in Status::ALL {
            assert_eq!(Taken.change_to(status), None, "{status:?}");
            assert_eq!(status.change_to(Taken), None, "{status:?}");
        }
    }

    #[test]
    fn names_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::from_value(&status.to_value()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
    }

    #[test]
    fn repeated_serials_are_named_once() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(repeated(&list(&["b", "a", "b", "c", "b", "a"])), list(&["a", "b"]));
        assert!(repeated(&list(&["a", "b"])).is_empty());
    }
}
