//! A request as the guest handed it over, checked and complete.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use host_manifest::Scheme;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Request, Uri};
use http_body_util::Full;
use wasmtime_wasi_http::RequestOptions;

use crate::Failure;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the host adds to a request of a guest. It is no part of what is recorded of the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Added {
    /// By which the peer recognises a repetition; instead of the guest's.
    pub(crate) key: Option<String>,
    /// Which trace it belongs to, unless the guest says so itself.
    pub(crate) trace_parent: Option<String>,
}

impl Added {
    /// Nothing but this.
    pub(crate) fn trace_parent(trace_parent: Option<String>) -> Self {
        Self {
            key: None,
            trace_parent,
        }
    }
}

/// Whom a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    /// In lower case; an IPv6 address in its canonical form, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Everything about a request.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingRequest {
    pub(crate) method: Method,
    pub(crate) origin: Origin,
    path_and_query: String,
    headers: HeaderMap,
    body: Bytes,
    options: RequestOptions,
}

impl Origin {
    fn new(uri: &Uri) -> Result<Self, Failure> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(Failure::MalformedTarget),
        };
        let authority = uri.authority().ok_or(Failure::MalformedTarget)?;
        Ok(Self {
            scheme,
            host: host(authority)?,
            port: port(authority, scheme)?,
        })
    }

    /// The host, when it is an address already.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

fn host(authority: &Authority) -> Result<String, Failure> {
    // Credentials belong into a header; here they only make one host look like another.
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(Failure::MalformedTarget);
    }
    match authority
        .host()
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => {
            let address: Ipv6Addr = address.parse().map_err(|_| Failure::MalformedTarget)?;
            Ok(address.to_string())
        }
        None => Ok(authority.host().to_ascii_lowercase()),
    }
}

fn port(authority: &Authority, scheme: Scheme) -> Result<u16, Failure> {
    match (authority.port_u16(), scheme) {
        (Some(0), _) => Err(Failure::MalformedTarget),
        (Some(port), _) => Ok(port),
        // Something that is not a port stands after the host.
        (None, _) if authority.as_str().len() != authority.host().len() => Err(Failure::MalformedTarget),
        (None, Scheme::Http) => Ok(80),
        (None, Scheme::Https) => Ok(443),
    }
}

impl OutgoingRequest {
    /// Checks what the guest handed over.
    pub(crate) fn new(head: Parts, body: Bytes, options: RequestOptions) -> Result<Self, Failure> {
        if head.method == Method::CONNECT {
            return Err(Failure::MethodRefused);
        }
        let origin = Origin::new(&head.uri)?;
        let path_and_query = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mut headers = head.headers;
        // The length is that of the body, whatever the guest says it is.
        headers.remove(CONTENT_LENGTH);
        Ok(Self {
            method: head.method,
            origin,
            path_and_query,
            headers,
            body,
            options,
        })
    }

    /// Whether sending it changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// All of it, so that no two different requests are alike.
    pub(crate) fn whole(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.body.len() + 512);
        self.push_peer(&mut bytes);
        push(&mut bytes, self.path_and_query.as_bytes());
        for (name, value) in &self.headers {
            push(&mut bytes, name.as_str().as_bytes());
            push(&mut bytes, value.as_bytes());
        }
        push(&mut bytes, &self.body);
        bytes
    }

    /// What is asked of whom. Not at which path: there are peers that want their secret there. It has fewer parts than any whole request,
    /// so it is none.
    pub(crate) fn peer(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.push_peer(&mut bytes);
        bytes
    }

    fn push_peer(&self, bytes: &mut Vec<u8>) {
        push(bytes, self.method.as_str().as_bytes());
        push(bytes, self.origin.scheme.as_str().as_bytes());
        push(bytes, self.origin.host.as_bytes());
        push(bytes, &self.origin.port.to_be_bytes());
    }

    /// What goes over the wire: the target in origin form, and what the host adds.
    pub(crate) fn to_wire(&self, added: &Added) -> Result<Request<Full<Bytes>>, Failure> {
        self.to_wire_with(added, Full::new(self.body.clone()))
    }

    /// The same with another body.
    pub(crate) fn to_wire_with<B>(&self, added: &Added, body: B) -> Result<Request<B>, Failure> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path_and_query.parse().map_err(|_| Failure::MalformedTarget)?;
        *request.headers_mut() = self.headers.clone();
        if let Some(key) = &added.key {
            // A key is a UUID.
            let key = HeaderValue::try_from(key).expect("an effect key is a header value");
            request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        }
        let context = added.trace_parent.as_deref().map(HeaderValue::try_from);
        if let Some(Ok(context)) = context {
            request.headers_mut().entry(TRACE_PARENT).or_insert(context);
        }
        Ok(request)
    }

    /// What the guest allows for connecting, within the bound.
    pub(crate) fn connect_timeout(&self, bound: Duration) -> Duration {
        self.options.connect_timeout.unwrap_or(bound).min(bound)
    }

    /// What the guest allows until the response begins, within the bound.
    pub(crate) fn first_byte_timeout(&self, bound: Duration) -> Duration {
        self.options.first_byte_timeout.unwrap_or(bound).min(bound)
    }

    /// What the guest allows between two parts of the response, within the bound.
    pub(crate) fn between_bytes_timeout(&self, bound: Duration) -> Duration {
        self.options.between_bytes_timeout.unwrap_or(bound).min(bound)
    }
}

/// Appends a part, of which there can be told where it ends.
fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
    bytes.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str) -> Result<OutgoingRequest, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-length", "9")
            .body(())
            .expect("a request");
        OutgoingRequest::new(request.into_parts().0, Bytes::new(), RequestOptions::default())
    }

    fn origin(scheme: Scheme, host: &str, port: u16) -> Origin {
        Origin {
            scheme,
            host: host.into(),
            port,
        }
    }

    #[test]
    fn an_origin_is_read_in_one_form_only() {
        for (uri, expected) in [
            (
                "https://API.example.com/a?b",
                origin(Scheme::Https, "api.example.com", 443),
            ),
            ("http://example.com:8080", origin(Scheme::Http, "example.com", 8080)),
            ("http://[0:0::1]/", origin(Scheme::Http, "::1", 80)),
            ("http://10.0.0.1", origin(Scheme::Http, "10.0.0.1", 80)),
        ] {
            assert_eq!(request("GET", uri).expect(uri).origin, expected, "{uri}");
        }
    }

    #[test]
    fn a_target_that_could_be_read_in_two_ways_is_refused() {
        for uri in [
            "https://a@b.example/",
            "https://b.example:0/",
            "https://b.example:/",
            "ftp://b.example/",
            "/path",
        ] {
            assert_eq!(request("GET", uri).expect_err(uri), Failure::MalformedTarget, "{uri}");
        }
        assert_eq!(
            request("CONNECT", "https://b.example/").unwrap_err(),
            Failure::MethodRefused
        );
    }

    #[test]
    fn requests_are_alike_in_all_or_not_at_all() {
        let base = request("POST", "https://a.example/x").unwrap();
        for other in [
            "https://a.example/y",
            "https://b.example/x",
            "http://a.example:443/x",
            "https://a.example:444/x",
        ] {
            assert_ne!(base.whole(), request("POST", other).unwrap().whole(), "{other}");
        }
        assert_ne!(base.whole(), request("PUT", "https://a.example/x").unwrap().whole());
        let with_body = OutgoingRequest {
            body: Bytes::from_static(b"1"),
            ..base.clone()
        };
        assert_ne!(base.whole(), with_body.whole());
        assert_eq!(base.whole(), request("POST", "https://a.example/x").unwrap().whole());
        assert_eq!(base.peer(), with_body.peer());
        assert_eq!(base.peer(), request("POST", "https://a.example/y?z").unwrap().peer());
        for (method, uri) in [("PUT", "https://a.example/x"), ("POST", "https://b.example/x")] {
            assert_ne!(base.peer(), request(method, uri).unwrap().peer(), "{method} {uri}");
        }
    }

    #[test]
    fn the_wire_has_the_path_and_the_hosts_key() {
        let mut request = request("POST", "https://a.example/x?y=1").unwrap();
        request
            .headers
            .insert(IDEMPOTENCY_KEY, HeaderValue::from_static("the guest's"));
        let added = Added {
            key: Some("ours".into()),
            trace_parent: Some("00-a-b-01".into()),
        };
        let wire = request.to_wire(&added).unwrap();
        assert_eq!(wire.headers()[TRACE_PARENT], "00-a-b-01");
        assert_eq!(wire.uri(), "/x?y=1");
        assert_eq!(
            wire.headers().get_all(IDEMPOTENCY_KEY).iter().collect::<Vec<_>>(),
            ["ours"]
        );
        assert_eq!(wire.headers().get(CONTENT_LENGTH), None);
        let wire = request.to_wire(&Added::default()).unwrap();
        assert_eq!(wire.headers()[IDEMPOTENCY_KEY], "the guest's");
        assert_eq!(wire.headers().get(TRACE_PARENT), None);
        let own = HeaderValue::from_static("the guest's context");
        request.headers.insert(TRACE_PARENT, own.clone());
        assert_eq!(request.to_wire(&added).unwrap().headers()[TRACE_PARENT], own);
    }
}
