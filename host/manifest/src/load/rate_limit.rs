//! `[component.<id>.tool.nexus.rate_limits]`: how often a caller may ask.

use crate::document::{Item, Report, Section};
use crate::load::nexus::parse_request;
use crate::names::is_words;
use crate::{LimitedBy, LimitedRoute, Member, RateLimit, Spelling, Uncounted};

/// More is no limit.
const MAX_QUOTA: u64 = 1_000_000;
/// A day: whoever is refused has to wait for the end of the window.
const MAX_WINDOW_SECONDS: u64 = 86_400;

pub(super) fn read(table: &mut Section<'_, '_>, id: &str, report: &mut Report<'_>) -> Vec<RateLimit> {
    let place = format!("[component.{id}.tool.nexus.rate_limits]");
    let section = table.section("rate_limits", &place, report);
    let mut limits: Vec<RateLimit> = Vec::new();
    for item in section.iter().flat_map(Section::entries) {
        let place = format!("[component.{id}.tool.nexus.rate_limits.{}]", item.key);
        limits.extend(read_limit(&item, &place, &limits, report));
    }
    limits
}

fn read_limit(item: &Item<'_, '_>, place: &str, earlier: &[RateLimit], report: &mut Report<'_>) -> Option<RateLimit> {
    let is_named = is_words(item.key, '-');
    if !is_named {
        let reason = "is not kebab-case of at most 63 characters";
        let way_out = "name what is limited, as in `checkout`; clients read it in `RateLimit-Policy`";
        item.invalid_key("name", reason, way_out, report);
    }
    let mut limit = item.section(place, report)?;
    let quota = limit.require("quota", report);
    let quota = quota.and_then(|item| item.integer(1..=MAX_QUOTA, report));
    let window = limit.require("window_seconds", report);
    let window = window.and_then(|item| item.integer(1..=MAX_WINDOW_SECONDS, report));
    let by = read_by(&mut limit, report);
    let unknown = limit.get("unknown").and_then(|item| {
        let words = [("allow", Uncounted::Allow), ("refuse", Uncounted::Refuse)];
        item.either(words, "write one of them", report)
    });
    let routes = limit.require("routes", report);
    let routes = routes.map(|item| {
        // Requests may be counted twice: by what their head says, and by what is in their body.
        let alike = earlier
            .iter()
            .filter(|earlier| earlier.by.is_by_head() == by.is_by_head());
        read_routes(&item, &alike.collect::<Vec<_>>(), report)
    });
    limit.finish(report);
    if !is_named {
        return None;
    }
    Some(RateLimit {
        name: item.key.to_owned(),
        quota: quota?,
        window_seconds: u32::try_from(window?).ok()?,
        by,
        unknown: unknown.unwrap_or_default(),
        routes: routes?,
    })
}

/// `by`, or `member` with its `spelling`: whose requests are counted together.
fn read_by(limit: &mut Section<'_, '_>, report: &mut Report<'_>) -> LimitedBy {
    let by = limit.get("by");
    let spelling = limit.get("spelling");
    let Some(member) = limit.get("member") else {
        let by = by.and_then(|item| {
            let words = [("account", LimitedBy::Account), ("address", LimitedBy::Address)];
            item.either(words, "write one of them", report)
        });
        if let Some(spelling) = spelling {
            let way_out = "name a member of the request's JSON too, as in member = \"id\", or remove it";
            spelling.invalid("is there without `member`", way_out, report);
        }
        return by.unwrap_or_default();
    };
    if let Some(by) = by {
        let way_out = "keep one of the two; for both make it two limits";
        by.invalid("is there beside `member`", way_out, report);
    }
    let spelling = spelling.and_then(|item| {
        let words = [("exact", Spelling::Exact), ("folded", Spelling::Folded)];
        item.either(words, "write one of them", report)
    });
    match member.string(report) {
        Some("") => {
            let way_out = "name a member of the request's JSON, as in member = \"id\"";
            member.invalid("is empty", way_out, report);
            LimitedBy::default()
        }
        Some(name) => LimitedBy::Member(Member {
            name: name.to_owned(),
            spelling: spelling.unwrap_or_default(),
        }),
        None => LimitedBy::default(),
    }
}

fn read_routes(item: &Item<'_, '_>, earlier: &[&RateLimit], report: &mut Report<'_>) -> Vec<LimitedRoute> {
    let lines = item.strings(report);
    if item.is_empty_list() {
        let way_out = "name what it limits, as in \"POST /api/v1/order/buyer/checkout\", or remove the table";
        item.invalid("names no request", way_out, report);
    }
    let mut routes: Vec<LimitedRoute> = Vec::new();
    for line in lines {
        let (method, pattern) = match parse_request(line.text()) {
            Ok(request) => request,
            Err(reason) => {
                let way_out = "write method and path, as in \"POST /api/v1/order/buyer/checkout\"";
                line.invalid(reason, way_out, report);
                continue;
            }
        };
        let is_same = |route: &LimitedRoute| route.method == method && route.pattern.is_same(&pattern);
        if routes.iter().any(is_same) {
            line.invalid("is there twice", "keep one of the two", report);
            continue;
        }
        if let Some(first) = earlier.iter().find(|limit| limit.routes.iter().any(is_same)) {
            let reason = format!("is limited by `{}` already", first.name);
            line.invalid(
                reason,
                "keep one of the two: a request counts against one limit",
                report,
            );
            continue;
        }
        routes.push(LimitedRoute {
            method,
            pattern,
            at: report.locate(line.value_span()),
        });
    }
    routes
}
