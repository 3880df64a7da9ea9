//! `/stream`: what happens to the caller, as it happens.

use sdk::http::{Error, Request, Response};

/// Everything that any module publishes under `account.*` with the caller's id for its key: `{"type", "data"}`, as clients know it.
pub(super) fn of_the_caller(request: &Request) -> Result<Response, Error> {
    let account = request.account()?;
    Ok(Response::stream("account.*", &account.to_string()))
}
