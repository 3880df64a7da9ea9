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
    /// Which requests; no two limits of a component name the same, unless one counts by a member.
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LimitedBy {
    /// Those of the account that a valid token names; those without one by their address.
    #[default]
    Account,
    /// Those that come from one address, whoever sends them.
    Address,
    /// Those whose body, an object of JSON, has the same text in this member: whom they are about, whoever sends them.
    Member(Member),
}

/// A member of a body that says whom a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its name, as JSON has it.
    pub name: String,
    /// Which texts are the same.
    pub spelling: Spelling,
}

/// Which texts of a member mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spelling {
    /// Those that are the same.
    #[default]
    Exact,
    /// Those too that differ in case, and in the white space around them.
    Folded,
}

impl Member {
    /// The text that stands for all that mean the same as this one.
    pub fn counted_as(&self, text: String) -> String {
        match self.spelling {
            Spelling::Exact => text,
            Spelling::Folded => text.trim().to_lowercase(),
        }
    }
}

impl LimitedBy {
    /// Whether a request's head says whose it is.
    pub fn is_by_head(&self) -> bool {
        !matches!(self, Self::Member(_))
    }
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
    /// What limits this request (method in upper case, path percent-encoded) by what its head says: the limit with the most specific line.
    pub fn rate_limit(&self, method: &str, path: &str) -> Option<&RateLimit> {
        self.best_rate_limit(method, path, LimitedBy::is_by_head)
    }

    /// What limits it by a member of its body, in the same way; and the member.
    pub fn rate_limit_by_member(&self, method: &str, path: &str) -> Option<(&RateLimit, &Member)> {
        let limit = self.best_rate_limit(method, path, |by| !by.is_by_head())?;
        match &limit.by {
            LimitedBy::Member(member) => Some((limit, member)),
            LimitedBy::Account | LimitedBy::Address => None,
        }
    }

    fn best_rate_limit(&self, method: &str, path: &str, is_meant: impl Fn(&LimitedBy) -> bool) -> Option<&RateLimit> {
        let meant = self.rate_limits.iter().filter(|limit| is_meant(&limit.by));
        let lines = meant.flat_map(|limit| limit.routes.iter().map(move |route| (limit, route)));
        let matching = lines.filter(|(_, route)| route.method == method && route.pattern.matches(path));
        let best = matching.max_by_key(|(_, route)| route.pattern.specificity());
        best.map(|(limit, _)| limit)
    }
}
