//! What a list of products is asked for: which ones, in which order, from where on.

use sdk::{AccountId, Timestamp};

use super::product::{CategoryId, SpuId};

/// All that is set must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Who asks: sees the own disabled listings, nobody else's.
    pub(crate) viewer: Option<AccountId>,
    pub(crate) seller: Option<AccountId>,
    /// Any of these or of their descendants.
    pub(crate) categories: Vec<CategoryId>,
    /// All of these, normalised.
    pub(crate) tags: Vec<String>,
    /// Any of these.
    pub(crate) slugs: Vec<String>,
    /// Any of these.
    pub(crate) enabled: Vec<bool>,
    pub(crate) search: Option<Search>,
    /// Some variant costs at least this.
    pub(crate) price_min: Option<i64>,
    /// Some variant costs at most this.
    pub(crate) price_max: Option<i64>,
    pub(crate) created_from: Option<Timestamp>,
    pub(crate) created_to: Option<Timestamp>,
}

/// A substring, in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Search {
    /// Of name, description or slug: what a buyer types.
    Shown(String),
    /// Of name, slug or id: what a seller looks a listing up by.
    Listing(String),
}

/// Ties are broken by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Newest,
    PriceAscending,
    PriceDescending,
    Id,
}

impl Sort {
    /// The values of `sort`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            // The best rated first, of equals the newest: without reviews all are equal.
            "newest" | "rating" => Some(Self::Newest),
            "price_asc" => Some(Self::PriceAscending),
            "price_desc" => Some(Self::PriceDescending),
            _ => None,
        }
    }
}

/// The last row seen, by the key the list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Created(Timestamp, SpuId),
    Price(i64, SpuId),
    Id(SpuId),
}

/// The lowest whole amount that is not below what was asked for; prices are whole, the parameter need not be.
pub(crate) fn price_floor(asked: f64) -> i64 {
    asked.ceil() as i64
}

/// The highest whole amount that is not above what was asked for.
pub(crate) fn price_ceiling(asked: f64) -> i64 {
    asked.floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fractional_bound_excludes_what_lies_beyond_it() {
        assert_eq!((price_floor(9.5), price_ceiling(9.5)), (10, 9));
        assert_eq!((price_floor(9.0), price_ceiling(9.0)), (9, 9));
        assert_eq!(price_ceiling(1e300), i64::MAX);
    }
}
