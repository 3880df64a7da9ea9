//! Starts workflows, waits for their output and for their promises, and is such a workflow. Every step leaves a row, so that a test can
//! count how often it happened. Under two names in one application it is a component that runs workflows and one that starts them.

sdk::component!("test:flow/flow@0.1.0" in ["../../../wit", "wit"], promises, workflows, deadlines);

mod desks;
mod workflows;

use std::time::Duration;

use bindings::exports::nexus::durable::scheduled;
use bindings::exports::nexus::http::handler;
use bindings::exports::test::flow::{desks as exported_desks, jobs};
use sdk::http::{Error, Response, Router};
use sdk::sql::{self, Transaction, params, sql};
use sdk::{Checks, Input, routes};
use serde::{Deserialize, Serialize};

/// The same under both names.
const ROUTER: Router = Router::new(&routes![
    POST "/:component/start" for anyone => workflows::start,
    POST "/:component/attach" for anyone => workflows::attach,
    POST "/:component/complete" for anyone => workflows::complete,
    POST "/:component/wait" for anyone => workflows::wait,
    POST "/:component/hurry" for anyone => workflows::hurry,
    POST "/:component/hurried" for anyone => workflows::wait,
    POST "/:component/serve" for anyone => desks::serve,
    POST "/:component/serve-later" for anyone => desks::serve_later,
]);

struct Flow;

bindings::export!(Flow with_types_in bindings);

impl handler::Guest for Flow {
    fn handle(request: handler::Request) -> handler::Response {
        ROUTER.handle(request)
    }
}

/// What the clock calls. With an argument it takes that many milliseconds.
impl scheduled::Guest for Flow {
    fn run(name: String, argument: Vec<u8>) -> Result<(), String> {
        let argument = String::from_utf8_lossy(&argument);
        if let Ok(ms) = argument.parse() {
            note(&name, "begun").map_err(|error| error.to_string())?;
            sdk::sleep(Duration::from_millis(ms));
        }
        note(&name, &format!("ran {argument}")).map_err(|error| error.to_string())
    }
}

impl jobs::Guest for Flow {
    fn run(ticket: String, what: String) -> Result<String, String> {
        workflows::run(&ticket, &what)
    }
}

impl exported_desks::Guest for Flow {
    fn serve(desk: String, ticket: String, what: String) -> Result<String, String> {
        desks::run(&desk, &ticket, &what)
    }
}

/// A body. What a request does not need it leaves out.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    id: String,
    #[serde(default)]
    ticket: String,
    #[serde(default)]
    desk: String,
    #[serde(default)]
    what: String,
    #[serde(default)]
    name: String,
    timeout_ms: Option<u64>,
    #[serde(default)]
    roll_back: bool,
}

impl Input for Asked {
    fn check(&self, _: &mut Checks) {}
}

#[derive(Serialize)]
struct Told {
    told: String,
}

fn told(told: impl Into<String>) -> Result<Response, Error> {
    Response::data(&Told { told: told.into() })
}

/// In a transaction of its own.
fn note(ticket: &str, what: &str) -> Result<(), sql::Error> {
    sql::transaction(|tx| note_in(tx, ticket, what))
}

fn note_in(tx: &Transaction, ticket: &str, what: &str) -> Result<(), sql::Error> {
    tx.execute(
        sql!("INSERT INTO note (ticket, what) VALUES ($1, $2)"),
        params![ticket, what],
    )?;
    Ok(())
}
