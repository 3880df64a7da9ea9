//! Serves and calls through `wasi:http` 0.2, and keeps pairs as Spin's SDKs before version 6 do: what was built before 0.3.
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "a native build has nobody who would call it")
)]

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
mod pairs {
    wit_bindgen::generate!({
        world: "test:pairs/pairs@0.1.0",
        path: ["../../../wit", "wit"],
        generate_all,
    });
}

use pairs::fermyon::spin::key_value::Store;
use pairs::fermyon::spin::variables;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// What is read and written at once.
const PIECE_BYTES: u64 = 4096;

struct Served;

// Symbols of components have names that only wasm has.
#[cfg(target_family = "wasm")]
mod entry {
    use super::Served;

    wasip2::http::proxy::export!(Served);
}

impl Guest for Served {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let body = request.consume().expect("nobody took the body yet");
        match path.as_str() {
            "/wasi/echo" => respond(answer, 200, |out| copy(&read(&body), out)),
            "/wasi/fetch" => {
                let authority = whole(&read(&body));
                match fetch(&String::from_utf8_lossy(&authority)) {
                    Ok((status, body)) => respond(answer, status, |out| write(out, &body)),
                    Err(error) => respond(answer, 502, |out| write(out, format!("{error:?}").as_bytes())),
                }
            }
            "/wasi/visits" => match visit() {
                Ok(text) => respond(answer, 200, |out| write(out, text.as_bytes())),
                Err(error) => respond(answer, 500, |out| write(out, error.as_bytes())),
            },
            "/wasi/names" => respond(answer, 200, |out| write(out, names().as_bytes())),
            "/wasi/panic" => panic!("asked to"),
            _ => respond(answer, 404, |_| ()),
        }
    }
}

/// What a request may be called, and what is longer than that.
fn names() -> String {
    let request = OutgoingRequest::new(Fields::new());
    let told = |length: usize| {
        let long = "a".repeat(length);
        let told = [
            request.set_method(&Method::Other(long.clone())),
            request.set_authority(Some(&long)),
            request.set_path_with_query(Some(&format!("/{long}"))),
        ];
        told.map(|told| told.is_ok())
    };
    format!("{:?} {:?}", told(1 << 10), told(32 << 10))
}

/// Counts itself in a store of Spin's, and says where it is.
fn visit() -> Result<String, String> {
    let store = Store::open("shared").map_err(|error| format!("{error:?}"))?;
    let before = store.get("visits").map_err(|error| format!("{error:?}"))?;
    let visits = before.map_or(0, |before| before.len()) + 1;
    store
        .set("visits", &vec![b'x'; visits])
        .map_err(|error| format!("{error:?}"))?;
    let keys = store.get_keys().map_err(|error| format!("{error:?}"))?;
    let region = variables::get("region").map_err(|error| format!("{error:?}"))?;
    Ok(format!("{visits} {keys:?} {region}"))
}

fn respond(answer: ResponseOutparam, status: u16, body: impl FnOnce(&OutputStream)) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).expect("a status");
    let outgoing = response.body().expect("nobody took the body yet");
    // From here on the client reads what is written.
    ResponseOutparam::set(answer, Ok(response));
    let stream = outgoing.write().expect("nobody took the stream yet");
    body(&stream);
    drop(stream);
    // A client that is gone does not mind.
    let _ = OutgoingBody::finish(outgoing, None);
}

fn read(body: &IncomingBody) -> InputStream {
    body.stream().expect("nobody took the stream yet")
}

/// Each piece goes back as soon as it is there.
fn copy(from: &InputStream, to: &OutputStream) {
    while let Ok(piece) = from.blocking_read(PIECE_BYTES) {
        write(to, &piece);
    }
}

fn write(to: &OutputStream, bytes: &[u8]) {
    for piece in bytes.chunks(PIECE_BYTES as usize) {
        if to.blocking_write_and_flush(piece).is_err() {
            return;
        }
    }
}

fn whole(from: &InputStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match from.blocking_read(PIECE_BYTES) {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => return bytes,
        }
    }
}

/// GET of the root there.
fn fetch(authority: &str) -> Result<(u16, Vec<u8>), ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    let refused = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request.set_path_with_query(Some("/")).map_err(refused)?;
    let response = outgoing_handler::handle(request, None)?;
    response.subscribe().block();
    let answered = response.get().and_then(Result::ok).expect("it was waited for");
    let response: IncomingResponse = answered?;
    let body = response.consume().expect("nobody took the body yet");
    Ok((response.status(), whole(&read(&body))))
}
