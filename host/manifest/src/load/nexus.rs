//! `[component.<id>.tool.nexus]`: what Spin has no word for.

use std::collections::BTreeMap;

use crate::document::{Item, Report, Section};
use crate::load::bounds::Bound;
use crate::load::{
    Names, bounds, cron, deadline, dependencies, events, exclusive, outbound, rate_limit, retention, retry,
};
use crate::{
    CronRule, DeadlineRule, EffectRule, EventRules, ExclusiveRule, IdentityRule, KeyName, Limits, OutboundHost,
    Providers, RateLimit, RequestPattern, Retention, RetryPolicy, RetryRule, RoutePattern, SchemaName,
};

/// The table's content; its default is that of a component without one.
#[derive(Default)]
pub(super) struct Nexus {
    pub(super) schema: Option<SchemaName>,
    pub(super) effect_rules: BTreeMap<OutboundHost, EffectRule>,
    pub(super) providers: Vec<Providers>,
    pub(super) keys: Vec<KeyName>,
    pub(super) identity: Option<IdentityRule>,
    pub(super) sensitive: Vec<RequestPattern>,
    pub(super) limits: Limits,
    pub(super) open_limit_except: Vec<RequestPattern>,
    pub(super) retry: RetryPolicy,
    pub(super) retry_for: Vec<RetryRule>,
    pub(super) retention: Retention,
    pub(super) events: EventRules,
    pub(super) cron: Vec<CronRule>,
    pub(super) deadline_for: Vec<DeadlineRule>,
    pub(super) exclusive: Vec<ExclusiveRule>,
    pub(super) rate_limits: Vec<RateLimit>,
    pub(super) bounds: Vec<Bound>,
}

/// Methods a request can have that changes something, or carries something to hide.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const MINUTE_MS: u64 = 60_000;
pub(super) const HOUR_MS: u64 = 60 * MINUTE_MS;
const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

/// `hosts` are the component's `allowed_outbound_hosts`.
pub(super) fn read(
    component: &mut Section<'_, '_>,
    id: &str,
    hosts: &[OutboundHost],
    names: &Names,
    report: &mut Report<'_>,
) -> Nexus {
    // Tables of other tools beside ours are theirs.
    let Some(mut tools) = component.section("tool", &format!("[component.{id}.tool]"), report) else {
        return Nexus::default();
    };
    let place = format!("[component.{id}.tool.nexus]");
    let Some(mut table) = tools.section("nexus", &place, report) else {
        return Nexus::default();
    };
    let keys = table.strings("keys", report);
    let sensitive = table.strings("sensitive", report);
    let open_limit_except = table.strings("open_limit_except", report);
    let retry = retry::read(&mut table, id, report);
    let nexus = Nexus {
        schema: table.get("schema").and_then(|item| read_schema(&item, report)),
        effect_rules: outbound::read_rules(&mut table, id, hosts, names, report),
        providers: read_providers(&mut table, id, names, report),
        keys: keys.iter().filter_map(|item| read_key(item, report)).collect(),
        identity: read_identity(&mut table, id, report),
        sensitive: sensitive.iter().filter_map(|item| read_request(item, report)).collect(),
        limits: read_limits(&mut table, report),
        open_limit_except: open_limit_except
            .iter()
            .filter_map(|item| read_request(item, report))
            .collect(),
        retry,
        retry_for: retry::read_rules(&mut table, id, retry, report),
        retention: retention::read(&mut table, id, report),
        events: events::read(&mut table, id, report),
        cron: cron::read_rules(&mut table, id, report),
        deadline_for: deadline::read_rules(&mut table, id, report),
        exclusive: exclusive::read_rules(&mut table, id, report),
        rate_limits: rate_limit::read(&mut table, id, report),
        bounds: bounds::read(&mut table, id, report),
    };
    table.finish(report);
    nexus
}

fn read_schema(item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<SchemaName> {
    match SchemaName::parse(item.string(report)?) {
        Ok(schema) => Some(schema),
        Err(reason) => {
            item.invalid(reason, "name the schema after the component, as in `account`", report);
            None
        }
    }
}

fn read_key(item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<KeyName> {
    match KeyName::parse(item.string(report)?) {
        Ok(key) => Some(key),
        Err(reason) => {
            item.invalid(reason, "name the key, as in `access`", report);
            None
        }
    }
}

fn read_providers(table: &mut Section<'_, '_>, id: &str, names: &Names, report: &mut Report<'_>) -> Vec<Providers> {
    let place = format!("[component.{id}.tool.nexus.providers]");
    let section = table.section("providers", &place, report);
    let mut all = Vec::new();
    for item in section.iter().flat_map(Section::entries) {
        let interface = dependencies::read_interface(&item, report);
        if interface
            .as_ref()
            .is_some_and(|interface| interface.interface().is_none())
        {
            let way_out = "name one interface, as in \"shop:payment/provider\"";
            item.invalid_key("interface", "is a whole package", way_out, report);
            continue;
        }
        let mut components = Vec::new();
        for named in item.strings(report) {
            let Some(component) = names.component(named.text(), &place, &named, report) else {
                continue;
            };
            match components.contains(&component) {
                true => named.invalid(
                    "is there twice",
                    "keep one; the order is the one shown to callers",
                    report,
                ),
                false => components.push(component),
            }
        }
        if let Some(interface) = interface {
            all.push(Providers {
                interface,
                components,
                at: report.locate(item.key_span),
            });
        }
    }
    all
}

fn read_identity(table: &mut Section<'_, '_>, id: &str, report: &mut Report<'_>) -> Option<IdentityRule> {
    let mut section = table.section("identity", &format!("[component.{id}.tool.nexus.identity]"), report)?;
    let key = section.require("key", report).and_then(|item| read_key(&item, report));
    let subject = section.get("subject");
    let claim = subject.as_ref().map_or(Some("sub"), |item| item.string(report));
    if let Some(item) = &subject
        && claim == Some("")
    {
        item.invalid(
            "names no claim",
            "write the claim that holds the account, as in `sub`",
            report,
        );
    }
    let token_in_query = section.strings("token_in_query", report);
    section.finish(report);
    Some(IdentityRule {
        key: key?,
        subject: claim?.to_owned(),
        token_in_query: token_in_query
            .iter()
            .filter_map(|item| read_request(item, report))
            .collect(),
    })
}

fn read_request(item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<RequestPattern> {
    match parse_request(item.text()) {
        Ok((method, pattern)) => Some(RequestPattern { method, pattern }),
        Err(reason) => {
            let way_out = "write method and path, as in \"POST /api/v1/account/login\"";
            item.invalid(reason, way_out, report);
            None
        }
    }
}

/// `POST /path`: what a request looks like where the manifest names some of a component's.
pub(super) fn parse_request(text: &str) -> Result<(String, RoutePattern), String> {
    let Some((method, path)) = text.split_once(' ') else {
        return Err("is not a method and a path".into());
    };
    if !METHODS.contains(&method) {
        return Err(format!("has a method other than {}", METHODS.join(", ")));
    }
    let pattern = RoutePattern::parse(path).map_err(|reason| format!("has a path that {reason}"))?;
    Ok((method.to_owned(), pattern))
}

fn read_limits(table: &mut Section<'_, '_>, report: &mut Report<'_>) -> Limits {
    let default = Limits::default();
    Limits {
        // Below a mebibyte no Rust guest starts.
        memory_limit_bytes: table.integer(
            "memory_limit_bytes",
            MIB..=Limits::MAX_MEMORY_BYTES,
            default.memory_limit_bytes,
            report,
        ),
        time_limit_ms: table.integer("time_limit_ms", 1..=10 * MINUTE_MS, default.time_limit_ms, report),
        request_timeout_ms: table.integer("request_timeout_ms", 1..=HOUR_MS, default.request_timeout_ms, report),
        wait_hold_ms: table.integer("wait_hold_ms", 0..=MINUTE_MS, default.wait_hold_ms, report),
        body_limit_bytes: table.integer(
            "body_limit_bytes",
            KIB..=Limits::MAX_STREAMED_BODY_BYTES,
            default.body_limit_bytes,
            report,
        ),
        // A node makes 256 attempts at once, and lets 1024 requests wait.
        attempt_limit: table.integer("attempt_limit", 1..=256, default.attempt_limit, report),
        waiting_limit: table.integer("waiting_limit", 0..=1024, default.waiting_limit, report),
        open_limit: table.integer("open_limit", 1..=100_000_000, default.open_limit, report),
        workflow_retention_ms: table.integer(
            "workflow_retention_ms",
            MINUTE_MS..=10 * YEAR_MS,
            default.workflow_retention_ms,
            report,
        ),
    }
}
