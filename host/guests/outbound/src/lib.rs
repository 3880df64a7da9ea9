//! Sends the requests and keeps the pairs that a test asks it for, and says what came of it.

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
        world: "test:outbound/outbound@0.1.0",
        path: ["../../../wit", "wit"],
        runtime_path: "::sdk::wit_bindgen::rt",
        generate_all,
        with: {
            "nexus:http/types@0.1.0": ::sdk::bindings::nexus::http::types,
        },
    });
}

use bindings::exports::nexus::http::handler;
use bindings::wasi::keyvalue::store;
use sdk::http::{Error, Request, Response, Router};
use sdk::{Checks, Input, join_all, outbound, routes};
use serde::{Deserialize, Serialize};

const ROUTER: Router = Router::new(&routes![
    POST "/:component/send" for anyone => send,
    POST "/:component/read-together" for anyone => read_together,
    POST "/:component/set" for anyone => set,
    POST "/:component/get" for anyone => get,
    POST "/:component/exists" for anyone => exists,
    POST "/:component/listed" for anyone => listed,
    POST "/:component/delete" for anyone => delete,
]);

struct Outbound;

// Symbols of components have names that only wasm has: a native build has nobody who would call them.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated: the component's entry points")]
mod entry {
    use super::{Outbound, bindings};

    bindings::export!(Outbound with_types_in bindings);
}

// Names the type, so that what it implements is not dead code where nothing is exported.
const _: Option<Outbound> = None;

impl handler::Guest for Outbound {
    fn handle(request: handler::Request) -> handler::Response {
        ROUTER.handle(request)
    }
}

/// A request to send: `http` alone, as the tests' servers speak it.
#[derive(Deserialize)]
struct Send {
    method: String,
    /// Host and port.
    authority: String,
    path: String,
    body: String,
    /// The effect's key follows in the body.
    #[serde(default)]
    tells_key: bool,
}

#[derive(Deserialize)]
struct Together {
    /// Host and port.
    authority: String,
    paths: Vec<String>,
}

#[derive(Deserialize)]
struct Pair {
    store: String,
    key: String,
    #[serde(default)]
    value: String,
}

impl Input for Send {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Together {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Pair {
    fn check(&self, _: &mut Checks) {}
}

/// What the host answered this component: an error of its interface is what the tests want to see, not a failure of this request.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Response { status: u16, body: String },
    Value(Option<String>),
    Error(String),
}

fn send(request: &Request) -> Result<Response, Error> {
    let Send {
        method,
        authority,
        path,
        mut body,
        tells_key,
    } = request.json()?;
    if tells_key {
        body.push_str(&outbound::next_effect_key());
    }
    let sent = outbound::send(&outbound::Request {
        method: &method,
        is_secure: false,
        authority: &authority,
        path: &path,
        headers: &[],
        body: body.as_bytes(),
    });
    Response::data(&told(sent))
}

fn read_together(request: &Request) -> Result<Response, Error> {
    let Together { authority, paths } = request.json()?;
    let reads = paths.iter().map(|path| {
        outbound::begin(&outbound::Request {
            method: "GET",
            is_secure: false,
            authority: &authority,
            path,
            headers: &[],
            body: b"",
        })
    });
    let read = join_all(reads);
    Response::data(&read.into_iter().map(told).collect::<Vec<_>>())
}

fn told(outcome: Result<outbound::Reply, outbound::ErrorCode>) -> Told {
    match outcome {
        Ok(reply) => Told::Response {
            status: reply.status,
            body: String::from_utf8_lossy(&reply.body).into_owned(),
        },
        Err(error) => Told::Error(format!("{error:?}")),
    }
}

fn told_value(outcome: Result<Option<String>, store::Error>) -> Result<Response, Error> {
    Response::data(&match outcome {
        Ok(value) => Told::Value(value),
        Err(error) => Told::Error(format!("{error:?}")),
    })
}

fn set(request: &Request) -> Result<Response, Error> {
    let Pair { store, key, value } = request.json()?;
    let set = store::open(&store).and_then(|bucket| bucket.set(&key, value.as_bytes()));
    told_value(set.map(|()| Some(value)))
}

fn get(request: &Request) -> Result<Response, Error> {
    let Pair { store, key, .. } = request.json()?;
    let got = store::open(&store).and_then(|bucket| bucket.get(&key));
    told_value(got.map(|value| value.map(|value| String::from_utf8_lossy(&value).into_owned())))
}

fn exists(request: &Request) -> Result<Response, Error> {
    let Pair { store, key, .. } = request.json()?;
    let exists = store::open(&store).and_then(|bucket| bucket.exists(&key));
    told_value(exists.map(|exists| Some(exists.to_string())))
}

/// Whether the key is on one of the pages of the store's keys.
fn listed(request: &Request) -> Result<Response, Error> {
    let Pair { store, key, .. } = request.json()?;
    told_value(is_listed(&store, &key).map(|listed| Some(listed.to_string())))
}

fn is_listed(store: &str, key: &str) -> Result<bool, store::Error> {
    let bucket = store::open(store)?;
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor)?;
        if page.keys.iter().any(|listed| listed == key) {
            return Ok(true);
        }
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(false),
        }
    }
}

fn delete(request: &Request) -> Result<Response, Error> {
    let Pair { store, key, .. } = request.json()?;
    let deleted = store::open(&store).and_then(|bucket| bucket.delete(&key));
    told_value(deleted.map(|()| None))
}
