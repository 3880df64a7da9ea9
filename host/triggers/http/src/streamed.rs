//! A request whose body is read while it is worked on: for components that take it as it comes. Nothing of it is recorded, so
//! nothing is left out either: credentials are the component's to check.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use host_types::{InvocationId, StreamError, StreamedCall};
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::error::Error;
use crate::router::Matched;
use crate::trace_parent;

/// The call this request makes.
pub(crate) fn call(
    invocation: InvocationId,
    mut parts: Parts,
    body: Incoming,
    matched: &Matched<'_>,
    peer: &str,
    trace_parent: Option<String>,
) -> Result<StreamedCall, Error> {
    let limits = &matched.component.limits;
    let limit_bytes = limits.body_limit_bytes;
    if !body.is_end_stream() && body.size_hint().lower() > limit_bytes {
        return Err(Error::BodyTooLarge { limit_bytes });
    }
    parts.uri = absolute(&parts);
    describe(&mut parts, matched.route, peer);
    // What it hands on by itself belongs to what it is doing here, and not beside it.
    if let Some(Ok(context)) = trace_parent.as_deref().map(HeaderValue::try_from) {
        parts.headers.insert(trace_parent::NAME, context);
    }
    let patience = Duration::from_millis(limits.request_timeout_ms);
    let body = BoundedBody {
        body,
        left: limit_bytes,
        limit_bytes,
        patience,
        waiting: None,
    };
    Ok(StreamedCall {
        invocation,
        component: matched.component.id.clone(),
        request: Request::from_parts(parts, body.boxed_unsync()),
        trace_parent,
        wait_ms: limits.request_timeout_ms,
    })
}

/// A request says in a header whom it is for; `wasi:http` has it in the target.
fn absolute(parts: &Parts) -> Uri {
    let host = parts.headers.get(HOST).map(HeaderValue::as_bytes);
    let authority = host.and_then(|host| Authority::try_from(host).ok());
    let mut target = parts.uri.clone().into_parts();
    target.scheme = Some(Scheme::HTTP);
    target.authority = target
        .authority
        .or(authority)
        .or_else(|| Some(Authority::from_static("localhost")));
    let path = target.path_and_query.take();
    target.path_and_query = path.or_else(|| Some(PathAndQuery::from_static("/")));
    Uri::from_parts(target).unwrap_or_else(|_| parts.uri.clone())
}

/// What Spin tells its components about a request, in headers that nobody else may set.
fn describe(parts: &mut Parts, route: &str, peer: &str) {
    let base = route.strip_suffix("/...");
    let told = [
        ("spin-full-url", parts.uri.to_string()),
        ("spin-path-info", path_info(parts.uri.path(), base).to_owned()),
        ("spin-matched-route", route.to_owned()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", route.to_owned()),
        ("spin-component-route", base.unwrap_or(route).to_owned()),
        ("spin-client-addr", peer.to_owned()),
    ];
    let claimed: Vec<HeaderName> = parts.headers.keys().filter(|name| is_spins(name)).cloned().collect();
    for name in claimed {
        parts.headers.remove(name);
    }
    insert(&mut parts.headers, told);
}

fn is_spins(name: &HeaderName) -> bool {
    name.as_str().starts_with("spin-")
}

fn insert(headers: &mut HeaderMap, told: [(&'static str, String); 7]) {
    for (name, value) in told {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// What follows the fixed part of a route that ends in `/...`.
fn path_info<'a>(path: &'a str, base: Option<&str>) -> &'a str {
    let Some(base) = base else {
        return "";
    };
    let mut rest = path;
    for _ in base.split('/').skip(1) {
        rest = rest
            .get(1..)
            .and_then(|rest| rest.find('/').map(|end| &rest[end..]))
            .unwrap_or("");
    }
    rest
}

/// A request's body within its bounds. It is read as the component asks for it, so only the time in between is bounded.
struct BoundedBody {
    body: Incoming,
    left: u64,
    limit_bytes: u64,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = None;
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(Some(Err(Box::new(Error::BodyBroken)))),
                None => return Poll::Ready(None),
            };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(left) = self.left.checked_sub(length) else {
                let limit_bytes = self.limit_bytes;
                return Poll::Ready(Some(Err(Box::new(Error::BodyTooLarge { limit_bytes }))));
            };
            self.left = left;
            return Poll::Ready(Some(Ok(frame)));
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Some(Err(Box::new(Error::BodyTimeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_on_after_its_route() {
        for (path, base, expected) in [
            ("/a/b/c", Some("/a"), "/b/c"),
            ("/a", Some("/a"), ""),
            ("/a/", Some("/a"), "/"),
            ("/shops/7/list", Some("/shops/:id"), "/list"),
            ("/b/c", Some(""), "/b/c"),
            ("/a", None, ""),
        ] {
            assert_eq!(path_info(path, base), expected, "{path} {base:?}");
        }
    }

    #[test]
    fn what_spin_says_nobody_else_says() {
        let request = Request::builder()
            .uri("/a/b?c=d")
            .header("host", "shop.example:81")
            .header("spin-client-addr", "10.0.0.1")
            .header("spin-anything", "x")
            .header("cookie", "kept");
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        parts.uri = absolute(&parts);
        describe(&mut parts, "/a/...", "192.0.2.7");
        assert_eq!(parts.uri, "http://shop.example:81/a/b?c=d");
        let told = |name: &str| parts.headers.get(name).map(|value| value.to_str().expect("text"));
        assert_eq!(told("spin-full-url"), Some("http://shop.example:81/a/b?c=d"));
        assert_eq!(told("spin-path-info"), Some("/b"));
        assert_eq!(told("spin-client-addr"), Some("192.0.2.7"));
        assert_eq!(told("spin-anything"), None);
        assert_eq!(told("cookie"), Some("kept"));
    }

    #[test]
    fn a_request_without_a_host_is_for_this_one() {
        for host in [None, Some("no host at all")] {
            let mut request = Request::builder().uri("/");
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            assert_eq!(absolute(&parts), "http://localhost/");
        }
    }
}
