//! The route table: one file per resource.

mod geocode;
mod option;
mod stream;

use sdk::http::Router;

use crate::account;

pub(crate) const ROUTER: Router = Router::new(&sdk::routes![
    GET "/api/v1/common/option" for anyone => option::list,
    POST "/api/v1/common/geocode/forward" for anyone => geocode::forward,
    POST "/api/v1/common/geocode/reverse" for anyone => geocode::reverse,
    GET "/api/v1/common/geocode/search" for anyone => geocode::search,
    GET "/api/v1/common/stream" for account => stream::of_the_caller,
])
.gated(account::standing);
