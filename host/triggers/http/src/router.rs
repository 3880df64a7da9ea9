//! Which component answers a path.

use std::cmp::Reverse;
use std::sync::Arc;

use host_manifest::{App, Component, Limits};

/// The manifest's routes, most specific first.
pub(crate) struct Router {
    app: Arc<App>,
    routes: Vec<Entry>,
}

struct Entry {
    /// In `app.routes`.
    index: usize,
    /// The pattern, rendered once.
    text: String,
}

/// A route and its component.
pub(crate) struct Matched<'a> {
    /// The pattern as the manifest writes it.
    pub(crate) route: &'a str,
    pub(crate) component: &'a Component,
}

impl Router {
    pub(crate) fn new(app: Arc<App>) -> Self {
        let mut routes: Vec<_> = (app.routes.iter().enumerate())
            .map(|(index, route)| Entry {
                index,
                text: route.pattern.to_string(),
            })
            .collect();
        routes.sort_by_cached_key(|entry| Reverse(app.routes[entry.index].pattern.specificity()));
        Self { app, routes }
    }

    /// The most specific route that stands for this path (percent-encoded, without its query).
    pub(crate) fn find(&self, path: &str) -> Option<Matched<'_>> {
        let entry = self
            .routes
            .iter()
            .find(|entry| self.app.routes[entry.index].pattern.matches(path))?;
        let component = self.app.components.get(&self.app.routes[entry.index].component)?;
        Some(Matched {
            route: &entry.text,
            component,
        })
    }

    /// The largest body that is read whole before a component sees it, bytes.
    pub(crate) fn largest_body(&self) -> u64 {
        self.app
            .components
            .values()
            .map(|component| component.limits.body_limit_bytes)
            .max()
            .unwrap_or(0)
            .min(Limits::MAX_BODY_BYTES)
    }
}
