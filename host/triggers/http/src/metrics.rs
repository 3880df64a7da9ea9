//! What requests cost, by route, and which of them are limited.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use host_metrics::{Counter, Histogram, Observed, REQUEST_SECONDS, Registry, Series};
use http::{Method, StatusCode};

/// The route of a request that no route matches, and of the host's own answers.
const NO_ROUTE: &str = "_none";

/// Requests, counted and timed. Clones share everything.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    duration: Series<Histogram, 3>,
    limited: Series<Counter, 3>,
    active: Arc<AtomicI64>,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let labels = ["http_request_method", "http_response_status_code", "http_route"];
        Self {
            duration: Series::new(labels, || Histogram::new(REQUEST_SECONDS)),
            limited: Series::counters(["component", "policy", "outcome"]),
            active: Arc::default(),
        }
    }
}

impl HttpMetrics {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_server_request_duration_seconds",
            "From the head of a request to the head of its response",
            self.duration.clone(),
        );
        registry.register(
            "nexus_rate_limited_requests",
            "Requests with a rate limit, by what it said",
            self.limited.clone(),
        );
        let active = Arc::clone(&self.active);
        registry.register(
            "http_server_active_requests",
            "Requests that have no response yet",
            Observed::gauge(move || active.load(Ordering::Relaxed) as f64),
        );
    }

    /// A request has begun; it is under way until what this returns is dropped.
    pub(crate) fn begin(&self) -> Active<'_> {
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(&self.active)
    }

    /// A request was counted against a limit, or could not be.
    pub(crate) fn limited(&self, component: &str, policy: &str, outcome: &str) {
        self.limited.of(&[component, policy, outcome]).inc();
    }

    /// A request was answered.
    pub(crate) fn answered(&self, method: &Method, status: StatusCode, route: Option<&str>, duration_ns: u64) {
        // Anybody can send any method: those that are none count as one.
        let method = match method.as_str() {
            known @ ("GET" | "POST" | "PATCH" | "PUT" | "DELETE" | "HEAD" | "OPTIONS") => known,
            _ => "_OTHER",
        };
        let duration = self.duration.of(&[method, status.as_str(), route.unwrap_or(NO_ROUTE)]);
        duration.observe(duration_ns as f64 / 1e9);
    }
}

/// A request under way.
pub(crate) struct Active<'a>(&'a AtomicI64);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
