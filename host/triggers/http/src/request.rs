//! A request as an [`HttpCall`]: what will be recorded, and what is left out.

use host_types::{HttpCall, HttpRequest, IdempotencyKey, Identity, InvocationId};
use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, EXPECT, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use crate::router::Matched;

/// What was found out about a request besides its head.
pub(crate) struct Found {
    pub(crate) invocation: InvocationId,
    pub(crate) identity: Identity,
    /// Without the token that may have been in it.
    pub(crate) query: String,
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    pub(crate) peer: String,
    /// What the call belongs to.
    pub(crate) trace_parent: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The call this request makes.
pub(crate) fn call(parts: &Parts, matched: &Matched<'_>, found: Found) -> HttpCall {
    let component = matched.component;
    let method = parts.method.as_str();
    let path = parts.uri.path();
    HttpCall {
        invocation: found.invocation,
        component: component.id.clone(),
        route: matched.route.to_owned(),
        idempotency_key: found.idempotency_key,
        trace_parent: found.trace_parent,
        sensitive: component.is_sensitive(method, path),
        wait_ms: component.limits.request_timeout_ms,
        request: HttpRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            query: found.query,
            headers: recorded(&parts.headers),
            identity: found.identity,
            peer: found.peer,
            body: found.body.into(),
        },
    }
}

fn recorded(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut recorded = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        if !is_left_out(name) {
            recorded.push((
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            ));
        }
    }
    recorded
}

/// Credentials, for which the identity stands; the key, which is the host's; and what concerns this connection only.
fn is_left_out(name: &HeaderName) -> bool {
    const STANDARD: [HeaderName; 9] = [
        AUTHORIZATION,
        PROXY_AUTHORIZATION,
        COOKIE,
        CONNECTION,
        EXPECT,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    STANDARD.contains(name) || ["idempotency-key", "keep-alive", "proxy-connection"].contains(&name.as_str())
}
