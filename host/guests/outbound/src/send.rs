//! One request over `wasi:http`, whole.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

/// What the host accepts of a body in one call.
const PIECE_BYTES: usize = 4096;

/// Sends the request, and returns the response's status and body.
pub(crate) fn send(method: &str, authority: &str, path: &str, body: &[u8]) -> Result<(u16, Vec<u8>), ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.to_owned()),
    };
    let refused = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_method(&method).map_err(refused)?;
    request.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request.set_path_with_query(Some(path)).map_err(refused)?;
    let written = (!body.is_empty())
        .then(|| request.body())
        .transpose()
        .map_err(refused)?;
    let response = outgoing_handler::handle(request, None)?;
    if let Some(outgoing) = written {
        write(&outgoing, body)?;
        OutgoingBody::finish(outgoing, None)?;
    }
    response.subscribe().block();
    let answered = response
        .get()
        .and_then(Result::ok)
        .ok_or_else(|| internal("a response that was waited for is not there"))?;
    let response = answered?;
    let incoming = response
        .consume()
        .map_err(|()| internal("a body that nobody took is not there"))?;
    let stream = incoming
        .stream()
        .map_err(|()| internal("a stream that nobody took is not there"))?;
    let mut read = Vec::new();
    loop {
        match stream.blocking_read(PIECE_BYTES as u64) {
            Ok(piece) => read.extend_from_slice(&piece),
            Err(StreamError::Closed) => return Ok((response.status(), read)),
            Err(StreamError::LastOperationFailed(error)) => return Err(internal(&error.to_debug_string())),
        }
    }
}

fn write(outgoing: &OutgoingBody, body: &[u8]) -> Result<(), ErrorCode> {
    let stream = outgoing
        .write()
        .map_err(|()| internal("a stream that nobody took is not there"))?;
    for piece in body.chunks(PIECE_BYTES) {
        stream
            .blocking_write_and_flush(piece)
            .map_err(|error| internal(&error.to_string()))?;
    }
    Ok(())
}

fn internal(text: &str) -> ErrorCode {
    ErrorCode::InternalError(Some(text.to_owned()))
}
