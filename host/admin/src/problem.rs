//! Refusals as RFC 9457 problems.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::{Deserialize, Serialize};

use crate::operate::OperateError;

/// `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Names the kind of problem for good.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time, and the way out.
    pub detail: String,
    /// The last part of the type.
    pub code: String,
    /// The parameters at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// What is wrong with one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// Its name, in the path or the query.
    pub parameter: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("send the admin token as `Authorization: Bearer <token>`; the host writes it to its ready file")]
    Token,
    #[error(
        "{path} is not here; there are /v1/components, /v1/invocations, /v1/invocations/{{id}}, /v1/promises, /v1/dead-letters, /v1/audit and /v1/nodes"
    )]
    Path { path: String },
    #[error("{method} is not possible here; send {allow}")]
    Method { method: String, allow: &'static str },
    #[error("{name}: {detail}")]
    Parameter { name: String, detail: String },
    #[error("the head of the request is not one of HTTP/1.1, or too large")]
    Head { status: StatusCode },
    #[error("the body is larger than {limit_bytes} bytes, or broke off")]
    Body { limit_bytes: usize },
    #[error(transparent)]
    Operate(#[from] OperateError),
}

impl Refusal {
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "The token is missing or wrong",
            ),
            Self::Path { .. } => (StatusCode::NOT_FOUND, "unknown-path", "There is nothing at this path"),
            Self::Method { .. } => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "The method does not fit the path",
            ),
            Self::Parameter { .. } => (StatusCode::BAD_REQUEST, "parameter", "A parameter is not valid"),
            Self::Operate(OperateError::NotFound(_)) => (
                StatusCode::NOT_FOUND,
                "unknown-invocation",
                "There is no such invocation",
            ),
            Self::Operate(OperateError::NoPromise(_)) => {
                (StatusCode::NOT_FOUND, "unknown-promise", "There is no such promise")
            }
            Self::Operate(OperateError::NoComponent(_)) => {
                (StatusCode::NOT_FOUND, "unknown-component", "There is no such component")
            }
            Self::Operate(OperateError::NoRevision(_)) => {
                (StatusCode::NOT_FOUND, "unknown-revision", "There is no such revision")
            }
            Self::Operate(OperateError::Unacknowledged(_)) => (
                StatusCode::GATEWAY_TIMEOUT,
                "unacknowledged",
                "It is active, and not all nodes follow yet",
            ),
            Self::Operate(OperateError::Conflict(_)) => (
                StatusCode::CONFLICT,
                "conflict",
                "Things do not stand as they would have to for that",
            ),
            Self::Operate(OperateError::Invalid(_)) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "What came with the word is not right",
            ),
            Self::Head { status } => (*status, "head", "The request cannot be read"),
            Self::Body { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body", "The body cannot be read"),
            Self::Operate(OperateError::Unavailable(_)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The host cannot tell now",
            ),
        }
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        self.into_bytes().map(Full::new)
    }

    /// The same with its body as it is.
    pub(crate) fn into_bytes(self) -> Response<Bytes> {
        let (status, code, title) = self.kind();
        let detail = self.to_string();
        let mut problem = Problem {
            kind: format!("urn:nexus:problem:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
            code: code.to_owned(),
            errors: Vec::new(),
        };
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Self::Token => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Method { allow, .. } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::Operate(OperateError::Unavailable(_) | OperateError::Unacknowledged(_)) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Parameter { name, detail } => problem.errors.push(FieldProblem {
                parameter: name,
                detail,
            }),
            Self::Path { .. } | Self::Head { .. } | Self::Body { .. } | Self::Operate(_) => {}
        }
        let body = serde_json::to_vec(&problem).expect("a record of texts and numbers is JSON");
        *response.body_mut() = body.into();
        response
    }
}
