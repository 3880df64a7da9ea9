//! A collector of spans: OTLP over HTTP, in protobuf.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
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
    address: SocketAddr,
    spans: watch::Sender<Vec<Span>>,
    serving: tokio::task::JoinHandle<()>,
}

/// What is exported arrives soon or never.
const PATIENCE: Duration = Duration::from_secs(30);

impl Collector {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let spans = watch::Sender::default();
        let serving = tokio::spawn(serve(listener, spans.clone()));
        Ok(Self {
            address,
            spans,
            serving,
        })
    }

    /// A host that exports to it, often.
    pub(crate) fn options(&self) -> NexusOptions {
        let endpoint = format!("http://{}", self.address);
        NexusOptions {
            environment: vec![
                ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), endpoint),
                ("OTEL_BSP_SCHEDULE_DELAY".into(), "50".into()),
            ],
        }
    }

    /// The spans of a trace, once some of them are what is waited for.
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
                let told: Vec<_> = of_trace(&self.spans.borrow())
                    .iter()
                    .map(|span| span.name.clone())
                    .collect();
                Err(anyhow::anyhow!("of the trace only {told:?} arrived")).context(trace_id.to_owned())
            }
        }
    }

    /// How many spans have arrived.
    pub(crate) fn count(&self) -> usize {
        self.spans.borrow().len()
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
    let body = request.into_body().collect().await.expect("a whole body").to_bytes();
    let exported = ExportTraceServiceRequest::decode(body).expect("an export of spans");
    let scopes = exported
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans);
    spans.send_modify(|spans| spans.extend(scopes.flat_map(|scope| scope.spans)));
    Response::new(Full::default())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
