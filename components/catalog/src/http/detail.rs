//! The whole product page.

use sdk::{
    AccountId,
    http::{Error as HttpError, Request, Response},
};
use serde::Serialize;

use super::shape::{CategoryRow, DetailedRating, Nothing};
use crate::{
    domain::{
        attribute::Attribute,
        product::{SkuId, SpuId},
    },
    error::Error,
    stock::Stocks,
    store,
};

#[derive(Serialize)]
struct DetailView {
    id: SpuId,
    slug: String,
    seller_id: AccountId,
    name: String,
    description: String,
    is_enabled: bool,
    currency: String,
    category: CategoryRow,
    rating: DetailedRating,
    is_favorite: bool,
    resources: [Nothing; 0],
    promotions: [Nothing; 0],
    skus: Vec<DetailSku>,
    specifications: Vec<Attribute>,
    tags: Vec<String>,
}

#[derive(Serialize)]
struct DetailSku {
    id: SkuId,
    price: i64,
    original_price: i64,
    attributes: Vec<Attribute>,
    taken: i64,
    stock: i64,
}

/// By `id`, else by `slug`; a disabled product is served to whoever has its address.
pub(super) fn get(request: &Request) -> Result<Response, HttpError> {
    let id: Option<SpuId> = request.query().get("id")?;
    let slug: Option<String> = request.query().get("slug")?;
    let spu = match (id, slug) {
        (Some(id), _) => store::spu::find(id)?,
        (None, Some(slug)) => store::spu::find_by_slug(&slug)?,
        (None, None) => None,
    }
    .ok_or(Error::EntityNotFound("product"))?;
    let skus = store::sku::list(spu.id, store::sku::SkuFilter::default())?;
    let stocks = Stocks::of(skus.iter().map(|sku| sku.id));
    Response::data(&DetailView {
        id: spu.id,
        slug: spu.slug,
        seller_id: spu.seller,
        name: spu.name,
        description: spu.description,
        is_enabled: spu.is_enabled,
        currency: spu.currency,
        category: spu.category.into(),
        rating: DetailedRating::default(),
        is_favorite: false,
        resources: [],
        promotions: [],
        skus: skus
            .into_iter()
            .map(|sku| {
                let stock = stocks.get(sku.id);
                DetailSku {
                    id: sku.id,
                    price: sku.price,
                    original_price: sku.price,
                    attributes: sku.attributes,
                    taken: stock.taken,
                    stock: stock.available,
                }
            })
            .collect(),
        specifications: spu.specifications,
        tags: spu.tags,
    })
}
