//! Where spans are exported to: OTLP over HTTP, by the standard variables `OTEL_*`. Nothing is set up unless one of them asks for it.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use host_traces::Traces;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;

/// Of a collector's answer, which says little.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// After this long a collector is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What the environment asks for. Must be called within the runtime, which sends what the exporter's thread hands over.
pub(crate) fn from_environment() -> Result<Traces> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let is_disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let endpoint = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let is_on = match variable("OTEL_TRACES_EXPORTER").as_deref() {
        Some("otlp") => true,
        Some("none") => false,
        Some(other) => bail!("OTEL_TRACES_EXPORTER is {other:?}: spans are exported by `otlp`, or not at all: `none`"),
        None => endpoint.into_iter().any(|name| variable(name).is_some()),
    };
    if is_disabled || !is_on {
        return Ok(Traces::default());
    }
    for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        if let Some(protocol) = variable(name).filter(|protocol| protocol != "http/protobuf") {
            bail!("{name} is {protocol:?}: spans are exported as `http/protobuf`, to port 4318 of most collectors");
        }
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Exporting::new())
        .build()
        .context("the exporter of spans: look at the variables OTEL_EXPORTER_OTLP_*")?;
    let mut resource = Resource::builder();
    let is_named = |attributes: String| {
        attributes
            .split(',')
            .any(|pair| pair.trim_start().starts_with("service.name="))
    };
    if variable("OTEL_SERVICE_NAME").is_none() && !variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(is_named) {
        resource = resource.with_service_name(env!("CARGO_BIN_NAME"));
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build();
    Ok(Traces::new(provider))
}

/// Sends spans on the runtime's threads: the exporter has a thread of its own, which knows no runtime.
struct Exporting {
    runtime: Handle,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Exporting {
    fn new() -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Self {
            runtime: Handle::current(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }
}

impl fmt::Debug for Exporting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporting(..)")
    }
}

#[async_trait::async_trait]
impl HttpClient for Exporting {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let response = client.request(request.map(Full::new)).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(parts, body))
        });
        sent.await?
    }
}
