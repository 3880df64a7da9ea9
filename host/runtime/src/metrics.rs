//! Instances, and how their code came to be.

use host_engine::CacheOutcome;
use host_metrics::{Counter, Gauge, Histogram, REQUEST_SECONDS, Registry, Series};
use host_types::ComponentId;

use crate::Runtime;

/// Counted where it happens.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeMetrics {
    instances: Series<Counter, 1>,
    live: Series<Gauge, 1>,
    refused: Series<Counter, 1>,
    loads: Series<Counter, 1>,
    compilation: Histogram,
}

/// Of one component's instances.
#[derive(Debug, Clone)]
pub(crate) struct InstanceMetrics {
    pub(crate) started: Counter,
    pub(crate) refused: Counter,
    live: Gauge,
}

/// An instance, as long as this is there.
pub(crate) struct Live(Gauge);

impl Default for RuntimeMetrics {
    fn default() -> Self {
        Self {
            instances: Series::counters(["component"]),
            live: Series::gauges(["component"]),
            refused: Series::counters(["component"]),
            loads: Series::counters(["outcome"]),
            compilation: Histogram::new(REQUEST_SECONDS),
        }
    }
}

impl RuntimeMetrics {
    pub(crate) fn of(&self, component: &ComponentId) -> InstanceMetrics {
        let component = [component.as_str()];
        InstanceMetrics {
            started: self.instances.of(&component),
            refused: self.refused.of(&component),
            live: self.live.of(&component),
        }
    }

    /// A component's code is there.
    pub(crate) fn loaded(&self, outcome: CacheOutcome) {
        match outcome {
            CacheOutcome::Hit => self.loads.of(&["hit"]).inc(),
            CacheOutcome::Compiled(duration) => {
                self.compilation.observe(duration.as_secs_f64());
                self.loads.of(&["compiled"]).inc()
            }
        };
    }
}

impl InstanceMetrics {
    pub(crate) fn live(&self) -> Live {
        self.live.inc();
        Live(self.live.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Runtime {
    /// Registers what can be told of instances.
    pub fn register(&self, registry: &mut Registry) {
        let RuntimeMetrics {
            instances,
            live,
            refused,
            loads,
            compilation,
        } = self.metrics.clone();
        registry.register("nexus_instances_started", "Instances begun, by component", instances);
        registry.register("nexus_instances_live", "Instances there are, by component", live);
        registry.register(
            "nexus_instances_refused",
            "Instances that could not begin because as many as may be were there",
            refused,
        );
        registry.register(
            "nexus_components_loaded",
            "Components whose code was made available, by where it came from",
            loads,
        );
        registry.register(
            "nexus_compilation_seconds",
            "How long compiling a component took",
            compilation,
        );
    }
}
