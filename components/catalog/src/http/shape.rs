//! JSON objects that several resources share, and the parts of them that other modules will fill: reviews rate, promotions discount,
//! favourites mark, resources illustrate. Until they exist their keys carry what a product without any would carry.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    domain::{
        attribute::Attribute,
        product::{Category, CategoryId},
        size::json_bytes,
    },
    error::Error,
    store::spu::Locked,
};
use sdk::{AccountId, Checks, Uuid};

/// Characters of a description that a list shows when it cannot show all.
pub(super) const EXCERPT_CHARS: usize = 300;

#[derive(Serialize)]
pub(super) struct CategoryRow {
    id: CategoryId,
    name: String,
    description: String,
    parent_id: Option<CategoryId>,
}

impl From<Category> for CategoryRow {
    fn from(category: Category) -> Self {
        let Category {
            id,
            name,
            description,
            parent_id,
        } = category;
        Self {
            id,
            name,
            description,
            parent_id,
        }
    }
}

/// The average of no reviews.
#[derive(Serialize, Default)]
pub(super) struct Rating {
    score: f64,
    total: i64,
}

/// The same with the number of reviews in each fifth of the scale.
#[derive(Serialize)]
pub(super) struct DetailedRating {
    #[serde(flatten)]
    rating: Rating,
    breakdown: Map<String, Value>,
}

impl Default for DetailedRating {
    fn default() -> Self {
        let breakdown = ('1'..='5').map(|stars| (stars.to_string(), Value::from(0))).collect();
        Self {
            rating: Rating::default(),
            breakdown,
        }
    }
}

/// What a list of things that do not exist yet holds.
#[derive(Serialize)]
pub(super) enum Nothing {}

/// No resource can be attached before there are any: an id that is given is unknown.
pub(super) fn check_resources(ids: Option<&[Uuid]>) -> Result<(), Error> {
    match ids {
        Some([_, ..]) => Err(Error::ResourceNotFound),
        Some([]) | None => Ok(()),
    }
}

/// Refuses a change by anybody but the seller.
pub(super) fn check_seller(locked: Locked, account: AccountId) -> Result<Locked, Error> {
    if locked.seller == account {
        Ok(locked)
    } else {
        Err(Error::NotTheSeller)
    }
}

/// Refuses a change that was made against another version than the current one.
pub(super) fn check_version(seen: Option<i64>, current: i64) -> Result<(), Error> {
    match seen {
        Some(seen) if seen != current => Err(Error::VersionConflict { seen, current }),
        _ => Ok(()),
    }
}

/// Rules of a list of name/value pairs, which has so many items and bytes of JSON at most.
pub(super) fn check_attributes(
    checks: &mut Checks,
    field: &'static str,
    attributes: Option<&[Attribute]>,
    most: usize,
    most_bytes: usize,
) {
    let Some(attributes) = attributes else { return };
    let named = attributes.iter().all(|attribute| !attribute.name.trim().is_empty());
    checks.require(field, named, "must have a name in every item");
    checks.list(field, attributes).max(most);
    check_bytes(checks, field, &attributes, most_bytes);
}

/// Notes a failure when the value has more bytes as JSON.
pub(super) fn check_bytes<T: Serialize>(checks: &mut Checks, field: &'static str, value: &T, most: usize) {
    if json_bytes(value) > most {
        checks.fail(field, format!("must have at most {most} bytes as JSON"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_without_reviews_has_every_key_of_a_rating() {
        let rating = serde_json::to_value(DetailedRating::default()).unwrap();
        assert_eq!(
            rating,
            serde_json::json!({"score": 0.0, "total": 0, "breakdown": {"1": 0, "2": 0, "3": 0, "4": 0, "5": 0}})
        );
    }

    #[test]
    fn an_unknown_resource_is_refused_and_none_is_fine() {
        assert!(check_resources(None).is_ok() && check_resources(Some(&[])).is_ok());
        assert!(matches!(
            check_resources(Some(&[Uuid::NIL])),
            Err(Error::ResourceNotFound)
        ));
    }

    #[test]
    fn a_version_is_compared_only_when_it_is_given() {
        assert!(check_version(None, 3).is_ok() && check_version(Some(3), 3).is_ok());
        assert!(matches!(
            check_version(Some(2), 3),
            Err(Error::VersionConflict { seen: 2, current: 3 })
        ));
    }
}
