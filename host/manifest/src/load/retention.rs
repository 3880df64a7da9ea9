//! `retention_hours`, `key_retention_hours` and `key_retention_for` of `[component.<id>.tool.nexus]`.

use crate::document::{Item, Report, Section};
use crate::load::nexus::{HOUR_MS, parse_request};
use crate::{KeyRetention, Retention};

/// Ten years.
const MAX_HOURS: u64 = 87_600;
/// A year: a key is looked up with every request that carries one.
const MAX_KEY_HOURS: u64 = 8_760;

pub(super) fn read(table: &mut Section<'_, '_>, id: &str, report: &mut Report<'_>) -> Retention {
    let default = Retention::default();
    let hours = |item: Item<'_, '_>, max: u64, report: &mut Report<'_>| item.integer(1..=max, report);
    let invocations = table.get("retention_hours");
    let keys = table.get("key_retention_hours");
    let place = format!("[component.{id}.tool.nexus.key_retention_for]");
    let section = table.section("key_retention_for", &place, report);
    let mut keys_for: Vec<KeyRetention> = Vec::new();
    for item in section.iter().flat_map(Section::entries) {
        let (method, pattern) = match parse_request(item.key) {
            Ok(request) => request,
            Err(reason) => {
                let way_out = "write method and path, as in \"POST /api/v1/order/buyer/checkout\"";
                item.invalid_key("key_retention_for", reason, way_out, report);
                continue;
            }
        };
        if keys_for
            .iter()
            .any(|rule| rule.method == method && rule.pattern.is_same(&pattern))
        {
            item.invalid_key(
                "key_retention_for",
                "is there twice",
                "keep one of the two lines",
                report,
            );
            continue;
        }
        let at = report.locate(item.key_span);
        if let Some(hours) = hours(item, MAX_KEY_HOURS, report) {
            keys_for.push(KeyRetention {
                method,
                pattern,
                ms: hours * HOUR_MS,
                at,
            });
        }
    }
    Retention {
        invocations_ms: invocations
            .and_then(|item| hours(item, MAX_HOURS, report))
            .map(|hours| hours * HOUR_MS),
        keys_ms: keys
            .and_then(|item| hours(item, MAX_KEY_HOURS, report))
            .map_or(default.keys_ms, |hours| hours * HOUR_MS),
        keys_for,
    }
}
