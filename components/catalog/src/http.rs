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
    GET "/api/v1/catalog/product-detail" => detail::get,
    GET "/api/v1/catalog/product-card" => card::list,
    GET "/api/v1/catalog/product-card/:id" => card::get,
    GET "/api/v1/catalog/product-spu" => spu::list,
    POST "/api/v1/catalog/product-spu" => spu::create,
    PATCH "/api/v1/catalog/product-spu" => spu::patch,
    GET "/api/v1/catalog/product-spu/:id" => spu::get,
    DELETE "/api/v1/catalog/product-spu/:id" => spu::delete,
    GET "/api/v1/catalog/product-sku" => sku::list,
    POST "/api/v1/catalog/product-sku" => sku::create,
    PATCH "/api/v1/catalog/product-sku" => sku::patch,
    DELETE "/api/v1/catalog/product-sku" => sku::delete,
    GET "/api/v1/catalog/category" => category::list,
    GET "/api/v1/catalog/category/:id" => category::get,
    GET "/api/v1/catalog/tag" => tag::list,
    GET "/api/v1/catalog/tag/:tag" => tag::get,
])
.gated(seller::standing);
