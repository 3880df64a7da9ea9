//! An [`HttpOutcome`] as a response.

use bytes::Bytes;
use host_types::{HttpOutcome, HttpResponse, InvocationId, StreamBody, StreamedOutcome};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{Either, Full};

use crate::error::Error;

/// What is sent: bytes that are there, or a stream.
pub(crate) type Body = Either<Full<Bytes>, StreamBody>;

/// On every response: which invocation it is about.
pub(crate) const INVOCATION_ID: HeaderName = HeaderName::from_static("x-invocation-id");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A response, and the invocation it is about.
pub(crate) struct Answer {
    pub(crate) invocation: InvocationId,
    pub(crate) response: Response<Body>,
}

impl Answer {
    /// What the trigger says by itself; `own` is the invocation the request would have begun.
    pub(crate) fn error(error: Error, own: InvocationId) -> Self {
        let invocation = error.invocation().unwrap_or(own);
        Self {
            invocation,
            response: error.into_response(invocation).map(Either::Left),
        }
    }

    /// How a streamed call began.
    pub(crate) fn streamed(outcome: StreamedOutcome, own: InvocationId) -> Self {
        let error = match outcome {
            StreamedOutcome::Response(response) => match sendable(response, own) {
                Some(response) => {
                    return Self {
                        invocation: own,
                        response: response.map(Either::Right),
                    };
                }
                None => Error::Failed { invocation: own },
            },
            StreamedOutcome::Failed => Error::Failed { invocation: own },
            StreamedOutcome::TimedOut => Error::TimedOut,
            StreamedOutcome::Overloaded { retry_after_s } => Error::Overloaded { retry_after_s },
        };
        Self::error(error, own)
    }

    /// How the call ended.
    pub(crate) fn outcome(outcome: HttpOutcome, own: InvocationId) -> Self {
        let error = match outcome {
            HttpOutcome::Response {
                invocation,
                response,
                replayed,
            } => match rendered(response, invocation) {
                Some(mut response) => {
                    if replayed {
                        response
                            .headers_mut()
                            .insert(REPLAYED, HeaderValue::from_static("true"));
                    }
                    return Self {
                        invocation,
                        response: response.map(Either::Left),
                    };
                }
                None => Error::Failed { invocation },
            },
            HttpOutcome::Failed { invocation } => Error::Failed { invocation },
            HttpOutcome::Pending {
                invocation,
                retry_after_s,
            } => Error::Pending {
                invocation,
                retry_after_s,
            },
            HttpOutcome::KeyMismatch => Error::KeyMismatch,
            HttpOutcome::KeyInProgress {
                invocation,
                paused,
                retry_after_s,
            } => Error::KeyInUse {
                invocation,
                is_paused: paused,
                retry_after_s,
            },
            HttpOutcome::KeySpent { invocation, ended } => Error::KeySpent { invocation, ended },
            HttpOutcome::Cancelled { invocation } => Error::Cancelled { invocation },
            HttpOutcome::Full {
                component,
                open_limit,
                retry_after_s,
            } => Error::Full {
                component,
                open_limit,
                retry_after_s,
            },
            HttpOutcome::Overloaded { retry_after_s } => Error::Overloaded { retry_after_s },
        };
        Self::error(error, own)
    }
}

impl Answer {
    /// The head stays, with what clients and proxies expect of a stream.
    pub(crate) fn with_events(mut self, events: StreamBody) -> Self {
        let headers = self.response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        self.response = self.response.map(|_| Either::Right(events));
        self
    }
}

/// The component's response as it gave it; none when its status is not one of a final response, or its headers are too many.
fn rendered(given: HttpResponse, invocation: InvocationId) -> Option<Response<Full<Bytes>>> {
    let status = StatusCode::from_u16(given.status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()));
    let Some(status) = status else {
        tracing::error!(invocation.id = %invocation, status = given.status, "a component answered with an unusable status");
        return None;
    };
    // These have no body; hyper would drop it and announce its length all the same.
    let is_bodyless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = if is_bodyless {
        Bytes::new()
    } else {
        Bytes::from(Vec::from(given.body))
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // The map holds 32768; a component must not be able to make it panic.
    if headers.try_reserve(given.headers.len() + 4).is_err() {
        tracing::error!(invocation.id = %invocation, count = given.headers.len(), "a component answered with too many headers");
        return None;
    }
    for (name, value) in given.headers {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::try_from(value)) {
            (Ok(name), _) if is_the_hosts(&name) => {}
            (Ok(name), Ok(value)) => {
                headers.append(name, value);
            }
            // The value may hold anything, so it is not logged.
            _ => {
                tracing::warn!(invocation.id = %invocation, header = %name.escape_debug(), "a component's invalid header is left out")
            }
        }
    }
    Some(response)
}

/// The component's response without what is the host's; none when its status is not one of a final response, or its headers are too many.
fn sendable(mut given: Response<StreamBody>, invocation: InvocationId) -> Option<Response<StreamBody>> {
    if !(200..600).contains(&given.status().as_u16()) {
        tracing::error!(invocation.id = %invocation, status = %given.status(), "a component answered with an unusable status");
        return None;
    }
    let hosts: Vec<HeaderName> = given
        .headers()
        .keys()
        .filter(|name| is_the_hosts(name))
        .cloned()
        .collect();
    for name in hosts {
        // The length is kept: the body was checked against it.
        if name != CONTENT_LENGTH {
            given.headers_mut().remove(name);
        }
    }
    if given.headers_mut().try_reserve(4).is_err() {
        tracing::error!(invocation.id = %invocation, "a component answered with too many headers");
        return None;
    }
    Some(given)
}

/// What a component does not decide: how the bytes travel, which origins may read them, and what the host says about the invocation.
fn is_the_hosts(name: &HeaderName) -> bool {
    const STANDARD: [HeaderName; 10] = [
        CONNECTION,
        CONTENT_LENGTH,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN,
    ];
    STANDARD.contains(name)
        || [
            "keep-alive",
            "proxy-connection",
            "x-invocation-id",
            "idempotency-replayed",
        ]
        .contains(&name.as_str())
}
