//! What shipping reads from a variant's free-form package details.

use serde_json::Value;

/// Used when the seller did not say, so that a quote is possible at all.
pub(crate) const DEFAULT_WEIGHT_GRAMS: u32 = 500;

/// `weight_grams` as a positive whole number; a fraction counts as a whole gram more.
pub(crate) fn weight_grams(details: &Value) -> u32 {
    let weight = match details.get("weight_grams") {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    match weight {
        Some(grams) if grams > 0.0 && grams <= f64::from(u32::MAX) => grams.ceil() as u32,
        _ => DEFAULT_WEIGHT_GRAMS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_missing_or_senseless_weight_is_the_default() {
        for details in [
            json!({}),
            json!({"weight_grams": 0}),
            json!({"weight_grams": -3}),
            json!({"weight_grams": "heavy"}),
        ] {
            assert_eq!(weight_grams(&details), DEFAULT_WEIGHT_GRAMS, "{details}");
        }
        assert_eq!(weight_grams(&json!({"weight_grams": 1e300})), DEFAULT_WEIGHT_GRAMS);
    }

    #[test]
    fn a_given_weight_counts_to_the_next_gram() {
        assert_eq!(weight_grams(&json!({"weight_grams": 1700})), 1700);
        assert_eq!(weight_grams(&json!({"weight_grams": 0.2})), 1);
        assert_eq!(weight_grams(&json!({"weight_grams": "250"})), 250);
    }
}
