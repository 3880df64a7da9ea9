//! What is for sale.

use sdk::Timestamp;
use serde_json::Value;

use super::{failed, id};
use crate::{
    bindings::shop::catalog::products::{self, Sku},
    domain::{checkout::Offer, id::SkuId},
    error::Error,
};

const MODULE: &str = "catalog";

/// How many SKUs are asked for at once: with all that one may carry they fit in a message.
const PORTION: usize = 40;

/// What the cart shows of a SKU.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variant {
    pub(crate) offer: Offer,
    pub(crate) combinable: bool,
    pub(crate) date_created: Timestamp,
    /// Names and values.
    pub(crate) attributes: Vec<(String, String)>,
    /// A JSON object.
    pub(crate) package_details: Value,
}

/// The SKUs with these ids that exist, deleted ones included.
pub(crate) fn variants(ids: &[SkuId]) -> Result<Vec<Variant>, Error> {
    let ids: Vec<String> = ids.iter().map(SkuId::to_string).collect();
    let portions = ids.chunks(PORTION);
    portions.flat_map(products::get_skus).map(variant).collect()
}

/// What is offered under these ids, deleted offers included.
pub(crate) fn offers(ids: &[SkuId]) -> Result<Vec<Offer>, Error> {
    Ok(variants(ids)?.into_iter().map(|variant| variant.offer).collect())
}

fn variant(sku: Sku) -> Result<Variant, Error> {
    let attributes: Vec<_> = sku
        .attributes
        .into_iter()
        .map(|attribute| (attribute.name, attribute.value))
        .collect();
    let package_details = serde_json::from_str(&sku.package_details).map_err(|error| {
        failed(
            MODULE,
            format!("the package details of SKU {} are no JSON: {error}", sku.id),
        )
    })?;
    Ok(Variant {
        offer: Offer {
            sku_id: id(MODULE, &sku.id)?,
            spu_id: id(MODULE, &sku.product.id)?,
            seller_id: id(MODULE, &sku.product.seller_id)?,
            slug: sku.product.slug,
            name: sku.product.name,
            attribute_values: attributes.iter().map(|(_, value)| value.clone()).collect(),
            is_enabled: sku.product.is_enabled,
            deleted: sku.deleted,
            price: sku.price.amount_minor,
            currency: id(MODULE, &sku.price.currency)?,
            weight_grams: sku.weight_grams,
        },
        combinable: sku.combinable,
        date_created: Timestamp::from_ms(sku.created_ms as i64),
        attributes,
        package_details,
    })
}
