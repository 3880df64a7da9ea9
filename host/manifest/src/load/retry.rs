//! `retry` and `retry_for` of `[component.<id>.tool.nexus]`.

use crate::document::{Item, Report, Section};
use crate::load::nexus::{HOUR_MS, parse_request};
use crate::{InterfaceName, Retried, RetryPolicy, RetryRule};

/// The longest deadline: a month is past what an operator looks back on.
const MAX_DEADLINE_MS: u64 = 31 * 24 * HOUR_MS;

/// The component's own policy.
pub(super) fn read(table: &mut Section<'_, '_>, id: &str, report: &mut Report<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    match table.section("retry", &format!("[component.{id}.tool.nexus.retry]"), report) {
        Some(section) => read_policy(section, default, report),
        None => default,
    }
}

/// The policies of some requests and functions; what a line leaves out is `own`.
pub(super) fn read_rules(
    table: &mut Section<'_, '_>,
    id: &str,
    own: RetryPolicy,
    report: &mut Report<'_>,
) -> Vec<RetryRule> {
    let place = format!("[component.{id}.tool.nexus.retry_for]");
    let section = table.section("retry_for", &place, report);
    let mut rules: Vec<RetryRule> = Vec::new();
    for item in section.iter().flat_map(Section::entries) {
        let policy = item
            .section(&format!("`{}` in {place}", item.key), report)
            .map(|section| read_policy(section, own, report));
        let of = match parse(item.key) {
            Ok(of) => of,
            Err(reason) => {
                let way_out = "write a request, as in \"POST /api/v1/order/checkout\", or a function, as in \"shop:order/purchases.has-purchased\"";
                item.invalid_key("retry_for", reason, way_out, report);
                continue;
            }
        };
        if rules.iter().any(|rule| is_same(&rule.of, &of)) {
            item.invalid_key("retry_for", "is there twice", "keep one of the two lines", report);
            continue;
        }
        let Some(policy) = policy else { continue };
        rules.push(RetryRule {
            of,
            policy,
            at: report.locate(item.key_span),
        });
    }
    rules
}

pub(super) fn is_same(one: &Retried, other: &Retried) -> bool {
    match (one, other) {
        (
            Retried::Request { method, pattern },
            Retried::Request {
                method: other_method,
                pattern: other_pattern,
            },
        ) => method == other_method && pattern.is_same(other_pattern),
        (
            Retried::Function { interface, function },
            Retried::Function {
                interface: other_interface,
                function: other_function,
            },
        ) => function == other_function && interface.overlaps(other_interface),
        _ => false,
    }
}

pub(super) fn parse(text: &str) -> Result<Retried, String> {
    if text.contains(' ') || text.starts_with('/') {
        let (method, pattern) = parse_request(text)?;
        return Ok(Retried::Request { method, pattern });
    }
    let (interface, function) = parse_function(text).map_err(|reason| match reason.as_str() {
        NO_FUNCTION => "is neither a request nor a function of an interface".to_owned(),
        _ => reason,
    })?;
    Ok(Retried::Function { interface, function })
}

const NO_FUNCTION: &str = "is no function of an interface";

/// `shop:order/purchases.has-purchased`: what a function looks like where the manifest names some of a component's.
pub(super) fn parse_function(text: &str) -> Result<(InterfaceName, String), String> {
    let (interface, function) = text
        .rsplit_once('.')
        .filter(|(interface, function)| interface.contains('/') && !function.is_empty())
        .ok_or(NO_FUNCTION)?;
    let interface = InterfaceName::parse(interface).map_err(|error| format!("names no interface: {error}"))?;
    Ok((interface, function.to_owned()))
}

fn read_policy(mut section: Section<'_, '_>, default: RetryPolicy, report: &mut Report<'_>) -> RetryPolicy {
    let attempts = section.integer("attempts", 1..=1000, default.attempts.into(), report);
    let initial_ms = section.integer("initial_ms", 1..=HOUR_MS, default.initial_ms, report);
    let factor = section
        .get("factor")
        .and_then(|item: Item<'_, '_>| item.number(1.0..=100.0, report))
        .unwrap_or(default.factor);
    let max_default = default.max_ms.max(initial_ms);
    let max_ms = section.integer("max_ms", initial_ms..=24 * HOUR_MS, max_default, report);
    // One that ends before the first wait does would never let anything be tried again: `attempts = 1` says that.
    let deadline_ms = section.get("deadline_ms").map_or(default.deadline_ms, |item| {
        item.integer(initial_ms..=MAX_DEADLINE_MS, report)
    });
    section.finish(report);
    RetryPolicy {
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        initial_ms,
        factor,
        max_ms,
        deadline_ms,
    }
}
