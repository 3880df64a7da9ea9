//! Whose stock a record counts.

use sdk::{
    Uuid,
    http::FromText,
    sql::{ToValue, Value},
};
use serde::{Deserialize, Serialize};

sdk::id! {
    /// A purchasable variant.
    pub(crate) struct SkuId;
}

/// The kinds of owner the wire knows. No code creates stock for a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OwnerKind {
    ProductSku,
    Promotion,
}

/// An owner: one stock record each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) kind: OwnerKind,
    pub(crate) id: Uuid,
}

impl OwnerKind {
    /// As the wire and the database write it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ProductSku => "ProductSku",
            Self::Promotion => "Promotion",
        }
    }
}

impl FromText for OwnerKind {
    const EXPECTED: &'static str = "ProductSku or Promotion";

    fn from_text(text: &str) -> Option<Self> {
        [Self::ProductSku, Self::Promotion]
            .into_iter()
            .find(|kind| kind.name() == text)
    }
}

impl ToValue for OwnerKind {
    fn to_value(&self) -> Value {
        self.name().to_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_query_and_column_spell_a_kind_alike() {
        for kind in [OwnerKind::ProductSku, OwnerKind::Promotion] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(OwnerKind::from_text(kind.name()), Some(kind));
        }
        assert_eq!(OwnerKind::from_text("productsku"), None);
    }
}
