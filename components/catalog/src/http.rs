//! The routes under `/api/v1/catalog`: one file per resource.

mod card;
mod category;
mod detail;
mod shape;
mod sku;
mod spu;
mod tag;

use sdk::{http::Router, routes};

use crate::seller;

pub(crate) const ROUTER: Router = Router::new(&routes![
    GET "/api/v1/catalog/product-detail" for anyone => detail::get,
    GET "/api/v1/catalog/product-card" for anyone => card::list,
    GET "/api/v1/catalog/product-card/:id" for anyone => card::get,
    GET "/api/v1/catalog/product-spu" for anyone => spu::list,
    POST "/api/v1/catalog/product-spu" for account => spu::create,
    PATCH "/api/v1/catalog/product-spu" for account => spu::patch,
    GET "/api/v1/catalog/product-spu/:id" for anyone => spu::get,
    DELETE "/api/v1/catalog/product-spu/:id" for account => spu::delete,
    GET "/api/v1/catalog/product-sku" for anyone => sku::list,
    POST "/api/v1/catalog/product-sku" for account => sku::create,
    PATCH "/api/v1/catalog/product-sku" for account => sku::patch,
    DELETE "/api/v1/catalog/product-sku" for account => sku::delete,
    GET "/api/v1/catalog/category" for anyone => category::list,
    GET "/api/v1/catalog/category/:id" for anyone => category::get,
    GET "/api/v1/catalog/tag" for anyone => tag::list,
    GET "/api/v1/catalog/tag/:tag" for account => tag::get,
])
.gated(seller::standing);
