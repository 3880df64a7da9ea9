//! Cross-origin requests: every origin may call, without credentials of the browser's own. Tokens travel in headers.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap,
    HeaderValue, ORIGIN, VARY,
};
use http::{Response, StatusCode};
use http_body_util::Full;

const ANY: HeaderValue = HeaderValue::from_static("*");
const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
/// What this trigger's answers tell besides what every page may read.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Idempotency-Replayed,Link,RateLimit,RateLimit-Policy,Retry-After,X-Invocation-Id");

/// Whether the request comes from a page of some origin, and so whether its response carries permission.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cors {
    has_origin: bool,
}

impl Cors {
    pub(crate) fn of(request: &HeaderMap) -> Self {
        Self {
            has_origin: request.contains_key(ORIGIN),
        }
    }

    /// Lets the page read the response. The permission is this trigger's to give: one from a component would be a second one,
    /// which browsers refuse.
    pub(crate) fn apply(self, response: &mut HeaderMap) {
        response.append(VARY, HeaderValue::from_name(ORIGIN));
        if self.has_origin {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            // Of a preflight, pages see nothing.
            if !response.contains_key(ACCESS_CONTROL_ALLOW_METHODS) {
                response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            }
        }
    }

    /// The answer to OPTIONS, on every path: whatever is asked for is allowed.
    pub(crate) fn preflight(self, request: &HeaderMap) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if self.has_origin {
            let headers = response.headers_mut();
            headers.append(VARY, HeaderValue::from_name(ACCESS_CONTROL_REQUEST_METHOD));
            headers.append(VARY, HeaderValue::from_name(ACCESS_CONTROL_REQUEST_HEADERS));
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            for asked in request.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.append(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        response
    }
}
