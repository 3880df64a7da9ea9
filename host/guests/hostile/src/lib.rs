//! A module that tries what a module may not do. What it tries is chosen by the request, so that the tests list it:
//!
//! | Request | Does |
//! |---|---|
//! | `POST /hostile/query` | each statement of the body, a JSON list, on its own, as one that only reads |
//! | `POST /hostile/execute` | each on its own, in a transaction of its own |
//! | `POST /hostile/transaction` | all in one transaction, which is then committed |
//! | `POST /hostile/do/<misdeed>` | one of [`misdeeds`]; with `?after=append`, when the invocation is durable already |

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
        world: "hostile:guest/hostile@0.1.0",
        path: ["../../../wit", "wit"],
        runtime_path: "::sdk::wit_bindgen::rt",
        generate_all,
        additional_derives: [PartialEq],
        with: {
            "nexus:sql/sql@0.1.0": ::sdk::bindings::nexus::sql::sql,
            "nexus:durable/invocation@0.1.0": ::sdk::bindings::nexus::durable::invocation,
            "nexus:durable/derived@0.1.0": ::sdk::bindings::nexus::durable::derived,
            "nexus:durable/timer@0.1.0": ::sdk::bindings::nexus::durable::timer,
            "nexus:log/log@0.1.0": ::sdk::bindings::nexus::log::log,
            "nexus:http/types@0.1.0": ::sdk::bindings::nexus::http::types,
            "wasi:config/store@0.2.0-rc.1": ::sdk::bindings::wasi::config::store,
        },
    });
}

mod misdeeds;
mod statements;

use bindings::exports::hostile::guest::mirror;
use bindings::exports::nexus::durable::scheduled;
use bindings::exports::nexus::http::handler::{self, Request, Response};
use serde_json::Value as Json;

struct Hostile;

// Symbols of components have names that only wasm has: a native build has nobody who would call them.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated: the component's entry points")]
mod entry {
    use super::{Hostile, bindings};

    bindings::export!(Hostile with_types_in bindings);
}

// Names the type, so that what it implements is not dead code where nothing is exported.
const _: Option<Hostile> = None;

impl handler::Guest for Hostile {
    fn handle(request: Request) -> Response {
        let path = request.path.strip_prefix("/hostile/").unwrap_or_default();
        if let Some(name) = path.strip_prefix("do/") {
            if request.query == "after=append" {
                statements::leave_a_trace(name);
            }
            return match misdeeds::find(name) {
                Some(misdeed) => misdeed(),
                None => answer(404, &Json::from("there is no such misdeed")),
            };
        }
        let Ok(statements) = serde_json::from_slice::<Vec<String>>(&request.body) else {
            return answer(400, &Json::from("the body is no list of statements"));
        };
        let outcomes = match path {
            "query" => statements.iter().map(|text| statements::query(text)).collect(),
            "execute" => statements.iter().map(|text| statements::execute(text)).collect(),
            "transaction" => statements::transaction(&statements),
            _ => return answer(404, &Json::from("there is no such way")),
        };
        answer(200, &Json::Array(outcomes))
    }
}

impl mirror::Guest for Hostile {
    fn deeper(more: u32) -> u32 {
        match more.checked_sub(1) {
            Some(more) => 1 + bindings::hostile::guest::mirror::deeper(more),
            None => 0,
        }
    }

    fn weigh(texts: Vec<String>) -> u64 {
        texts.iter().map(|text| text.len() as u64).sum()
    }
}

impl scheduled::Guest for Hostile {
    fn run(_: String, _: Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

fn answer(status: u16, body: &Json) -> Response {
    Response {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string().into_bytes(),
    }
}
