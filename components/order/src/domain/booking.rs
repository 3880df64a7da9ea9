//! What a carrier is told of a parcel that it is to fetch, and what it says of it.

use sdk::Money;

use super::{id::OrderId, item::Item, shipping::Load};

/// As much of a name as a label has room for, in characters.
const LABEL: usize = 100;

/// Who sends a parcel, or gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) name: String,
    pub(crate) phone: Option<String>,
    pub(crate) address: String,
}

/// What is in a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// Short enough for a label.
    pub(crate) name: String,
    pub(crate) load: Load,
}

/// A parcel that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Booking {
    pub(crate) order: OrderId,
    pub(crate) option: String,
    pub(crate) sender: Party,
    pub(crate) recipient: Party,
    pub(crate) contents: Vec<Content>,
    /// What the contents were sold for.
    pub(crate) value: Money,
    /// What is to be collected at the door; 0 when all is paid.
    pub(crate) collect: Money,
    pub(crate) note: Option<String>,
}

/// A parcel that its carrier will fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Booked {
    /// The carrier's own name of it, the same whenever it is asked.
    pub(crate) tracking_code: String,
    pub(crate) label_url: Option<String>,
}

impl From<&Item> for Content {
    fn from(item: &Item) -> Self {
        Self {
            name: item.sku_name.chars().take(LABEL).collect(),
            load: item.load(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample;

    #[test]
    fn a_label_has_as_much_of_a_name_as_fits_and_breaks_no_character() {
        let item = Item {
            sku_name: "ấ".repeat(LABEL + 1),
            ..sample::item(1)
        };
        let content = Content::from(&item);
        assert_eq!(content.name, "ấ".repeat(LABEL));
        assert_eq!(Content::from(&sample::item(1)).name, "Shirt - red");
    }
}
