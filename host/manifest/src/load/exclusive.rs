//! `exclusive` of `[component.<id>.tool.nexus]`.

use crate::ExclusiveRule;
use crate::document::{Item, Report, Section};
use crate::load::retry::parse_function;

pub(super) fn read_rules(table: &mut Section<'_, '_>, id: &str, report: &mut Report<'_>) -> Vec<ExclusiveRule> {
    let place = format!("[component.{id}.tool.nexus.exclusive]");
    let section = table.section("exclusive", &place, report);
    let mut rules: Vec<ExclusiveRule> = Vec::new();
    for item in section.iter().flat_map(Section::entries) {
        let Some(rule) = read_rule(&item, report) else { continue };
        let is_same =
            |other: &ExclusiveRule| other.function == rule.function && other.interface.overlaps(&rule.interface);
        if rules.iter().any(is_same) {
            item.invalid_key("exclusive", "is there twice", "keep one of the two lines", report);
            continue;
        }
        rules.push(rule);
    }
    rules
}

fn read_rule(item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<ExclusiveRule> {
    let parameter = item.string(report);
    match parse_function(item.key) {
        Ok((interface, function)) => Some(ExclusiveRule {
            interface,
            function,
            parameter: parameter?.to_owned(),
            at: report.locate(item.key_span),
        }),
        Err(reason) => {
            let way_out = "write a function of an exported interface, as in \"shop:inventory/reservations.reserve\"";
            item.invalid_key("exclusive", reason, way_out, report);
            None
        }
    }
}
