//! Starts workflows, waits for their output and for their promises, and is such a workflow. Every step leaves a row, so that a test can
//! count how often it happened. Under two names in one application it is a component that runs workflows and one that starts them.

#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    unused_qualifications,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod bindings {
    sdk::wit_bindgen::generate!({
        world: "test:flow/flow@0.1.0",
        path: ["../../../wit", "wit"],
        runtime_path: "::sdk::wit_bindgen::rt",
        generate_all,
        additional_derives: [PartialEq],
        with: {
            "nexus:sql/sql@0.1.0": ::sdk::bindings::nexus::sql::sql,
            "nexus:durable/invocation@0.1.0": ::sdk::bindings::nexus::durable::invocation,
            "nexus:durable/promises@0.1.0": ::sdk::bindings::nexus::durable::promises,
            "nexus:durable/workflows@0.1.0": ::sdk::bindings::nexus::durable::workflows,
            "nexus:durable/deadlines@0.1.0": ::sdk::bindings::nexus::durable::deadlines,
            "nexus:durable/derived@0.1.0": ::sdk::bindings::nexus::durable::derived,
            "nexus:log/log@0.1.0": ::sdk::bindings::nexus::log::log,
            "nexus:http/types@0.1.0": ::sdk::bindings::nexus::http::types,
            "wasi:config/store@0.2.0-rc.1": ::sdk::bindings::wasi::config::store,
        },
    });
}

mod desks;
mod workflows;

use std::time::Duration;

use bindings::exports::nexus::durable::scheduled;
use bindings::exports::nexus::http::handler;
use bindings::exports::test::flow::{desks as exported_desks, jobs};
use sdk::http::{Error, Response, Router};
use sdk::sql::{self, Transaction, params};
use sdk::{Checks, Input, routes};
use serde::{Deserialize, Serialize};

/// The same under both names.
const ROUTER: Router = Router::new(&routes![
    POST "/:component/start" => workflows::start,
    POST "/:component/attach" => workflows::attach,
    POST "/:component/complete" => workflows::complete,
    POST "/:component/wait" => workflows::wait,
    POST "/:component/hurry" => workflows::hurry,
    POST "/:component/hurried" => workflows::wait,
    POST "/:component/serve" => desks::serve,
    POST "/:component/serve-later" => desks::serve_later,
]);

struct Flow;

// Symbols of components have names that only wasm has: a native build has nobody who would call them.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated: the component's entry points")]
mod entry {
    use super::{Flow, bindings};

    bindings::export!(Flow with_types_in bindings);
}

// Names the type, so that what it implements is not dead code where nothing is exported.
const _: Option<Flow> = None;

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
    tx.execute("INSERT INTO note (ticket, what) VALUES ($1, $2)", params![ticket, what])?;
    Ok(())
}
