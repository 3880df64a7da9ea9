//! `[variables]`: the application's variables and their values.

use std::collections::BTreeSet;

use super::Environment;
use crate::document::{Report, Section};
use crate::error::Error;
use crate::names::is_words;
use crate::variable::Variables;

pub(super) fn read(root: &mut Section<'_, '_>, environment: &Environment<'_>, report: &mut Report<'_>) -> Variables {
    let mut variables = Variables::default();
    let Some(table) = root.section("variables", "[variables]", report) else {
        return variables;
    };
    let names: BTreeSet<_> = table.entries().map(|item| item.key).collect();
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
        // Where another variable has that name, its value is in the place of a file's path.
        let by_file = !names.contains(format!("{}_file", item.key).as_str());
        let value = item
            .section(&place, report)
            .map(|table| read_one(table, item.key, by_file, environment, report));
        let (text, secret) = value.unwrap_or_default();
        variables.declare(item.key, text, secret);
    }
    variables
}

/// The variable's value and whether it is secret.
fn read_one(
    mut table: Section<'_, '_>,
    name: &str,
    by_file: bool,
    environment: &Environment<'_>,
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
    let given = match environment.given(name, &variable, by_file) {
        Ok(given) => given,
        Err(error) => {
            report.add(at, *error);
            table.finish(report);
            return (None, secret);
        }
    };
    let text = given.or_else(|| default.map(str::to_owned));
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

impl Environment<'_> {
    /// A value from outside: of the variable itself, or of the file that a variable of the same name with `_FILE` names.
    fn given(&self, name: &str, variable: &str, by_file: bool) -> Result<Option<String>, Box<Error>> {
        let value = self.variables.get(variable);
        let path = self.variables.get(&format!("{variable}_FILE")).filter(|_| by_file);
        match (value, path) {
            (value, None) => Ok(value.cloned()),
            (Some(_), Some(_)) => Err(Box::new(Error::VariableTwice {
                name: name.to_owned(),
                environment: variable.to_owned(),
            })),
            (None, Some(path)) => match (self.read_file)(path) {
                Ok(text) => Ok(Some(text)),
                Err(reason) => Err(Box::new(Error::VariableFile {
                    name: name.to_owned(),
                    environment: variable.to_owned(),
                    reason,
                })),
            },
        }
    }
}
