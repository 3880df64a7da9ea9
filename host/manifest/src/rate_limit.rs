//! How often a caller may ask.

use crate::{Component, Location, RoutePattern};

/// One table of `rate_limits`: requests that share a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// What clients and metrics call it; unique within the component.
    pub name: String,
    /// Requests of one caller in one window, at least one.
    pub quota: u64,
    /// How long a window is, seconds. It begins with a caller's first request.
    pub window_seconds: u32,
    /// Whose requests are counted together.
    pub by: LimitedBy,
    /// What becomes of a request that could not be counted.
    pub unknown: Uncounted,
    /// Which requests; no two limits of a component name the same.
    pub routes: Vec<LimitedRoute>,
}

/// Requests that are limited.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitedRoute {
    /// Upper case.
    pub method: String,
    /// Which paths; all of them within the component's routes.
    pub pattern: RoutePattern,
    /// Where the manifest says so.
    pub at: Location,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LimitedBy {
    /// Those of the account that a valid token names; those without one by their address.
    #[default]
    Account,
    /// Those that come from one address, whoever sends them.
    Address,
}

/// What becomes of a request while nobody can say how many there were before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Uncounted {
    /// It is let through.
    #[default]
    Allow,
    /// It is refused.
    Refuse,
}

impl Component {
    /// What limits this request (method in upper case, path percent-encoded): the limit with the most specific line.
    pub fn rate_limit(&self, method: &str, path: &str) -> Option<&RateLimit> {
        let lines = self
            .rate_limits
            .iter()
            .flat_map(|limit| limit.routes.iter().map(move |route| (limit, route)));
        let matching = lines.filter(|(_, route)| route.method == method && route.pattern.matches(path));
        let best = matching.max_by_key(|(_, route)| route.pattern.specificity());
        best.map(|(limit, _)| limit)
    }
}
