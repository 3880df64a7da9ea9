//! `[variables]`: the application's variables and their values.

use std::collections::BTreeMap;

use crate::document::{Report, Section};
use crate::error::Error;
use crate::names::is_words;
use crate::variable::Variables;

pub(super) fn read(
    root: &mut Section<'_, '_>,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> Variables {
    let mut variables = Variables::default();
    let Some(table) = root.section("variables", "[variables]", report) else {
        return variables;
    };
    for item in table.entries() {
        if !is_words(item.key, '_') {
            item.invalid_key(
                "variable",
                "is not lower_snake_case",
                "rename it, as in `api_host`",
                report,
            );
            continue;
        }
        let place = format!("[variables.{}]", item.key);
        let value = item
            .section(&place, report)
            .map(|table| read_one(table, item.key, environment, report));
        let (text, secret) = value.unwrap_or_default();
        variables.declare(item.key, text, secret);
    }
    variables
}

/// The variable's value and whether it is secret.
fn read_one(
    mut table: Section<'_, '_>,
    name: &str,
    environment: &BTreeMap<String, String>,
    report: &mut Report<'_>,
) -> (Option<String>, bool) {
    let at = table.at;
    table.string("description", report);
    let secret = table.boolean("secret", report).unwrap_or_default();
    let required = table.boolean("required", report).unwrap_or_default();
    let default_item = table.get("default");
    let default = default_item.as_ref().and_then(|item| item.string(report));
    if let Some(item) = &default_item
        && required
    {
        let way_out = "keep `required` when there must be a value from outside, `default` when there need not";
        item.invalid("has `required = true` beside it", way_out, report);
    }
    let variable = Variables::environment_name(name);
    let text = environment
        .get(&variable)
        .cloned()
        .or_else(|| default.map(str::to_owned));
    if text.is_none() && default_item.is_none() {
        report.add(
            at,
            Error::UnsetVariable {
                name: name.to_owned(),
                environment: variable,
                secret,
            },
        );
    }
    table.finish(report);
    (text, secret)
}
