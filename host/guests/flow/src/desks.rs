//! A function that runs one at a time for each desk.

use std::time::Duration;

use sdk::http::{Error, Request, Response};
use sdk::sql::{self, params, sql};

use crate::bindings::test::flow::{desks, desks_send};
use crate::{Asked, note, told, workflows};

/// Looks at who has come.
const LOOK: Duration = Duration::from_millis(20);
/// For at most so many times.
const LOOKS: u32 = 1_000;

/// The function itself. `what` is a number of milliseconds to take, `again` to come back to the same desk, `attach` and the id of a workflow to
/// wait for its end, or another desk to go on to once somebody is there.
pub(crate) fn run(desk: &str, ticket: &str, what: &str) -> Result<String, String> {
    let failed = |error: sql::Error| error.to_string();
    note(ticket, &format!("enters {desk}")).map_err(failed)?;
    let outcome = match what.parse() {
        _ if what.starts_with("attach ") => workflows::end_of(what.trim_start_matches("attach ")),
        Ok(ms) => {
            sdk::sleep(Duration::from_millis(ms));
            "served".to_owned()
        }
        Err(_) if what == "quick" => "served".to_owned(),
        Err(_) if what == "again" => format!("again {}", desks::serve(desk, ticket, "quick")?),
        Err(_) => {
            meet(what).map_err(failed)?;
            match desks::serve(what, ticket, "quick") {
                Ok(served) => format!("then {served}"),
                Err(reason) => format!("refused: {reason}"),
            }
        }
    };
    note(ticket, &format!("leaves {desk}")).map_err(failed)?;
    Ok(outcome)
}

/// Returns once somebody has entered a desk.
fn meet(desk: &str) -> Result<(), sql::Error> {
    let entered = format!("enters {desk}");
    for _ in 0..LOOKS {
        let met: i64 = sql::query_one(sql!("SELECT count(*) FROM note WHERE what = $1"), params![entered])?.get(0)?;
        if met > 0 {
            break;
        }
        sdk::sleep(LOOK);
    }
    Ok(())
}

/// Calls it.
pub(crate) fn serve(request: &Request) -> Result<Response, Error> {
    let Asked { desk, ticket, what, .. } = request.json()?;
    told(desks::serve(&desk, &ticket, &what).unwrap_or_else(|reason| format!("failed: {reason}")))
}

/// Sends to it.
pub(crate) fn serve_later(request: &Request) -> Result<Response, Error> {
    let Asked { desk, ticket, what, .. } = request.json()?;
    told(desks_send::serve(&desk, &ticket, &what))
}
