//! When a failed attempt is tried again, before the invocation is paused: for a component, and for some of its requests and functions.

use std::fmt;

use crate::{Component, InterfaceName, Location, RoutePattern};

/// When a failed attempt is tried again, before the invocation is paused.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// All attempts, the first included.
    pub attempts: u32,
    /// The wait before the second attempt, milliseconds, before jitter.
    pub initial_ms: u64,
    /// What each further wait is multiplied by.
    pub factor: f64,
    /// The longest wait, milliseconds.
    pub max_ms: u64,
    /// No attempt begins later than this after the invocation did, milliseconds; none: only their number counts.
    pub deadline_ms: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 8,
            initial_ms: 100,
            factor: 2.0,
            max_ms: 30_000,
            deadline_ms: None,
        }
    }
}

/// One line of `retry_for`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RetryRule {
    /// What it is for.
    pub of: Retried,
    /// What holds there; what the line leaves out is the component's.
    pub policy: RetryPolicy,
    /// Where the manifest says so.
    pub at: Location,
}

/// What an invocation began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// A request.
    Request {
        /// Upper case.
        method: String,
        /// Which paths; all of them within the component's routes.
        pattern: RoutePattern,
    },
    /// A function the component exports.
    Function {
        /// The interface; without a version it stands for any.
        interface: InterfaceName,
        /// The function in it.
        function: String,
    },
}

impl Component {
    /// What holds for an invocation that began with this request (method in upper case, path percent-encoded): the most specific
    /// line, else the component's own.
    pub fn retry_of_request(&self, method: &str, path: &str) -> RetryPolicy {
        let matching = self.retry_for.iter().filter_map(|rule| match &rule.of {
            Retried::Request { method: named, pattern } if named == method && pattern.matches(path) => {
                Some((pattern.specificity(), rule.policy))
            }
            _ => None,
        });
        let best = matching.max_by(|(left, _), (right, _)| left.cmp(right));
        best.map_or(self.retry, |(_, policy)| policy)
    }

    /// What holds for an invocation that began with this function (`shop:order/purchases.has-purchased`).
    pub fn retry_of_function(&self, qualified: &str) -> RetryPolicy {
        let called = qualified
            .rsplit_once('.')
            .and_then(|(interface, function)| Some((InterfaceName::parse(interface).ok()?, function)));
        let Some((called, name)) = called else {
            return self.retry;
        };
        let rule = self.retry_for.iter().find(|rule| {
            matches!(&rule.of, Retried::Function { interface, function } if function == name && interface.covers(&called))
        });
        rule.map_or(self.retry, |rule| rule.policy)
    }
}

impl Retried {
    /// Whether this is the request (method in upper case, path percent-encoded).
    pub(crate) fn is_request(&self, method: &str, path: &str) -> bool {
        matches!(self, Self::Request { method: named, pattern } if named == method && pattern.matches(path))
    }

    /// Whether this is the function (`shop:order/purchases.has-purchased`, with or without a version).
    pub(crate) fn is_function(&self, qualified: &str) -> bool {
        let called = qualified
            .rsplit_once('.')
            .and_then(|(interface, function)| Some((InterfaceName::parse(interface).ok()?, function)));
        let Some((called, name)) = called else { return false };
        matches!(self, Self::Function { interface, function } if function == name && interface.covers(&called))
    }

    /// Orders requests by how much of their paths they name.
    pub(crate) fn specificity(&self) -> Option<(usize, bool, Vec<bool>)> {
        match self {
            Self::Request { pattern, .. } => Some(pattern.specificity()),
            Self::Function { .. } => None,
        }
    }
}

impl fmt::Display for Retried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { method, pattern } => write!(f, "{method} {pattern}"),
            Self::Function { interface, function } => write!(f, "{interface}.{function}"),
        }
    }
}
