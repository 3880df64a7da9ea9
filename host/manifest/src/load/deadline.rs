//! `deadline_for` of `[component.<id>.tool.nexus]`.

use crate::DeadlineRule;
use crate::document::{Report, Section};
use crate::load::nexus::HOUR_MS;
use crate::load::retry::{is_same, parse};

/// Longer than that nobody waits for an answer.
const MAX_MS: u64 = 31 * 24 * HOUR_MS;

pub(super) fn read_rules(table: &mut Section<'_, '_>, id: &str, report: &mut Report<'_>) -> Vec<DeadlineRule> {
    let place = format!("[component.{id}.tool.nexus.deadline_for]");
    let section = table.section("deadline_for", &place, report);
    let mut rules: Vec<DeadlineRule> = Vec::new();
    for item in section.iter().flat_map(Section::entries) {
        let within_ms = item.integer(1..=MAX_MS, report);
        let of = match parse(item.key) {
            Ok(of) => of,
            Err(reason) => {
                let way_out = "write a request, as in \"POST /api/v1/order/checkout\", or a function, as in \"shop:order/purchases.has-purchased\"";
                item.invalid_key("deadline_for", reason, way_out, report);
                continue;
            }
        };
        if rules.iter().any(|rule| is_same(&rule.of, &of)) {
            item.invalid_key("deadline_for", "is there twice", "keep one of the two lines", report);
            continue;
        }
        let Some(within_ms) = within_ms else { continue };
        rules.push(DeadlineRule {
            of,
            within_ms,
            at: report.locate(item.key_span),
        });
    }
    rules
}
