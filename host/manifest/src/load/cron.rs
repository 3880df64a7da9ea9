//! `[component.<id>.tool.nexus.cron]`: calls by the clock.

use crate::cron::{CronRule, Overlap, Schedule};
use crate::document::{Item, Report, Section};
use crate::names::is_words;

/// Bytes of an argument at most: it is written with every tick.
const MAX_ARGUMENT_BYTES: usize = 64 << 10;

pub(super) fn read_rules(table: &mut Section<'_, '_>, id: &str, report: &mut Report<'_>) -> Vec<CronRule> {
    let place = format!("[component.{id}.tool.nexus.cron]");
    let section = table.section("cron", &place, report);
    let entries = section.iter().flat_map(Section::entries);
    entries.filter_map(|item| read_rule(&item, &place, report)).collect()
}

fn read_rule(item: &Item<'_, '_>, place: &str, report: &mut Report<'_>) -> Option<CronRule> {
    let is_named = is_words(item.key, '-') || is_words(item.key, '_');
    if !is_named {
        let reason = "is not kebab-case or snake_case of at most 63 characters";
        item.invalid_key("name", reason, "name what is to be done, as in `expire-holds`", report);
    }
    let mut rule = item.section(&format!("`{}` in {place}", item.key), report)?;
    let schedule = rule.require("schedule", report);
    let schedule = schedule.and_then(|item| read_schedule(&item, report));
    let argument = rule.get("argument").map(|item| read_argument(&item, report));
    let overlap = rule.get("overlap").map(|item| read_overlap(&item, report));
    rule.finish(report);
    if !is_named {
        return None;
    }
    Some(CronRule {
        name: item.key.to_owned(),
        schedule: schedule?,
        argument: argument.unwrap_or_else(|| Some(String::new()))?,
        overlap: overlap.unwrap_or(Some(Overlap::Skip))?,
        at: report.locate(item.key_span),
    })
}

fn read_schedule(item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<Schedule> {
    match Schedule::parse(item.string(report)?) {
        Ok(schedule) => Some(schedule),
        Err(reason) => {
            let way_out = "write minute, hour, day, month and weekday in UTC, as in \"*/5 * * * *\"";
            item.invalid(reason, way_out, report);
            None
        }
    }
}

fn read_argument(item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<String> {
    let argument = item.string(report)?;
    if argument.len() > MAX_ARGUMENT_BYTES {
        let reason = format!("is longer than {MAX_ARGUMENT_BYTES} bytes");
        item.invalid(reason, "keep it in a variable or in a row, and name it here", report);
        return None;
    }
    Some(argument.to_owned())
}

fn read_overlap(item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<Overlap> {
    let words = [("skip", Overlap::Skip), ("start", Overlap::Start)];
    item.either(words, "write one of them", report)
}
