//! The route table: one file per resource.

mod geocode;
mod option;

use sdk::http::Router;

pub(crate) const ROUTER: Router = Router::new(&sdk::routes![
    GET "/api/v1/common/option" => option::list,
    POST "/api/v1/common/geocode/forward" => geocode::forward,
]);
