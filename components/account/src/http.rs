//! The module's routes.

mod auth;
mod contact;
mod profile;
mod wallet;

use sdk::http::Router;

use crate::workflow::session;

pub(crate) const ROUTER: Router = Router::new(&sdk::routes![
    POST "/api/v1/account/auth/login/basic" => auth::login,
    POST "/api/v1/account/auth/register/basic" => auth::register,
    POST "/api/v1/account/auth/refresh" => auth::refresh,
    GET "/api/v1/account" => profile::get,
    GET "/api/v1/account/me" => profile::get_own,
    PATCH "/api/v1/account/me" => profile::change,
    PATCH "/api/v1/account/profile/country" => profile::change_country,
    GET "/api/v1/account/wallet" => wallet::get,
    GET "/api/v1/account/contact" => contact::list,
    GET "/api/v1/account/contact/:contact_id" => contact::get,
    POST "/api/v1/account/contact" => contact::add,
    PATCH "/api/v1/account/contact" => contact::edit,
    DELETE "/api/v1/account/contact" => contact::remove,
])
.gated(session::standing);
