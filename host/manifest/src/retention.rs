//! How long what has ended is remembered: invocations with their journals, and the keys of requests.

use crate::{Component, Location, RoutePattern};

/// What a component's manifest says of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Retention {
    /// Of its invocations, counted from their end, milliseconds; none: the host's own.
    pub invocations_ms: Option<u64>,
    /// Of idempotency keys, counted from the request that took one, milliseconds.
    pub keys_ms: u64,
    /// The same for some of its requests.
    pub keys_for: Vec<KeyRetention>,
}

/// One line of `key_retention_for`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KeyRetention {
    /// Upper case.
    pub method: String,
    /// Which paths; all of them within the component's routes.
    pub pattern: RoutePattern,
    /// How long their keys are remembered, milliseconds.
    pub ms: u64,
    /// Where the manifest says so.
    pub at: Location,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            invocations_ms: None,
            keys_ms: 24 * 3_600_000,
            keys_for: Vec::new(),
        }
    }
}

impl Component {
    /// How long the key of this request (method in upper case, path percent-encoded) is remembered, milliseconds: as the most specific
    /// line says, else as the component does.
    pub fn key_retention_ms(&self, method: &str, path: &str) -> u64 {
        let matching = self.retention.keys_for.iter();
        let matching = matching.filter(|rule| rule.method == method && rule.pattern.matches(path));
        let best = matching.max_by_key(|rule| rule.pattern.specificity());
        best.map_or(self.retention.keys_ms, |rule| rule.ms)
    }
}
