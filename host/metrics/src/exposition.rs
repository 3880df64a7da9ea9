//! All metrics as text: Prometheus' own form, and OpenMetrics for those who ask for it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

/// What has to be looked up, with an await, before the metrics are written.
type Refresh = dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// All metrics of a process.
#[derive(Default)]
pub struct Exposition {
    registry: Registry,
    refresh: Option<Box<Refresh>>,
}

/// Metrics as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Of the text.
    pub content_type: &'static str,
    /// One line a number.
    pub text: String,
}

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Exposition {
    /// These, without anything to look up before.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            refresh: None,
        }
    }

    /// `refresh` is awaited before each rendering; that it is not called too often is its own business.
    pub fn refreshed(
        self,
        refresh: impl Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            refresh: Some(Box::new(refresh)),
            ..self
        }
    }

    /// All of them, in the form that `accept`, a request's header, asks for.
    pub async fn render(&self, accept: &str) -> Rendered {
        if let Some(refresh) = &self.refresh {
            refresh().await;
        }
        let is_open = accept.contains("application/openmetrics-text");
        let mut text = String::with_capacity(16 << 10);
        let written = match is_open {
            true => text::encode(&mut text, &self.registry),
            false => prometheus_text::encode(&mut text, &self.registry),
        };
        // Writing to a string cannot fail.
        written.expect("metrics have a text");
        Rendered {
            content_type: if is_open { OPEN_METRICS } else { PROMETHEUS },
            text,
        }
    }
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exposition(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::{Observed, Series};

    #[tokio::test]
    async fn each_form_is_what_its_readers_expect() {
        let mut registry = Registry::default();
        let begun = Series::counters(["component"]);
        begun.of(&["order \"x\"\n"]).inc();
        registry.register("nexus_invocations_begun", "How many have begun", begun);
        registry.register("nexus_nothing", "No combination yet", Series::counters(["component"]));
        registry.register("nexus_lease_age", "Since the last heartbeat", Observed::gauge(|| 1.5));
        registry.register("nexus_dropped", "Never written", Observed::counter(|| 3.0));
        let looked = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&looked);
        let exposition = Exposition::new(registry).refreshed(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(std::future::ready(()))
        });
        let Rendered { content_type, text } = exposition.render("*/*").await;
        assert_eq!(content_type, PROMETHEUS);
        assert!(
            text.contains("# TYPE nexus_invocations_begun_total counter\n"),
            "{text}"
        );
        assert!(
            text.contains("nexus_invocations_begun_total{component=\"order \\\"x\\\"\\n\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("nexus_lease_age 1.5\n"), "{text}");
        assert!(!text.contains("nexus_nothing") && !text.contains("EOF"), "{text}");
        let Rendered { content_type, text } = exposition
            .render("application/openmetrics-text;version=1.0.0,*/*;q=0.1")
            .await;
        assert_eq!(content_type, OPEN_METRICS);
        assert!(
            text.contains("# TYPE nexus_dropped counter\n") && text.ends_with("# EOF\n"),
            "{text}"
        );
        assert_eq!(looked.load(Ordering::SeqCst), 2);
    }
}
