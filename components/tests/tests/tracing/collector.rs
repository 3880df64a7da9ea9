//! A collector of spans: OTLP over HTTP, in protobuf.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use component_tests::NexusOptions;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Keeps every span it is sent, for as long as this lives.
pub(crate) struct Collector {
    url: String,
    spans: watch::Sender<Vec<Span>>,
    serving: tokio::task::JoinHandle<()>,
}

/// What is exported arrives soon or never.
const PATIENCE: Duration = Duration::from_secs(30);

impl Collector {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let spans = watch::Sender::default();
        let serving = tokio::spawn(serve(listener, spans.clone()));
        Ok(Self { url, spans, serving })
    }

    /// What makes a host export to it, often.
    pub(crate) fn variables(&self) -> [(&str, &str); 2] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ]
    }

    /// A host that exports to it, with these variables besides.
    pub(crate) fn options(&self, further: &[(&str, &str)]) -> NexusOptions {
        NexusOptions::with(&[&self.variables(), further].concat())
    }

    /// The spans of a trace, once these are what is waited for.
    pub(crate) async fn trace(&self, trace_id: &str, complete: impl Fn(&[Span]) -> bool) -> Result<Vec<Span>> {
        let of_trace = |spans: &[Span]| {
            let spans = spans.iter().filter(|span| hex(&span.trace_id) == trace_id);
            spans.cloned().collect::<Vec<_>>()
        };
        let mut spans = self.spans.subscribe();
        let arrived = spans.wait_for(|spans| complete(&of_trace(spans)));
        match tokio::time::timeout(PATIENCE, arrived).await {
            Ok(spans) => Ok(of_trace(&spans?)),
            Err(_) => {
                let came: Vec<_> = of_trace(&self.spans.borrow()).iter().map(told).collect();
                bail!("of the trace {trace_id} only this arrived: {came:#?}")
            }
        }
    }

    /// Every span that has arrived.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.borrow().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, spans: watch::Sender<Vec<Span>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let spans = spans.clone();
        let service = service_fn(move |request| {
            let spans = spans.clone();
            async move { Ok::<_, Infallible>(receive(request, &spans).await) }
        });
        // Ends with the connection.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn receive(request: Request<Incoming>, spans: &watch::Sender<Vec<Span>>) -> Response<Full<Bytes>> {
    assert_eq!(request.uri().path(), "/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let Ok(body) = request.into_body().collect().await else {
        // Its host was killed.
        return Response::default();
    };
    let exported = ExportTraceServiceRequest::decode(body.to_bytes()).expect("an export of spans");
    let resources = exported.resource_spans.into_iter();
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    spans.send_modify(|spans| spans.extend(scopes.flat_map(|scope| scope.spans)));
    Response::default()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// What a span says under this key.
pub(crate) fn said(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.as_ref()?.value.clone());
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        _ => String::new(),
    }
}

/// A span in a line, for whoever reads a failure.
pub(crate) fn told(span: &Span) -> String {
    let (id, parent) = (hex(&span.span_id), hex(&span.parent_span_id));
    let (invocation, position) = (said(span, "nexus.invocation.id"), said(span, "nexus.position"));
    format!("{id} in {parent}: {} {invocation} {position}", span.name)
}

/// The spans whose parent is neither among these nor `outside`.
pub(crate) fn orphans<'a>(spans: &'a [Span], outside: &str) -> Vec<&'a Span> {
    let ids: HashSet<&[u8]> = spans.iter().map(|span| span.span_id.as_slice()).collect();
    assert_eq!(ids.len(), spans.len(), "a span was told twice");
    let is_known = |span: &&Span| ids.contains(span.parent_span_id.as_slice()) || hex(&span.parent_span_id) == outside;
    spans.iter().filter(|span| !is_known(span)).collect()
}
