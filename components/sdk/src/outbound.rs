//! Requests to the hosts that the manifest grants, over `wasi:http`. The component must be granted one.

use wasip2::{
    http::{
        outgoing_handler,
        types::{Fields, FutureIncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme},
    },
    io::streams::StreamError,
};

use crate::{bindings::nexus::durable::derived, join::Pending};

pub use wasip2::http::types::ErrorCode;

/// What the host accepts of a body in one call.
const PIECE_BYTES: usize = 4096;

/// A request, whole.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Upper case.
    pub method: &'a str,
    /// With TLS.
    pub is_secure: bool,
    /// Host, and port unless it is the scheme's own.
    pub authority: &'a str,
    /// From the first slash on, with the query.
    pub path: &'a str,
    /// Names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// Empty: none.
    pub body: &'a [u8],
}

/// Its answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Sends the request and reads its answer. What is neither GET nor HEAD is an effect: it is done once, as far as the host can tell, and
/// what came of it is recorded, failures too. Asks the host.
pub fn send(request: &Request<'_>) -> Result<Reply, ErrorCode> {
    take(&start(request)?)
}

/// The key of the next [`Request`] that is an effect, for a peer that wants it in the body or in a header of its own: the host sends the same
/// as `Idempotency-Key` where the manifest says so. Ask for it right before [`send`]: it is that request's key as long as nothing else is
/// asked of the host in between, and the same in every attempt.
pub fn next_effect_key() -> String {
    derived::next_effect_key()
}

/// A request that was begun.
#[must_use = "a request that is begun is to be finished, by itself or by `join`"]
#[derive(Debug)]
pub struct PendingReply(Result<FutureIncomingResponse, ErrorCode>);

/// Begins what [`send`] does, to be waited for with [`join`](crate::join()). A GET or HEAD goes on beside the component; any other request
/// is answered when this returns. Asks the host.
pub fn begin(request: &Request<'_>) -> PendingReply {
    PendingReply(start(request))
}

impl Pending for PendingReply {
    type Output = Result<Reply, ErrorCode>;

    fn finish(self) -> Self::Output {
        take(&self.0?)
    }
}

fn start(request: &Request<'_>) -> Result<FutureIncomingResponse, ErrorCode> {
    let outgoing = OutgoingRequest::new(fields(request.headers)?);
    let method = match request.method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.to_owned()),
    };
    let scheme = if request.is_secure { Scheme::Https } else { Scheme::Http };
    let refused = |()| ErrorCode::HttpRequestUriInvalid;
    outgoing.set_method(&method).map_err(refused)?;
    outgoing.set_scheme(Some(&scheme)).map_err(refused)?;
    outgoing.set_authority(Some(request.authority)).map_err(refused)?;
    outgoing.set_path_with_query(Some(request.path)).map_err(refused)?;
    let body = (!request.body.is_empty())
        .then(|| outgoing.body())
        .transpose()
        .map_err(refused)?;
    let response = outgoing_handler::handle(outgoing, None)?;
    if let Some(body) = body {
        write(&body, request.body)?;
        OutgoingBody::finish(body, None)?;
    }
    Ok(response)
}

fn take(response: &FutureIncomingResponse) -> Result<Reply, ErrorCode> {
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
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(internal(&error.to_debug_string())),
        }
    }
    Ok(Reply {
        status: response.status(),
        body: read,
    })
}

fn fields(headers: &[(&str, &str)]) -> Result<Fields, ErrorCode> {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    Fields::from_list(&headers.collect::<Vec<_>>()).map_err(|error| internal(&format!("the headers: {error:?}")))
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
