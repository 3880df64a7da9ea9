//! The routes under `/api/v1/inventory`: one file per resource.

mod history;
mod import;
mod serial;
mod stock;

use sdk::{http::Router, routes};

use crate::account;

pub(crate) const ROUTER: Router = Router::new(&routes![
    GET "/api/v1/inventory/stock" => stock::get,
    PATCH "/api/v1/inventory/stock" => stock::patch,
    GET "/api/v1/inventory/stock/history" => history::list,
    POST "/api/v1/inventory/stock/import" => import::import,
    GET "/api/v1/inventory/serial" => serial::list,
    PATCH "/api/v1/inventory/serial" => serial::patch,
])
.gated(account::standing);
