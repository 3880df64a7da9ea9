//! Counters, gauges and histograms, and how they are exposed to Prometheus.
//!
//! A crate that counts something owns its metrics as a plain struct, counts wherever it is, and registers them when the host is
//! wired together ([`Registry`]). What can be looked up when somebody asks ([`Observed`]) costs nothing until then.

mod exposition;
mod observed;
mod process;
mod series;

pub use exposition::{Exposition, Rendered};
pub use observed::Observed;
pub use process::register_process;
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;
pub use prometheus_client::registry::{Registry, Unit};
pub use series::Series;

/// Bounds of what a client waits for, seconds: those of OpenTelemetry's `http.server.request.duration`.
pub const REQUEST_SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Bounds of what happens within a request, seconds.
pub const SHORT_SECONDS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
