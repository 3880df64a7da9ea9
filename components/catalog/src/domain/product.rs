//! Listings, variants and categories as the rest of the module passes them around.

use sdk::{AccountId, Timestamp};

use super::attribute::Attribute;

sdk::id! {
    /// A listing.
    pub(crate) struct SpuId;
}

sdk::id! {
    /// A purchasable variant of a listing.
    pub(crate) struct SkuId;
}

sdk::id! {
    /// A category.
    pub(crate) struct CategoryId;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Category {
    pub(crate) id: CategoryId,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) parent_id: Option<CategoryId>,
}

/// A listing that is not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spu {
    pub(crate) id: SpuId,
    pub(crate) slug: String,
    pub(crate) seller: AccountId,
    pub(crate) category: Category,
    /// None only while there is no live variant.
    pub(crate) featured_sku: Option<SkuId>,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) is_enabled: bool,
    pub(crate) currency: String,
    pub(crate) specifications: Vec<Attribute>,
    /// In alphabetical order.
    pub(crate) tags: Vec<String>,
    pub(crate) version: i64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) is_stale_embedding: bool,
    pub(crate) is_stale_metadata: bool,
    /// Read for a list that cannot carry all of it: the description is its beginning, and specifications and most tags are left out.
    pub(crate) is_abridged: bool,
}

/// A variant that is not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sku {
    pub(crate) id: SkuId,
    pub(crate) spu: SpuId,
    /// In the smallest unit of the listing's currency.
    pub(crate) price: i64,
    pub(crate) combinable: bool,
    pub(crate) attributes: Vec<Attribute>,
    /// A JSON object as the seller wrote it.
    pub(crate) package_details: serde_json::Value,
    pub(crate) version: i64,
    pub(crate) created: Timestamp,
}

/// A listing as a grid shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) id: SpuId,
    pub(crate) slug: String,
    pub(crate) seller: AccountId,
    pub(crate) category: CategoryId,
    pub(crate) name: String,
    /// The beginning of the description, still as it was stored.
    pub(crate) description: String,
    pub(crate) is_enabled: bool,
    pub(crate) currency: String,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// Of the featured variant; 0 while there is no variant.
    pub(crate) price: i64,
    /// Deleted ones included: what they sold was sold.
    pub(crate) skus: Vec<SkuId>,
}
