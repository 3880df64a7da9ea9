//! The module's routes.

mod auth;
mod contact;
mod profile;
mod wallet;

use sdk::http::Router;

use crate::workflow::session;

pub(crate) const ROUTER: Router = Router::new(&sdk::routes![
    POST "/api/v1/account/auth/login/basic" for anyone => auth::login,
    POST "/api/v1/account/auth/register/basic" for anyone => auth::register,
    POST "/api/v1/account/auth/refresh" for anyone => auth::refresh,
    GET "/api/v1/account" for account => profile::get,
    GET "/api/v1/account/me" for account => profile::get_own,
    PATCH "/api/v1/account/me" for account => profile::change,
    PATCH "/api/v1/account/profile/country" for account => profile::change_country,
    GET "/api/v1/account/wallet" for account => wallet::get,
    GET "/api/v1/account/contact" for account => contact::list,
    GET "/api/v1/account/contact/:contact_id" for account => contact::get,
    POST "/api/v1/account/contact" for account => contact::add,
    PATCH "/api/v1/account/contact" for account => contact::edit,
    DELETE "/api/v1/account/contact" for account => contact::remove,
])
.gated(session::standing);
