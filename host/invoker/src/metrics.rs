//! What becomes of invocations on this node.

use host_metrics::{Counter, Observed, Registry, Series};
use host_recorder::Tallied;
use host_types::{ComponentId, Fault};

use crate::invoker::Invoker;
use crate::run::Ended;

/// Counted where it happens.
#[derive(Debug, Clone)]
pub(crate) struct InvokerMetrics {
    runs: Series<Counter, 2>,
    attempts: Series<Counter, 2>,
    retries: Series<Counter, 1>,
    pauses: Series<Counter, 1>,
    journal_bytes: Series<Counter, 1>,
    business_bytes: Series<Counter, 1>,
    takeovers: Counter,
    turns_refused: Series<Counter, 1>,
    open_refused: Series<Counter, 1>,
}

impl Default for InvokerMetrics {
    fn default() -> Self {
        Self {
            runs: Series::counters(["component", "outcome"]),
            attempts: Series::counters(["component", "outcome"]),
            retries: Series::counters(["component"]),
            pauses: Series::counters(["component"]),
            journal_bytes: Series::counters(["component"]),
            business_bytes: Series::counters(["component"]),
            takeovers: Counter::default(),
            turns_refused: Series::counters(["component"]),
            open_refused: Series::counters(["component"]),
        }
    }
}

impl InvokerMetrics {
    /// A run is over: here, or as far as this node is concerned.
    pub(crate) fn ran(&self, component: &ComponentId, ended: &Ended) {
        let outcome = match ended {
            Ended::Output(_) => "returned",
            Ended::Failed(_) => "failed",
            Ended::KeyTaken => "key_taken",
            Ended::Open => "open",
        };
        self.runs.of(&[component.as_str(), outcome]).inc();
    }

    /// An attempt is over.
    pub(crate) fn attempted(&self, component: &ComponentId, fault: Option<&Fault>, wrote: Tallied) {
        let component = component.as_str();
        self.attempts
            .of(&[component, fault.map_or("returned", Fault::word)])
            .inc();
        if wrote != Tallied::default() {
            self.journal_bytes.of(&[component]).inc_by(wrote.journal_bytes);
            self.business_bytes.of(&[component]).inc_by(wrote.business_bytes);
        }
    }

    /// Another attempt follows a failed one.
    pub(crate) fn retried(&self, component: &ComponentId) {
        self.retries.of(&[component.as_str()]).inc();
    }

    /// A person has to move it on.
    pub(crate) fn paused(&self, component: &ComponentId) {
        self.pauses.of(&[component.as_str()]).inc();
    }

    /// Invocations of a dead node are this one's now.
    pub(crate) fn took_over(&self, count: usize) {
        self.takeovers.inc_by(count as u64);
    }

    /// There was no turn in time.
    pub(crate) fn refused(&self, component: &ComponentId) {
        self.turns_refused.of(&[component.as_str()]).inc();
    }

    /// As many were open as may be.
    pub(crate) fn full(&self, component: &ComponentId) {
        self.open_refused.of(&[component.as_str()]).inc();
    }
}

impl Invoker {
    /// Registers what can be told of this node's work.
    pub fn register(&self, registry: &mut Registry) {
        let InvokerMetrics {
            runs,
            attempts,
            retries,
            pauses,
            journal_bytes,
            business_bytes,
            takeovers,
            turns_refused,
            open_refused,
        } = self.inner.metrics.clone();
        registry.register(
            "nexus_runs",
            "Runs of invocations on this node that ended, by component and outcome",
            runs,
        );
        registry.register(
            "nexus_attempts",
            "Attempts that ended, by component and outcome",
            attempts,
        );
        registry.register("nexus_retries", "Failed attempts that another one follows", retries);
        registry.register("nexus_pauses", "Invocations that were paused after a failure", pauses);
        registry.register(
            "nexus_journal_bytes",
            "Bytes of journal entries made durable, by the component the invocation began in",
            journal_bytes,
        );
        registry.register(
            "nexus_business_bytes",
            "Bytes of parameters of committed statements that write, by the component the invocation began in",
            business_bytes,
        );
        registry.register("nexus_takeovers", "Invocations taken over from dead nodes", takeovers);
        registry.register(
            "nexus_turns_refused",
            "Invocations for which there was no turn in time",
            turns_refused,
        );
        registry.register(
            "nexus_open_refused",
            "Requests that were refused since as many invocations are open as may be",
            open_refused,
        );
        let inner = self.inner.clone();
        registry.register(
            "nexus_runs_active",
            "Invocations at work on this node",
            Observed::gauge(move || inner.here.lock().len() as f64),
        );
        let inner = self.inner.clone();
        registry.register(
            "nexus_turns_free",
            "Attempts that could begin at once",
            Observed::gauge(move || inner.free_turns() as f64),
        );
        let inner = self.inner.clone();
        registry.register(
            "nexus_waits_held",
            "Waits that keep their instances",
            Observed::gauge(move || inner.waits.held() as f64),
        );
        let inner = self.inner.clone();
        registry.register(
            "nexus_lease_left_seconds",
            "For how long this node still owns its invocations for certain",
            Observed::gauge(move || inner.lease_term.left().as_secs_f64()),
        );
    }
}
