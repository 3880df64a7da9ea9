//! One request, from its head to its response.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use host_manifest::{App, Component, RateLimit};
use host_metrics::Exposition;
use host_traces::{Parent, Span, SpanKind, Traces};
use host_types::{Clock, IdempotencyKey, Identity, InvocationClient, InvocationId, Rng};
use http::header::{ACCEPT, CONTENT_TYPE, EXPECT, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::Instrument;
use uuid::fmt::Hyphenated;

use crate::body::{BodyBounds, BodyMemory, Reserved, discard, read};
use crate::connections::{ConnectionLimits, serve};
use crate::cors::Cors;
use crate::error::Error;
use crate::health::{Probe, Readiness};
use crate::idempotency_key;
use crate::identity::{self, VerifyToken};
use crate::metrics::HttpMetrics;
use crate::named::named;
use crate::proxies::TrustedProxies;
use crate::rate_limits::{self, CountRequests, RateLimiter, Standing, Whose};
use crate::request::{self, Found};
use crate::response::{Answer, Body, INVOCATION_ID};
use crate::router::{Matched, Router};
use crate::streams::{self, Asked, STREAM, StreamError, Streams};
use crate::{streamed, trace_parent};

/// What a server needs.
pub struct ServerOptions {
    /// Bound already, so that its address is known before anything is served.
    pub listener: TcpListener,
    /// Routes, and each component's limits and identity rule.
    pub app: Arc<App>,
    /// Runs the calls.
    pub client: Arc<dyn InvocationClient>,
    /// Verifies bearer tokens.
    pub verifier: Arc<dyn VerifyToken>,
    /// Who may say whom a request comes from.
    pub trusted_proxies: TrustedProxies,
    /// Counts the requests that are limited.
    pub counter: Arc<dyn CountRequests>,
    /// What responses may stream to their clients.
    pub streams: Streams,
    /// What `/ready` answers.
    pub readiness: watch::Receiver<Readiness>,
    /// Dates invocation ids and checks tokens.
    pub clock: Arc<dyn Clock>,
    /// Makes invocation ids unique.
    pub rng: Arc<dyn Rng>,
    /// Counts requests.
    pub metrics: HttpMetrics,
    /// What `/metrics` answers.
    pub exposition: Arc<Exposition>,
    /// Makes the spans of requests.
    pub traces: Traces,
    /// What requests may take.
    pub limits: Limits,
}

/// What requests may take, besides what the manifest grants per component.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Of each connection, and of all.
    pub connections: ConnectionLimits,
    /// From a request's head to the end of its body; longer is a 408.
    pub body_read_timeout: Duration,
    /// Memory of all request bodies that are being read or worked on, bytes; at least the largest body a component accepts.
    /// When it is used up, requests with a body get a 503.
    pub body_memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: ConnectionLimits::default(),
            body_read_timeout: Duration::from_secs(15),
            body_memory_bytes: 256 << 20,
        }
    }
}

/// An HTTP server for the routes of an application.
pub struct Server {
    listener: TcpListener,
    limits: ConnectionLimits,
    shared: Arc<Shared>,
}

/// What all requests share.
struct Shared {
    router: Router,
    client: Arc<dyn InvocationClient>,
    verifier: Arc<dyn VerifyToken>,
    trusted_proxies: TrustedProxies,
    rate_limiter: RateLimiter,
    streams: Streams,
    readiness: watch::Receiver<Readiness>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    metrics: HttpMetrics,
    exposition: Arc<Exposition>,
    traces: Traces,
    body_read_timeout: Duration,
    body_memory: BodyMemory,
    is_draining: AtomicBool,
}

/// The methods that reach components; OPTIONS is answered here.
const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

impl Server {
    /// Serves nothing yet; clients that connect wait.
    pub fn new(options: ServerOptions) -> Self {
        let ServerOptions {
            listener,
            app,
            client,
            verifier,
            trusted_proxies,
            counter,
            streams,
            readiness,
            clock,
            rng,
            metrics,
            exposition,
            traces,
            limits,
        } = options;
        let router = Router::new(app);
        let largest_body = usize::try_from(router.largest_body()).unwrap_or(usize::MAX);
        let shared = Shared {
            client,
            verifier,
            trusted_proxies,
            rate_limiter: RateLimiter::new(counter, Arc::clone(&clock), metrics.clone()),
            streams,
            readiness,
            clock,
            rng,
            metrics,
            exposition,
            traces,
            body_read_timeout: limits.body_read_timeout,
            body_memory: BodyMemory::new(limits.body_memory_bytes.max(largest_body)),
            is_draining: AtomicBool::new(false),
            router,
        };
        Self {
            listener,
            limits: limits.connections,
            shared: Arc::new(shared),
        }
    }

    /// Serves until `shutdown` ends, then drains: nothing new begins, and what has begun is answered.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listener,
            limits,
            shared,
        } = self;
        let shutdown = async {
            shutdown.await;
            shared.is_draining.store(true, Ordering::Relaxed);
            shared.streams.stop();
        };
        let service = |peer: SocketAddr| {
            let shared = Arc::clone(&shared);
            // An IPv4 client of an IPv6 socket is an IPv4 client.
            let address = peer.ip().to_canonical();
            let peer: Arc<str> = address.to_string().into();
            service_fn(move |request: Request<Incoming>| {
                let (shared, peer) = (Arc::clone(&shared), Arc::clone(&peer));
                async move {
                    let client = shared.trusted_proxies.client(address, request.headers());
                    let client = client.map(|client| client.to_string());
                    let peer = client.as_deref().unwrap_or(&peer);
                    Ok::<_, Infallible>(shared.respond(peer, request).await)
                }
            })
        };
        let refuse = {
            let shared = Arc::clone(&shared);
            move |status| shared.refuse_head(status)
        };
        serve(listener, &limits, shutdown, refuse, service).await;
    }
}

impl Shared {
    /// The answer to a request that is none: it has an id like others, by which its client can ask about it.
    fn refuse_head(&self, status: StatusCode) -> Response<Bytes> {
        let own = InvocationId::new(self.clock.unix_ms(), self.rng.bytes());
        tracing::debug!(invocation.id = %own, http.response.status_code = status.as_u16(), "a head is refused");
        let mut response = Error::of_head(status).into_bytes(own);
        response.headers_mut().insert(INVOCATION_ID, header_value(own));
        response
    }

    async fn respond(&self, peer: &str, request: Request<Incoming>) -> Response<Body> {
        let (_active, begun_ns) = (self.metrics.begin(), self.clock.boot_ns());
        let own = InvocationId::new(self.clock.unix_ms(), self.rng.bytes());
        let method = request.method().clone();
        let mut told = Told::default();
        let cors = Cors::of(request.headers());
        let span = tracing::debug_span!(
            "request",
            invocation.id = %own,
            http.request.method = %request.method(),
            http.route = tracing::field::Empty,
            component.id = tracing::field::Empty,
            http.response.status_code = tracing::field::Empty,
        );
        let answer = self.answer(own, cors, peer, request, &mut told);
        let answer = answer.instrument(span.clone()).await;
        let Answer {
            invocation,
            mut response,
        } = answer;
        span.record("http.response.status_code", response.status().as_u16());
        cors.apply(response.headers_mut());
        if !told.standings.is_empty() {
            rate_limits::forget_others(response.headers_mut());
        }
        for standing in &told.standings {
            standing.apply(response.headers_mut());
        }
        response.headers_mut().insert(INVOCATION_ID, header_value(invocation));
        let duration_ns = self.clock.boot_ns().saturating_sub(begun_ns);
        self.metrics
            .answered(&method, response.status(), told.route, duration_ns);
        told.end(invocation, response.status());
        response
    }

    /// What is found out on the way is told as soon as it is known.
    async fn answer<'a>(
        &'a self,
        own: InvocationId,
        cors: Cors,
        peer: &str,
        request: Request<Incoming>,
        told: &mut Told<'a>,
    ) -> Answer {
        let (parts, body) = request.into_parts();
        let matched = match self.begin(&parts, cors) {
            Ok(Begun::Metrics) => {
                discard(body, expects_continue(&parts)).await;
                let response = self.exposed(&parts).await;
                return Answer {
                    invocation: own,
                    response: response.map(Either::Left),
                };
            }
            Ok(Begun::Answered(response)) => {
                discard(body, expects_continue(&parts)).await;
                return Answer {
                    invocation: own,
                    response: response.map(Either::Left),
                };
            }
            Ok(Begun::Routed(matched)) => matched,
            Err(error) => {
                discard(body, expects_continue(&parts)).await;
                return Answer::error(error, own);
            }
        };
        told.route = Some(matched.route);
        told.span = self.begin_span(&parts, &matched, own);
        // A client's context goes on from here, whether or not anything is exported.
        let trace_parent = told.span.as_parent().trace_parent();
        let trace_parent = trace_parent.or_else(|| trace_parent::of(&parts.headers));
        let span = tracing::Span::current();
        span.record("http.route", matched.route);
        span.record("component.id", matched.component.id.as_str());

        let component = matched.component;
        let now_ms = self.clock.unix_ms();
        let (identity, query) = self.identify(&parts, component, now_ms);
        let idempotency_key = match self.admit(&parts, component, &identity, peer, told).await {
            Ok(key) => key,
            Err(error) => {
                discard(body, expects_continue(&parts)).await;
                return Answer::error(error, own);
            }
        };
        if self.client.is_streamed(&component.id) {
            let call = streamed::call(own, parts, body, &matched, peer, trace_parent);
            return match call {
                Ok(call) => Answer::streamed(self.client.handle_stream(call).await, own),
                Err(error) => Answer::error(error, own),
            };
        }
        let limit_bytes = component.limits.body_limit_bytes;
        let bounds = BodyBounds {
            limit_bytes,
            timeout: self.body_read_timeout,
        };
        // Held until the answer is there: as long as the call holds the body, it counts.
        let (body, _reserved): (_, Reserved<'_>) =
            match read(body, bounds, &self.body_memory, expects_continue(&parts)).await {
                Ok(read) => read,
                Err(error) => return Answer::error(error, own),
            };
        if let Err(error) = self.admit_body(&parts, component, &body, told).await {
            return Answer::error(error, own);
        }
        let may_stream = parts.method == Method::GET && !component.events.streams.is_empty();
        let good_for = may_stream.then(|| streams::good_for(&identity, now_ms)).flatten();
        let found = Found {
            invocation: own,
            identity,
            query,
            idempotency_key,
            peer: peer.to_owned(),
            trace_parent,
            body,
        };
        let outcome = self.client.handle_http(request::call(&parts, &matched, found)).await;
        let mut answer = Answer::outcome(outcome, own);
        let Some(stream) = answer.response.headers_mut().remove(STREAM) else {
            return answer;
        };
        if parts.method != Method::GET || answer.response.status() != StatusCode::OK {
            return answer;
        }
        let invocation = answer.invocation;
        let begun = match Asked::read(&stream, component, &parts.headers, good_for) {
            Ok(asked) => self.streams.begin(asked).await,
            Err(error) => Err(error),
        };
        match begun {
            Ok(events) => answer.with_events(events),
            Err(error) => {
                tracing::error!(invocation.id = %invocation, %error, "there is no stream");
                let error = match error {
                    StreamError::Component(_) => Error::Failed { invocation },
                    StreamError::Unavailable(_) => Error::Overloaded { retry_after_s: 1 },
                };
                Answer::error(error, invocation)
            }
        }
    }

    /// Who asks, and the query without the token that may have been in it.
    fn identify(&self, parts: &Parts, component: &Component, now_ms: u64) -> (Identity, String) {
        let query = parts.uri.query().unwrap_or_default();
        let (query, token) = match component.has_token_in_query(parts.method.as_str(), parts.uri.path()) {
            true => identity::in_query(query),
            false => (query.to_owned(), None),
        };
        let rule = component.identity.as_ref();
        let identity = identity::of(&parts.headers, rule, token.as_deref(), &*self.verifier, now_ms);
        (identity, query)
    }

    /// Whether the request goes any further, and with which key. Limits come first: who is refused has no key looked at, and no body read.
    async fn admit<'a>(
        &'a self,
        parts: &Parts,
        component: &'a Component,
        identity: &Identity,
        peer: &str,
        told: &mut Told<'a>,
    ) -> Result<Option<IdempotencyKey>, Error> {
        if let Some(limit) = component.rate_limit(parts.method.as_str(), parts.uri.path()) {
            let whose = Whose::of(&limit.by, identity, peer);
            self.count(component, limit, whose, told).await?;
        }
        Ok(idempotency_key::of(&parts.method, &parts.headers)?)
    }

    /// The same once the body is there, which names whom the request is about.
    async fn admit_body<'a>(
        &'a self,
        parts: &Parts,
        component: &'a Component,
        body: &[u8],
        told: &mut Told<'a>,
    ) -> Result<(), Error> {
        let limit = component.rate_limit_by_member(parts.method.as_str(), parts.uri.path());
        let named = limit.and_then(|(limit, member)| Some((limit, member.counted_as(named(body, &member.name)?))));
        match named {
            Some((limit, name)) => self.count(component, limit, Whose::Named(&name), told).await,
            None => Ok(()),
        }
    }

    async fn count<'a>(
        &'a self,
        component: &'a Component,
        limit: &'a RateLimit,
        whose: Whose<'_>,
        told: &mut Told<'a>,
    ) -> Result<(), Error> {
        let standing = self.rate_limiter.count(component, limit, whose).await;
        let refusal = standing.refusal();
        told.standings.push(standing);
        refusal.map_or(Ok(()), Err)
    }

    /// The span of a request that a component answers. Without a context of its client, its trace is that of the invocation it begins.
    fn begin_span(&self, parts: &Parts, matched: &Matched<'_>, own: InvocationId) -> Span {
        if !self.traces.is_on() {
            return Span::default();
        }
        let sent = trace_parent::of(&parts.headers);
        let parent = Parent::of(sent.as_deref().unwrap_or_default()).or_invocation(own.0.as_u128());
        let name = || format!("{} {}", parts.method, matched.route);
        let mut span = self.traces.begin(SpanKind::Server, name, &parent);
        span.set_text("http.request.method", &parts.method);
        span.set_text("http.route", matched.route);
        span.set_text("nexus.component", &matched.component.id);
        span
    }

    /// What can be said from the head alone.
    fn begin(&self, parts: &Parts, cors: Cors) -> Result<Begun<'_>, Error> {
        if parts.method == Method::OPTIONS {
            return Ok(Begun::Answered(cors.preflight(&parts.headers)));
        }
        if let Some(probe) = Probe::of(parts.uri.path()) {
            return match parts.method {
                Method::GET => Ok(Begun::Answered(
                    probe.answer(&self.readiness.borrow(), self.is_draining()),
                )),
                _ => Err(Error::Method { allow: "GET, OPTIONS" }),
            };
        }
        if parts.uri.path() == "/metrics" {
            return match parts.method {
                Method::GET => Ok(Begun::Metrics),
                _ => Err(Error::Method { allow: "GET, OPTIONS" }),
            };
        }
        let known = [
            Method::GET,
            Method::POST,
            Method::PATCH,
            Method::PUT,
            Method::DELETE,
            Method::HEAD,
        ];
        if !known.contains(&parts.method) {
            return Err(Error::Method { allow: ALLOW });
        }
        if self.is_draining() {
            return Err(Error::Draining);
        }
        let matched = self.router.find(parts.uri.path()).ok_or(Error::UnknownPath)?;
        Ok(Begun::Routed(matched))
    }

    async fn exposed(&self, parts: &Parts) -> Response<Full<Bytes>> {
        let accept = parts.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let rendered = self.exposition.render(accept.unwrap_or_default()).await;
        let mut response = Response::new(Full::new(rendered.text.into()));
        let content_type = HeaderValue::from_static(rendered.content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }
}

/// What is known of a request before there is a response. A client that leaves ends the span without a status.
#[derive(Default)]
struct Told<'a> {
    route: Option<&'a str>,
    span: Span,
    /// Of a request that is limited, in the order in which it was counted.
    standings: Vec<Standing<'a>>,
}

impl Told<'_> {
    /// `invocation` is the one that answers, which may be that of an earlier request with the same key.
    fn end(mut self, invocation: InvocationId, status: StatusCode) {
        self.span.set_text("nexus.invocation.id", invocation);
        self.span.set("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            self.span.fail("a server error");
        }
    }
}

/// What came of a request's head.
enum Begun<'a> {
    Answered(Response<Full<Bytes>>),
    Metrics,
    Routed(Matched<'a>),
}

fn expects_continue(parts: &Parts) -> bool {
    parts
        .headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn header_value(invocation: InvocationId) -> HeaderValue {
    let mut buffer = [0; Hyphenated::LENGTH];
    let text: &str = invocation.0.hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).expect("a UUID is hexadecimal digits and hyphens")
}
