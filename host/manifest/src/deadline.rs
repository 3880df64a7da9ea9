//! How long what an invocation awaits may take.

use crate::{Component, Location, Retried};

/// One line of `deadline_for`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadlineRule {
    /// What the invocation begins with.
    pub of: Retried,
    /// How long after that, milliseconds.
    pub within_ms: u64,
    /// Where the manifest says so.
    pub at: Location,
}

impl Component {
    /// Of an invocation that begins with this request (method in upper case, path percent-encoded): the most specific line.
    pub fn deadline_of_request(&self, method: &str, path: &str) -> Option<u64> {
        let matching = self.deadline_for.iter().filter(|rule| rule.of.is_request(method, path));
        let best = matching.max_by_key(|rule| rule.of.specificity());
        best.map(|rule| rule.within_ms)
    }

    /// Of an invocation that begins with this function (`shop:order/purchases.has-purchased`).
    pub fn deadline_of_function(&self, qualified: &str) -> Option<u64> {
        let rule = self.deadline_for.iter().find(|rule| rule.of.is_function(qualified));
        rule.map(|rule| rule.within_ms)
    }
}
