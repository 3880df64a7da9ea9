//! Request bodies while the guest writes them. A body is collected from its first byte on, so that a guest never waits for room,
//! whichever comes first: `handle`, or the end of the body.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body_util::BodyExt;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error as HttpError, RequestOptions};

use crate::Failure;

/// A body under way to its end.
pub(crate) type Collector = AbortOnDropJoinHandle<Result<Bytes, Failure>>;

/// A request that was handed over.
pub(crate) struct HandedOver {
    pub(crate) head: Parts,
    pub(crate) options: RequestOptions,
}

/// What a request that is handed over has of its body.
pub(crate) enum BodyState {
    /// It has none.
    None,
    /// All of it.
    Complete(Collector),
    /// The guest goes on writing; the `outgoing-body` of this number ends it.
    Open(u32),
}

/// A request that waits for the end of its body.
pub(crate) struct Waiting {
    pub(crate) request: HandedOver,
    /// The `future-incoming-response` that is to be answered, unless the guest dropped it.
    pub(crate) response: Option<u32>,
}

enum RequestBody {
    Open(u32),
    Complete(Collector),
}

struct OpenBody {
    collector: Collector,
    /// The `outgoing-request` it belongs to, until that is handed over or dropped.
    request: Option<u32>,
    waiting: Option<Waiting>,
}

/// Bodies of one instance, by the numbers of its resources. Numbers are used again, so each is forgotten with its resource.
#[derive(Default)]
pub(crate) struct Bodies {
    of_requests: HashMap<u32, RequestBody>,
    open: HashMap<u32, OpenBody>,
}

impl Bodies {
    /// The guest asked for the body of a request.
    pub(crate) fn begin(&mut self, request: u32, body: u32, collector: Collector) {
        self.of_requests.insert(request, RequestBody::Open(body));
        self.open.insert(
            body,
            OpenBody {
                collector,
                request: Some(request),
                waiting: None,
            },
        );
    }

    /// Bodies that are held, whole or in part.
    pub(crate) fn held(&self) -> usize {
        let complete = self
            .of_requests
            .values()
            .filter(|body| matches!(body, RequestBody::Complete(_)));
        self.open.len() + complete.count()
    }

    /// The guest hands a request over: it is no longer there.
    pub(crate) fn hand_over(&mut self, request: u32) -> BodyState {
        match self.of_requests.remove(&request) {
            None => BodyState::None,
            Some(RequestBody::Complete(collector)) => BodyState::Complete(collector),
            Some(RequestBody::Open(body)) => {
                if let Some(open) = self.open.get_mut(&body) {
                    open.request = None;
                }
                BodyState::Open(body)
            }
        }
    }

    /// A request that was handed over waits for the end of this body.
    pub(crate) fn wait(&mut self, body: u32, waiting: Waiting) {
        if let Some(open) = self.open.get_mut(&body) {
            open.waiting = Some(waiting);
        }
    }

    /// The body ended, one way or the other; perhaps a request waited for that.
    pub(crate) fn end(&mut self, body: u32) -> Option<(Collector, Waiting)> {
        let OpenBody {
            collector,
            request,
            waiting,
        } = self.open.remove(&body)?;
        if let Some(waiting) = waiting {
            return Some((collector, waiting));
        }
        if let Some(request) = request {
            self.of_requests.insert(request, RequestBody::Complete(collector));
        }
        None
    }

    /// The guest dropped a request it had not handed over.
    pub(crate) fn forget_request(&mut self, request: u32) {
        if let Some(RequestBody::Open(body)) = self.of_requests.remove(&request)
            && let Some(open) = self.open.get_mut(&body)
        {
            open.request = None;
        }
    }

    /// The guest dropped the response it would have got. The request is sent all the same, as if it had dropped it later.
    pub(crate) fn forget_response(&mut self, response: u32) {
        for waiting in self.open.values_mut().filter_map(|open| open.waiting.as_mut()) {
            if waiting.response == Some(response) {
                waiting.response = None;
            }
        }
    }
}

/// Collects a body in a task of its own, which touches nothing but the body.
pub(crate) fn collect(body: HyperOutgoingBody, bound: usize) -> Collector {
    spawn(collected(body, bound))
}

async fn collected(mut body: HyperOutgoingBody, bound: usize) -> Result<Bytes, Failure> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|error| match error {
            HttpError::HttpRequestBodySize(size) => Failure::RequestTooLarge(size.unwrap_or(bound as u64)),
            _ => Failure::BodyNotCompleted,
        })?;
        // A request with a known length has no place for trailers.
        let Ok(data) = data.into_data() else {
            return Err(Failure::BodyNotCompleted);
        };
        if bytes.len() + data.len() > bound {
            return Err(Failure::RequestTooLarge(bound as u64));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}
