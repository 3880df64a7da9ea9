//! Where spans are exported to: OTLP over HTTP, by the standard variables `OTEL_*`. Nothing is set up unless one of them asks for it, and
//! nothing that is wrong with it stops a host: it says so, and goes on without.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
/// What the standard says of an export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the environment asks for. Must be called within the runtime, which sends what the exporter's thread hands over.
pub(crate) fn from_environment() -> Traces {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let traces = Asked::read(variable).and_then(|asked| asked.map(begin).transpose());
    match traces {
        Ok(traces) => traces.unwrap_or_default(),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "spans are not exported");
            Traces::default()
        }
    }
}

/// Waits until what has ended is exported, or it is clear that it cannot be.
pub(crate) async fn flush(traces: Traces) {
    // Its own thread exports; waiting for that must not hold up this one.
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || traces.shutdown()).await {
        tracing::warn!(error, "the last spans were not exported");
    }
}

/// What variables ask for that the SDK does not read itself.
#[derive(Debug, PartialEq)]
struct Asked {
    timeout: Duration,
    /// A name is given elsewhere.
    is_named: bool,
}

impl Asked {
    /// None: nobody asks for anything.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
        let endpoint = first(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        match variable("OTEL_TRACES_EXPORTER").as_deref() {
            Some("otlp") => {}
            None if endpoint.is_some() => {}
            Some("none") | None => return Ok(None),
            Some(other) => bail!("OTEL_TRACES_EXPORTER is {other:?}: it may be `otlp`, or `none`"),
        }
        let protocol = first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        if let Some((name, protocol)) = protocol.filter(|(_, protocol)| protocol != "http/protobuf") {
            bail!("{name} is {protocol:?}: it may be `http/protobuf`, which most collectors take at port 4318");
        }
        let timeout = first(["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]);
        let timeout_ms = timeout.and_then(|(_, text)| text.parse().ok());
        let names = |attributes: String| {
            let mut pairs = attributes.split(',');
            pairs.any(|pair| pair.trim_start().starts_with("service.name="))
        };
        Ok(Some(Self {
            timeout: timeout_ms.map_or(EXPORT_TIMEOUT, Duration::from_millis),
            is_named: variable("OTEL_SERVICE_NAME").is_some()
                || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(names),
        }))
    }
}

fn begin(asked: Asked) -> Result<Traces> {
    // What it says of a variable may hold what is in it: of headers that is a secret.
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Exporting::new(asked.timeout)?)
        .build()
        .ok()
        .context(
            "the variables OTEL_EXPORTER_OTLP_* cannot be used: is the endpoint a URL, and no compression asked for?",
        )?;
    let mut resource = Resource::builder();
    if !asked.is_named {
        resource = resource.with_service_name(env!("CARGO_BIN_NAME"));
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build());
    Ok(Traces::new(provider))
}

/// Sends spans on the runtime's threads: the exporter has a thread of its own, which knows no runtime.
struct Exporting {
    runtime: Handle,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// A collector that takes a request and says nothing would hold the exporter's thread for good.
    timeout: Duration,
    /// The last one failed, and that was said.
    is_failing: AtomicBool,
}

impl Exporting {
    fn new(timeout: Duration) -> Result<Self> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        // Named, since a process may hold more than one implementation and then has no default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self {
            runtime: Handle::current(),
            client: Client::builder(TokioExecutor::new()).build(connector),
            timeout,
            is_failing: AtomicBool::new(false),
        })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let (client, timeout) = (self.client.clone(), self.timeout);
        let exchange = async move {
            let response = client.request(request.map(Full::new)).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
            anyhow::Ok(Response::from_parts(parts, body))
        };
        let sent = self
            .runtime
            .spawn(async move { tokio::time::timeout(timeout, exchange).await });
        sent.await?.with_context(|| format!("no answer within {timeout:?}"))?
    }

    /// Says once that exports fail, and once that they no longer do.
    fn tell(&self, sent: &Result<Response<Bytes>>) {
        let failure = match sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("the collector answers {}", response.status())),
            Err(error) => Some(format!("{error:#}")),
        };
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_failing => tracing::warn!(error, "spans cannot be exported, and are lost"),
            None if was_failing => tracing::info!("spans are exported again"),
            Some(_) | None => {}
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
        let sent = self.send(request).await;
        self.tell(&sent);
        Ok(sent?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Asked>, String> {
        let variable = |name: &str| variables.iter().find(|(key, _)| *key == name);
        let read = Asked::read(|name| variable(name).map(|(_, value)| (*value).to_owned()));
        read.map_err(|error| error.to_string())
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    #[test]
    fn nothing_is_exported_unless_it_is_asked_for() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")]), Ok(None));
        assert_eq!(read(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), Ok(None));
        let plain = Asked {
            timeout: EXPORT_TIMEOUT,
            is_named: false,
        };
        assert_eq!(read(&[ENDPOINT]), Ok(Some(plain)));
    }

    #[test]
    fn a_variable_of_traces_stands_before_the_one_for_all() {
        let asked = read(&[
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "7"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "8"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=shop"),
        ]);
        let expected = Asked {
            timeout: Duration::from_millis(8),
            is_named: true,
        };
        assert_eq!(asked, Ok(Some(expected)));
    }

    #[test]
    fn what_it_cannot_do_it_names() {
        let grpc = read(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap_err();
        assert!(grpc.contains("OTEL_EXPORTER_OTLP_PROTOCOL is \"grpc\"") && grpc.contains("http/protobuf"));
        let console = read(&[("OTEL_TRACES_EXPORTER", "console")]).unwrap_err();
        assert!(console.contains("\"console\"") && console.contains("`otlp`"));
    }
}
