//! `[[trigger.http]]`: which paths go to which component.

use crate::document::{Item, Report, Section};
use crate::load::Names;
use crate::{Route, RoutePattern};

const PLACE: &str = "[[trigger.http]]";

pub(super) fn read(root: &mut Section<'_, '_>, names: &Names, report: &mut Report<'_>) -> Vec<Route> {
    let Some(mut triggers) = root
        .require("trigger", report)
        .and_then(|item| item.section("[trigger]", report))
    else {
        return Vec::new();
    };
    let tables = triggers
        .get("http")
        .map_or_else(Vec::new, |item| item.sections(PLACE, report));
    for other in ["redis", "cron", "sqs", "mqtt", "command"] {
        triggers.refuse(other, "remove it; this host answers HTTP alone", report);
    }
    triggers.finish(report);
    tables
        .into_iter()
        .filter_map(|table| read_one(table, names, report))
        .collect()
}

fn read_one(mut table: Section<'_, '_>, names: &Names, report: &mut Report<'_>) -> Option<Route> {
    table.string("id", report);
    let route = table.require("route", report);
    let pattern = route.as_ref().and_then(|item| read_pattern(item, report));
    let component = table
        .require("component", report)
        .and_then(|item| names.component(item.string(report)?, PLACE, &item, report));
    table.refuse("executor", "remove it; requests reach a component as values", report);
    table.refuse("components", "remove it; a route has one component", report);
    table.refuse("dependencies", "remove it; a route has one component", report);
    table.finish(report);
    let at = report.locate(route?.key_span);
    Some(Route {
        pattern: pattern?,
        component: component?,
        at,
    })
}

fn read_pattern(item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<RoutePattern> {
    let text = item.string(report)?;
    match RoutePattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(reason) => {
            item.invalid(
                reason,
                "write it as in `/api/v1/cart`, `/api/v1/cart/:id` or `/api/v1/cart/...`",
                report,
            );
            None
        }
    }
}
