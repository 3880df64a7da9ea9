//! The routes under `/api/v1/inventory`: one file per resource.

mod history;
mod import;
mod serial;
mod stock;

use sdk::{http::Router, routes};

use crate::account;

pub(crate) const ROUTER: Router = Router::new(&routes![
    GET "/api/v1/inventory/stock" for anyone => stock::get,
    PATCH "/api/v1/inventory/stock" for account => stock::patch,
    GET "/api/v1/inventory/stock/history" for account => history::list,
    POST "/api/v1/inventory/stock/import" for account => import::import,
    GET "/api/v1/inventory/serial" for account => serial::list,
    PATCH "/api/v1/inventory/serial" for account => serial::patch,
])
.gated(account::standing);
