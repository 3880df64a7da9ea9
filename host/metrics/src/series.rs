//! One metric for each combination of label values, and never more of them than a bound.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Combinations of one metric at most. What would be more is counted under [`OTHER`] in each label.
const MAX_COMBINATIONS: usize = 2_000;

/// The value of every label beyond the bound.
const OTHER: &str = "_other";

/// A metric by `N` labels. Clones share everything.
pub struct Series<M, const N: usize> {
    inner: Arc<Inner<M, N>>,
}

struct Inner<M, const N: usize> {
    labels: [&'static str; N],
    make: fn() -> M,
    metrics: RwLock<HashMap<Values<N>, M>>,
}

/// Label values, owned.
struct Values<const N: usize>([Box<str>; N]);

/// Label values as they are looked up.
struct Asked<'a, const N: usize>(&'a [&'a str; N]);

impl<M: Clone, const N: usize> Series<M, N> {
    /// No combination yet.
    pub fn new(labels: [&'static str; N], make: fn() -> M) -> Self {
        let metrics = RwLock::default();
        Self {
            inner: Arc::new(Inner { labels, make, metrics }),
        }
    }

    /// The metric of this combination, to keep or to count at once.
    pub fn of(&self, values: &[&str; N]) -> M {
        if let Some(metric) = self.inner.metrics.read().get(&Asked(values)) {
            return metric.clone();
        }
        let mut metrics = self.inner.metrics.write();
        let values = match metrics.len() < MAX_COMBINATIONS || metrics.contains_key(&Asked(values)) {
            true => values.map(Box::from),
            false => [OTHER; N].map(Box::from),
        };
        metrics.entry(Values(values)).or_insert_with(self.inner.make).clone()
    }
}

impl<M, const N: usize> Series<M, N> {
    /// Every metric there is.
    pub fn for_each(&self, each: impl FnMut(&M)) {
        self.inner.metrics.read().values().for_each(each);
    }
}

impl<const N: usize> Series<Counter, N> {
    /// Counters by these labels.
    pub fn counters(labels: [&'static str; N]) -> Self {
        Self::new(labels, Counter::default)
    }
}

impl<const N: usize> Series<Gauge, N> {
    /// Gauges by these labels.
    pub fn gauges(labels: [&'static str; N]) -> Self {
        Self::new(labels, Gauge::default)
    }
}

impl<M: EncodeMetric + TypedMetric, const N: usize> EncodeMetric for Series<M, N> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Inner { labels, metrics, .. } = &*self.inner;
        for (values, metric) in metrics.read().iter() {
            let mut values = values.0.iter();
            let pairs = labels.map(|label| (label, values.next().map_or("", |value| &**value)));
            metric.encode(encoder.encode_family(&pairs)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.inner.metrics.read().is_empty()
    }
}

impl<M, const N: usize> Clone for Series<M, N> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<M, const N: usize> fmt::Debug for Series<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Series({:?})", self.inner.labels)
    }
}

impl<const N: usize> Hash for Values<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|value| value.hash(state));
    }
}

impl<const N: usize> Hash for Asked<'_, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|value| value.hash(state));
    }
}

impl<const N: usize> PartialEq for Values<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<const N: usize> Eq for Values<N> {}

impl<const N: usize> Equivalent<Values<N>> for Asked<'_, N> {
    fn equivalent(&self, key: &Values<N>) -> bool {
        self.0.iter().zip(&key.0).all(|(asked, value)| **asked == **value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_combination_counts_for_itself() {
        let series = Series::counters(["route", "status"]);
        series.of(&["/a", "200"]).inc();
        series.of(&["/a", "200"]).inc();
        series.of(&["/a", "404"]).inc();
        assert_eq!(series.of(&["/a", "200"]).get(), 2);
        assert_eq!(series.clone().of(&["/a", "404"]).get(), 1);
    }

    #[test]
    fn combinations_beyond_the_bound_are_counted_together() {
        let series = Series::counters(["path"]);
        for number in 0..MAX_COMBINATIONS + 50 {
            series.of(&[&number.to_string()]).inc();
        }
        assert_eq!(series.of(&[OTHER]).get(), 50);
        assert_eq!(series.of(&["7"]).get(), 1, "what is known stays known");
        let mut combinations = 0;
        series.for_each(|_| combinations += 1);
        assert_eq!(combinations, MAX_COMBINATIONS + 1);
    }
}
