//! How much a listing and its variants may hold. What is read at once must fit one message of the host (1 MiB), so the largest product
//! page that these allow is smaller: a description, specifications, tags, and the attributes of all variants.

use serde::Serialize;
use serde_json::Value;

/// Characters of a description, as it is given.
pub(crate) const DESCRIPTION_CHARS: usize = 100_000;
/// Bytes of a description as JSON, with what markup it keeps: four for each character.
pub(crate) const DESCRIPTION_BYTES: usize = 400_000;
/// Specifications of a listing.
pub(crate) const SPECIFICATIONS: usize = 200;
/// Bytes of all of them as JSON.
pub(crate) const SPECIFICATIONS_BYTES: usize = 65_536;
/// Attributes of a variant.
pub(crate) const ATTRIBUTES: usize = 20;
/// Bytes of all of them as JSON.
pub(crate) const ATTRIBUTES_BYTES: usize = 800;
/// Bytes of the package details of a variant as JSON.
pub(crate) const PACKAGE_BYTES: usize = 800;
/// Live variants of a listing.
pub(crate) const VARIANTS: i64 = 500;
/// Variants of a listing, with those that were deleted: what they sold is counted for as long as the listing is shown.
pub(crate) const VARIANTS_EVER: i64 = 1_000;
/// The largest number that JSON readers take exactly.
pub(crate) const MAX_NUMBER: i64 = (1 << 53) - 1;

/// Bytes of a value as JSON.
pub(crate) fn json_bytes<T: Serialize>(value: &T) -> usize {
    // What is measured is texts, lists and JSON itself: none of it can fail to be written.
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}

/// True when every number in it is one that all who read it take for the same, and that stays as short as it was written: PostgreSQL
/// writes all digits of 1e300.
pub(crate) fn numbers_are_plain(value: &Value) -> bool {
    match value {
        Value::Number(number) => number
            .as_f64()
            .is_some_and(|number| number == 0.0 || (1e-6..=MAX_NUMBER as f64).contains(&number.abs())),
        Value::Array(items) => items.iter().all(numbers_are_plain),
        Value::Object(members) => members.values().all(numbers_are_plain),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the product page adds to a variant, what the list of variants does, and what a page adds to a listing besides the parts that are
    /// capped here: ids, amounts, keys.
    const AROUND_A_PRICE: usize = 200;
    const AROUND_A_VARIANT: usize = 300;
    const AROUND_A_LISTING: usize = 20_000;

    #[test]
    fn the_largest_page_fits_one_message() {
        const MESSAGE: usize = 1 << 20;
        let variants = VARIANTS as usize;
        let tags = super::super::tag::MAX_TAGS * (6 * 100 + 3);
        let detail = DESCRIPTION_BYTES + SPECIFICATIONS_BYTES + tags + variants * (ATTRIBUTES_BYTES + AROUND_A_PRICE);
        assert!(detail + AROUND_A_LISTING < MESSAGE, "{detail}");
        let skus = variants * (ATTRIBUTES_BYTES + PACKAGE_BYTES + AROUND_A_VARIANT);
        assert!(skus < MESSAGE, "{skus}");
    }

    #[test]
    fn numbers_beyond_what_readers_agree_on_are_told_apart() {
        for plain in [
            json!({ "weight_grams": 0.5 }),
            json!({ "a": [1, -3, 0, { "b": MAX_NUMBER }] }),
            json!({ "a": "1e300", "b": null, "c": true }),
        ] {
            assert!(numbers_are_plain(&plain), "{plain}");
        }
        for other in [
            json!({ "a": 1e300 }),
            json!({ "a": [{ "b": 1e-300 }] }),
            json!(MAX_NUMBER + 2),
            json!(u64::MAX),
        ] {
            assert!(!numbers_are_plain(&other), "{other}");
        }
    }
}
