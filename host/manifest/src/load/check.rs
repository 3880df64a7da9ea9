//! What no table can see alone: things that are there twice, and names that one component makes and another uses.

use std::collections::BTreeSet;

use crate::document::Report;
use crate::error::Error;
use crate::suggest::nearest;
use crate::{App, Component, InterfaceName, KeyName, Location, Retried, RoutePattern};

pub(super) fn across_tables(app: &App, report: &mut Report<'_>) {
    duplicate_routes(app, report);
    duplicate_schemas(app, report);
    identity_keys(app, report);
    for component in app.components.values() {
        unreachable_requests(app, component, report);
        ambiguous_imports(component, report);
    }
}

fn duplicate_routes(app: &App, report: &mut Report<'_>) {
    for (index, route) in app.routes.iter().enumerate() {
        let first = app.routes[..index]
            .iter()
            .find(|earlier| earlier.pattern.is_same(&route.pattern));
        if let Some(first) = first {
            let error = Error::DuplicateRoute {
                route: route.pattern.to_string(),
                first: first.component.clone(),
                first_line: first.at.line,
                second: route.component.clone(),
            };
            report.add_at(route.at, error);
        }
    }
}

fn duplicate_schemas(app: &App, report: &mut Report<'_>) {
    let mut owners: Vec<&Component> = app
        .components
        .values()
        .filter(|component| component.schema.is_some())
        .collect();
    owners.sort_by_key(|component| component.at);
    for (index, component) in owners.iter().enumerate() {
        let first = owners[..index]
            .iter()
            .find(|earlier| earlier.schema == component.schema);
        if let (Some(first), Some(schema)) = (first, &component.schema) {
            let error = Error::DuplicateSchema {
                schema: schema.to_string(),
                first: first.id.clone(),
                first_line: first.at.line,
                second: component.id.clone(),
            };
            report.add_at(component.at, error);
        }
    }
}

/// A token can only be verified with a key somebody signs with.
fn identity_keys(app: &App, report: &mut Report<'_>) {
    let signing: BTreeSet<&KeyName> = app.components.values().flat_map(|component| &component.keys).collect();
    for component in app.components.values() {
        let Some(identity) = component
            .identity
            .as_ref()
            .filter(|identity| !signing.contains(&identity.key))
        else {
            continue;
        };
        let error = Error::UnknownKeyName {
            place: format!("[component.{}.tool.nexus.identity]", component.id),
            key: identity.key.to_string(),
            nearest: nearest(identity.key.as_str(), signing.iter().map(|key| key.as_str())),
        };
        report.add_at(component.at, error);
    }
}

/// Whether requests of this pattern come to the component: those that another component's route takes do not.
fn is_reached(app: &App, component: &Component, pattern: &RoutePattern) -> bool {
    let leading = app.routes.iter().filter(|route| route.pattern.covers(pattern));
    let taken = leading.max_by_key(|route| route.pattern.specificity());
    taken.is_some_and(|route| route.component == component.id)
}

/// A line about requests that never come is a mistyped one, and the requests that were meant would do without: a sensitive one would be kept in
/// clear, a policy, a deadline, a limit or an exception from one would never hold, the keys of one would be forgotten early.
fn unreachable_requests(app: &App, component: &Component, report: &mut Report<'_>) {
    let id = &component.id;
    let is_reached = |pattern| is_reached(app, component, pattern);
    for sensitive in component.sensitive.iter().filter(|line| !is_reached(&line.pattern)) {
        let error = Error::UnreachableSensitive {
            place: format!("[component.{id}]"),
            route: format!("{} {}", sensitive.method, sensitive.pattern),
        };
        report.add_at(component.at, error);
    }
    let excepted = component.open_limit_except.iter();
    for excepted in excepted.filter(|line| !is_reached(&line.pattern)) {
        let error = Error::UnreachableException {
            place: format!("[component.{id}.tool.nexus]"),
            route: format!("{} {}", excepted.method, excepted.pattern),
        };
        report.add_at(component.at, error);
    }
    let retried = component.retry_for.iter().map(|rule| (&rule.of, rule.at, "retry_for"));
    let deadlines = component
        .deadline_for
        .iter()
        .map(|rule| (&rule.of, rule.at, "deadline_for"));
    for (of, at, table) in retried.chain(deadlines) {
        if let Retried::Request { pattern, .. } = of
            && !is_reached(pattern)
        {
            let error = Error::UnreachableRetry {
                place: format!("[component.{id}.tool.nexus.{table}]"),
                route: of.to_string(),
            };
            report.add_at(at, error);
        }
    }
    for rule in component
        .retention
        .keys_for
        .iter()
        .filter(|rule| !is_reached(&rule.pattern))
    {
        let error = Error::UnreachableKeyRetention {
            place: format!("[component.{id}.tool.nexus.key_retention_for]"),
            route: format!("{} {}", rule.method, rule.pattern),
        };
        report.add_at(rule.at, error);
    }
    for limit in &component.rate_limits {
        for limited in limit.routes.iter().filter(|limited| !is_reached(&limited.pattern)) {
            let error = Error::UnreachableRateLimit {
                place: format!("[component.{id}.tool.nexus.rate_limits.{}]", limit.name),
                route: format!("{} {}", limited.method, limited.pattern),
            };
            report.add_at(limited.at, error);
        }
    }
}

/// No import may have two answers, also not one for its package and one for itself.
fn ambiguous_imports(component: &Component, report: &mut Report<'_>) {
    let dependencies = component
        .dependencies
        .iter()
        .map(|line| (line.at, &line.interface, "dependencies"));
    let providers = component
        .providers
        .iter()
        .map(|line| (line.at, &line.interface, "tool.nexus.providers"));
    let mut lines: Vec<(Location, &InterfaceName, &str)> = dependencies.chain(providers).collect();
    lines.sort_by_key(|(at, ..)| *at);
    for (index, (at, interface, table)) in lines.iter().enumerate() {
        if let Some((_, first, _)) = lines[..index]
            .iter()
            .find(|(_, earlier, _)| earlier.overlaps(interface))
        {
            let error = Error::AmbiguousImport {
                place: format!("[component.{}.{table}]", component.id),
                interface: (*interface).clone(),
                first: (*first).clone(),
            };
            report.add_at(*at, error);
        }
    }
}
