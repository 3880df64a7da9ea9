//! The name/value pairs of a variant (Color/Red) and of a listing's specifications.

use serde::{Deserialize, Serialize};

/// One pair, as the seller wrote it; a list of them keeps its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Reads a stored list. The schema and every writer see to it that it is one; an unreadable list shows as empty rather than
/// taking the whole page of products down.
pub(crate) fn from_json(stored: serde_json::Value) -> Vec<Attribute> {
    serde_json::from_value(stored).unwrap_or_default()
}

/// The form that is stored.
pub(crate) fn to_json(attributes: &[Attribute]) -> serde_json::Value {
    let pair = |attribute: &Attribute| serde_json::json!({"name": attribute.name, "value": attribute.value});
    serde_json::Value::Array(attributes.iter().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_list_reads_back_in_its_order() {
        let pair = |name: &str, value: &str| Attribute {
            name: name.into(),
            value: value.into(),
        };
        let attributes = vec![pair("Size", "L"), pair("Color", "Red")];
        assert_eq!(from_json(to_json(&attributes)), attributes);
    }

    #[test]
    fn what_is_no_list_of_pairs_reads_as_empty() {
        assert_eq!(from_json(serde_json::json!({"name": "x"})), vec![]);
    }
}
