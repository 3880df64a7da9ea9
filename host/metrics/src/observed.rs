//! What is looked up when somebody asks.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// A number that is known elsewhere: a length, a counter of somebody else's.
pub struct Observed<F> {
    look: F,
    kind: MetricType,
}

impl<F: Fn() -> f64 + Send + Sync + 'static> Observed<F> {
    /// A number that goes up and down.
    pub fn gauge(look: F) -> Self {
        Self {
            look,
            kind: MetricType::Gauge,
        }
    }

    /// A number that only grows.
    pub fn counter(look: F) -> Self {
        Self {
            look,
            kind: MetricType::Counter,
        }
    }
}

impl<F: Fn() -> f64 + Send + Sync + 'static> EncodeMetric for Observed<F> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match self.kind {
            MetricType::Counter => encoder.encode_counter::<NoLabelSet, _, f64>(&(self.look)(), None),
            _ => encoder.encode_gauge(&(self.look)()),
        }
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}

impl<F> fmt::Debug for Observed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observed(..)")
    }
}
