//! `/option`: what a client may choose from at checkout.

use sdk::http::{Error, Request, Response};

use crate::options::{self, Choice, Kind};

/// A type nobody offers has no options; it is no error, because clients of other versions ask for theirs.
pub(super) fn list(request: &Request) -> Result<Response, Error> {
    let name: String = request.query().require("type")?;
    let choices: Vec<Choice> = Kind::by_name(&name).map(options::of).unwrap_or_default();
    Response::list(&choices)
}
