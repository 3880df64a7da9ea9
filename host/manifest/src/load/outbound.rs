//! Where a component may send requests, and how those that change something are treated there.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::document::{Item, Report, Section};
use crate::load::Names;
use crate::{EffectRule, OutboundHost, Unknown};

const PATTERN: &str = "write `https://host`, `https://*.host` or `http://host:port`";
/// A node stands for its requests with its lease, which is not as long as one may like.
const TIMEOUT_MS: RangeInclusive<u64> = 100..=60_000;
const WORDS: &str = "write \"repeat\" if the host recognises a repeated request, else \"report\"";

/// `allowed_outbound_hosts` of `[component.<id>]`.
#[derive(Default)]
pub(super) struct Hosts {
    /// All of them.
    pub(super) all: Vec<OutboundHost>,
    /// Those that are not written out: a variable has a part in them.
    pub(super) of_variables: Vec<OutboundHost>,
}

pub(super) fn read_hosts(component: &mut Section<'_, '_>, names: &Names, report: &mut Report<'_>) -> Hosts {
    let mut written = Vec::new();
    let mut hosts = Hosts::default();
    for item in &component.strings("allowed_outbound_hosts", report) {
        let Some((host, is_written)) = read_host(item, names, report) else {
            continue;
        };
        match is_written {
            true => written.push(host.clone()),
            false => hosts.of_variables.push(host.clone()),
        }
        hosts.all.push(host);
    }
    hosts.of_variables.retain(|host| !written.contains(host));
    hosts
}

/// The host, and whether it is written out.
fn read_host(item: &Item<'_, '_>, names: &Names, report: &mut Report<'_>) -> Option<(OutboundHost, bool)> {
    let value = names.resolve(item, item.text(), report)?;
    match OutboundHost::parse(value.expose()) {
        Ok(host) => Some((host, value.expose() == item.text())),
        Err(reason) => {
            let way_out = match item.text() {
                "*" => "write `https://*` to grant every host, or better the hosts it needs",
                _ => PATTERN,
            };
            item.invalid(reason, way_out, report);
            None
        }
    }
}

/// `[component.<id>.tool.nexus.outbound]`: a line per host of the list. A rule for a host that is not in it would say nothing, and
/// is most likely a rule that somebody believes to hold.
pub(super) fn read_rules(
    nexus: &mut Section<'_, '_>,
    id: &str,
    hosts: &[OutboundHost],
    names: &Names,
    report: &mut Report<'_>,
) -> BTreeMap<OutboundHost, EffectRule> {
    let place = format!("[component.{id}.tool.nexus.outbound]");
    let section = nexus.section("outbound", &place, report);
    let mut rules = BTreeMap::new();
    for item in section.iter().flat_map(Section::entries) {
        let host = read_key(&item, hosts, names, report);
        let rule = item
            .section(&format!("{place} \"{}\"", item.key), report)
            .map(|section| read_rule(section, report));
        if let (Some(host), Some(rule)) = (host, rule)
            && rules.insert(host, rule).is_some()
        {
            item.invalid_key("host", "is there twice", "keep one", report);
        }
    }
    rules
}

fn read_key(
    item: &Item<'_, '_>,
    hosts: &[OutboundHost],
    names: &Names,
    report: &mut Report<'_>,
) -> Option<OutboundHost> {
    let value = names.resolve(item, item.key, report)?;
    match OutboundHost::parse(value.expose()) {
        Ok(host) if hosts.contains(&host) => Some(host),
        Ok(_) => {
            let way_out = "write it as a line of that list, or add the line";
            item.invalid_key("host", "is not among `allowed_outbound_hosts`", way_out, report);
            None
        }
        Err(reason) => {
            item.invalid_key("host", reason, PATTERN, report);
            None
        }
    }
}

fn read_rule(mut section: Section<'_, '_>, report: &mut Report<'_>) -> EffectRule {
    let unknown = section.get("unknown").and_then(|item| {
        let words = [("repeat", Unknown::Repeat), ("report", Unknown::Report)];
        item.either(words, WORDS, report)
    });
    let sends_key = section.boolean("idempotency_key", report);
    let timeout_ms = section
        .get("timeout_ms")
        .and_then(|item| item.integer(TIMEOUT_MS, report));
    section.finish(report);
    EffectRule {
        unknown: unknown.unwrap_or_default(),
        sends_key: sends_key.unwrap_or_default(),
        timeout_ms,
    }
}
