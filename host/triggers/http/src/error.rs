//! What this trigger answers by itself. Both shapes at once: `message` for clients of the framework errors of old, `error` for all others.

use bytes::Bytes;
use host_types::{ComponentId, InvocationId};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::idempotency_key::InvalidKey;

/// Why a request gets no answer of a component. The texts are the client's to read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Not Found")]
    UnknownPath,
    #[error("Method Not Allowed")]
    Method { allow: &'static str },
    #[error("the head of the request is not one of HTTP/1.1")]
    HeadBroken,
    #[error("the headers are too large, or too many")]
    HeadTooLarge,
    #[error("the path and the query are too long")]
    PathTooLong,
    #[error("{0}")]
    Key(#[from] InvalidKey),
    #[error("the body is larger than {limit_bytes} bytes")]
    BodyTooLarge { limit_bytes: u64 },
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body is incomplete or malformed")]
    BodyBroken,
    #[error("the host is shutting down; try again")]
    Draining,
    #[error(
        "`{component}` has as many open invocations as it may have (`open_limit` is {open_limit}); try again later"
    )]
    Full {
        component: ComponentId,
        open_limit: u64,
        retry_after_s: u32,
    },
    #[error("the host has no capacity left; try again later")]
    Overloaded { retry_after_s: u32 },
    #[error(
        "more than {quota} requests in {window_seconds} s are too many here (`{policy}`); try again in {retry_after_s} s"
    )]
    TooManyRequests {
        policy: String,
        quota: u64,
        window_seconds: u32,
        retry_after_s: u32,
    },
    #[error("how many requests there were cannot be said now; try again")]
    Uncounted,
    #[error("no answer in time")]
    TimedOut,
    #[error("the request is accepted and goes on as invocation {invocation}; its answer is not there yet")]
    Pending {
        invocation: InvocationId,
        retry_after_s: u32,
    },
    #[error("this Idempotency-Key was used with another request; use a new one")]
    KeyMismatch,
    #[error("{}", key_in_use(*invocation, *is_paused))]
    KeyInUse {
        invocation: InvocationId,
        is_paused: bool,
        retry_after_s: u32,
    },
    #[error(
        "the first request with this Idempotency-Key, invocation {invocation}, has {ended}, and its answer is not kept: \
         it cannot be repeated; use a new key for another request"
    )]
    KeySpent {
        invocation: InvocationId,
        ended: &'static str,
    },
    #[error(
        "the request was accepted as invocation {invocation}, and an operator has cancelled it; what it had begun is undone as far as \
         that was foreseen"
    )]
    Cancelled { invocation: InvocationId },
    #[error("something went wrong")]
    Failed { invocation: InvocationId },
}

fn key_in_use(invocation: InvocationId, is_paused: bool) -> String {
    match is_paused {
        false => format!("the first request with this Idempotency-Key, invocation {invocation}, has not ended"),
        true => format!(
            "the first request with this Idempotency-Key, invocation {invocation}, is paused until an operator resumes it"
        ),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    error: Envelope<'a>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    http_status: u16,
    code: &'a str,
    message: &'a str,
    request_id: InvocationId,
}

impl Error {
    /// Of a request whose head was refused with this status.
    pub(crate) fn of_head(status: StatusCode) -> Self {
        match status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::HeadTooLarge,
            StatusCode::URI_TOO_LONG => Self::PathTooLong,
            _ => Self::HeadBroken,
        }
    }

    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownPath => (StatusCode::NOT_FOUND, "not_found"),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::HeadBroken | Self::Key(_) | Self::BodyBroken => (StatusCode::BAD_REQUEST, "validation"),
            Self::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "header_fields_too_large"),
            Self::PathTooLong => (StatusCode::URI_TOO_LONG, "uri_too_long"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Draining | Self::Full { .. } | Self::Overloaded { .. } | Self::Uncounted | Self::Pending { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
            Self::KeyMismatch => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_mismatch"),
            Self::KeyInUse { .. } => (StatusCode::CONFLICT, "idempotency_key_in_use"),
            Self::KeySpent { .. } => (StatusCode::CONFLICT, "idempotency_key_spent"),
            Self::Cancelled { .. } => (StatusCode::CONFLICT, "cancelled"),
            Self::Failed { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// Which invocation the answer is about, when it is not the one this request would have begun.
    pub(crate) fn invocation(&self) -> Option<InvocationId> {
        match self {
            Self::Pending { invocation, .. }
            | Self::KeyInUse { invocation, .. }
            | Self::KeySpent { invocation, .. }
            | Self::Cancelled { invocation }
            | Self::Failed { invocation } => Some(*invocation),
            _ => None,
        }
    }

    fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::Draining | Self::Uncounted => Some(1),
            Self::Overloaded { retry_after_s }
            | Self::Full { retry_after_s, .. }
            | Self::TooManyRequests { retry_after_s, .. }
            | Self::Pending { retry_after_s, .. }
            | Self::KeyInUse { retry_after_s, .. } => Some(*retry_after_s),
            _ => None,
        }
    }

    /// The response; `request_id` is the invocation it is about.
    pub(crate) fn into_response(self, request_id: InvocationId) -> Response<Full<Bytes>> {
        self.into_bytes(request_id).map(Full::new)
    }

    /// The same with its body as it is.
    pub(crate) fn into_bytes(self, request_id: InvocationId) -> Response<Bytes> {
        let (status, code) = self.status_and_code();
        let text = self.to_string();
        let body = Body {
            message: &text,
            error: Envelope {
                http_status: status.as_u16(),
                code,
                message: &format!("{code}: {text}"),
                request_id,
            },
        };
        let body = serde_json::to_vec(&body).expect("a record of texts and numbers is JSON");
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        match self {
            Self::Method { allow } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            // What follows on this connection is the rest of the body, not a request. And who is to come back later leaves his place to
            // others: connections are bounded too.
            Self::BodyTooLarge { .. }
            | Self::BodyTimeout
            | Self::BodyBroken
            | Self::Draining
            | Self::Full { .. }
            | Self::Overloaded { .. } => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
