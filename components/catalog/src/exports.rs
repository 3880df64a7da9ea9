//! `shop:catalog/products` and `shop:catalog/sellers`: what other modules ask about variants, and about who sells them.
//!
//! No function can say that it failed: a database that does not answer ends the attempt, and the host tries again.

use sdk::{sql, trap};

use crate::{
    bindings::{
        exports::shop::catalog::products::{Attribute, Product, Sku},
        shop::common::types::Money,
    },
    domain::{package::weight_grams, product::SkuId},
    store::{self, sku::Sold},
};

/// Ids that are none, or unknown, are left out.
pub(crate) fn get_skus(ids: &[String]) -> Vec<Sku> {
    let ids: Vec<SkuId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    if ids.is_empty() {
        return Vec::new();
    }
    answered(store::sku::list_sold(&ids))
        .into_iter()
        .map(Sku::from)
        .collect()
}

pub(crate) fn seller_of_sku(id: &str) -> Option<String> {
    answered(store::sku::seller(id.parse().ok()?)).map(|seller| seller.to_string())
}

/// What is no id names nobody.
pub(crate) fn priced_in(account_id: &str, currency: &str) -> u64 {
    let Ok(seller) = account_id.parse() else { return 0 };
    answered(store::sku::count_live(seller, currency)).unsigned_abs()
}

fn answered<T>(result: Result<T, sql::Error>) -> T {
    result.unwrap_or_else(|error| trap(&format!("read SKUs: {error}")))
}

impl From<Sold> for Sku {
    fn from(
        Sold {
            sku,
            seller,
            slug,
            name,
            is_enabled,
            currency,
            is_deleted,
        }: Sold,
    ) -> Self {
        Self {
            id: sku.id.to_string(),
            price: Money {
                amount_minor: sku.price,
                currency: currency.clone(),
            },
            product: Product {
                id: sku.spu.to_string(),
                seller_id: seller.to_string(),
                slug,
                name,
                is_enabled,
                currency,
            },
            combinable: sku.combinable,
            attributes: sku
                .attributes
                .into_iter()
                .map(|attribute| Attribute {
                    name: attribute.name,
                    value: attribute.value,
                })
                .collect(),
            weight_grams: weight_grams(&sku.package_details),
            package_details: sku.package_details.to_string(),
            created_ms: sku.created.as_ms().unsigned_abs(),
            deleted: is_deleted,
        }
    }
}
