//! `publishes`, `streams`, `subscriptions` and `event_retention_hours` of `[component.<id>.tool.nexus]`.

use crate::document::{Item, Report, Section};
use crate::load::nexus::HOUR_MS;
use crate::names::is_words;
use crate::{AfterDeadLetter, EventRules, Subscription, TopicPattern};

/// A client may come back after a day and is told what it missed.
const MIN_RETENTION_HOURS: u64 = 24;
const MAX_RETENTION_HOURS: u64 = 366 * 24;

pub(super) fn read(table: &mut Section<'_, '_>, id: &str, report: &mut Report<'_>) -> EventRules {
    let default = EventRules::default();
    let publishes = table.strings("publishes", report);
    let streams = table.strings("streams", report);
    let hours = default.retention_ms / HOUR_MS;
    let range = MIN_RETENTION_HOURS..=MAX_RETENTION_HOURS;
    EventRules {
        publishes: read_topics(&publishes, report),
        streams: read_topics(&streams, report),
        retention_ms: table.integer("event_retention_hours", range, hours, report) * HOUR_MS,
        subscriptions: read_subscriptions(table, id, report),
    }
}

fn read_topics(items: &[Item<'_, '_>], report: &mut Report<'_>) -> Vec<TopicPattern> {
    let mut topics = Vec::with_capacity(items.len());
    for item in items {
        match TopicPattern::parse(item.text()) {
            Ok(topic) => topics.push(topic),
            Err(reason) => item.invalid(reason, "write it as in `order.placed`, `order.*` or `*`", report),
        }
    }
    topics
}

fn read_subscriptions(table: &mut Section<'_, '_>, id: &str, report: &mut Report<'_>) -> Vec<Subscription> {
    let place = format!("[component.{id}.tool.nexus.subscriptions]");
    let section = table.section("subscriptions", &place, report);
    let mut subscriptions = Vec::new();
    for item in section.iter().flat_map(Section::entries) {
        if !is_words(item.key, '-') {
            let reason = "is not lower-case kebab-case of at most 63 characters";
            item.invalid_key("subscription", reason, "rename it, as in `placed-orders`", report);
            continue;
        }
        let Some(mut section) = item.section(&format!("`{}` in {place}", item.key), report) else {
            continue;
        };
        let Some(listed) = section.require("topics", report) else {
            continue;
        };
        let topics = read_topics(&listed.strings(report), report);
        if listed.strings(report).is_empty() {
            listed.invalid("names no topic", "write at least one, as in [\"order.*\"]", report);
        }
        let after_dead_letter = section.get("after_dead_letter");
        let after_dead_letter = after_dead_letter.map_or(AfterDeadLetter::Wait, |item| read_after(&item, report));
        section.finish(report);
        subscriptions.push(Subscription {
            name: item.key.to_owned(),
            topics,
            after_dead_letter,
            at: report.locate(item.key_span),
        });
    }
    subscriptions
}

fn read_after(item: &Item<'_, '_>, report: &mut Report<'_>) -> AfterDeadLetter {
    match item.string(report) {
        None | Some("wait") => AfterDeadLetter::Wait,
        Some("go-on") => AfterDeadLetter::GoOn,
        Some(_) => {
            let way_out = "write \"wait\", to tell nothing out of order, or \"go-on\", to skip what cannot be taken";
            item.invalid("is neither \"wait\" nor \"go-on\"", way_out, report);
            AfterDeadLetter::Wait
        }
    }
}
