//! `variables` of `[component.<id>.tool.nexus]`: what its variables may be set to. A component reads a variable when it needs it, which may be
//! days after the start of a host that was given a slip of the pen.

use std::ops::RangeInclusive;

use toml_span::Span;

use crate::ConfigValue;
use crate::document::{Item, Report, Section};
use crate::error::Error;
use crate::suggest::nearest;
use crate::variable::Variables;

/// What one variable may be set to.
pub(super) struct Bound {
    variable: String,
    range: RangeInclusive<i64>,
    place: String,
    span: Span,
}

pub(super) fn read(table: &mut Section<'_, '_>, id: &str, report: &mut Report<'_>) -> Vec<Bound> {
    let place = format!("[component.{id}.tool.nexus.variables]");
    let section = table.section("variables", &place, report);
    let entries = section.iter().flat_map(Section::entries);
    entries.filter_map(|item| read_one(&item, &place, report)).collect()
}

fn read_one(item: &Item<'_, '_>, place: &str, report: &mut Report<'_>) -> Option<Bound> {
    let place = format!("{}.{}]", place.trim_end_matches(']'), item.key);
    let mut table = item.section(&place, report)?;
    let integer = table.require("integer", report);
    let range = integer.and_then(|item| item.range(report));
    table.finish(report);
    Some(Bound {
        variable: item.key.to_owned(),
        range: range?,
        place,
        span: item.key_span,
    })
}

impl Bound {
    /// Whether this is about the variable.
    pub(super) fn is_of(&self, variable: &str) -> bool {
        self.variable == variable
    }

    /// Reports a value that is not within it. An empty one leaves the choice to the component, as one that is not there.
    pub(super) fn check(&self, item: &Item<'_, '_>, value: &ConfigValue, report: &mut Report<'_>) {
        let text = value.expose();
        // Blanks around a number mean nothing to the SDK either.
        let parsed = text.trim().parse();
        if text.is_empty() || parsed.as_ref().is_ok_and(|number| self.range.contains(number)) {
            return;
        }
        let found = match (value.is_secret(), &parsed) {
            (true, Err(_)) => "a secret that is no integer".to_owned(),
            (true, Ok(_)) => "a secret number".to_owned(),
            (false, Err(_)) => format!("`{}`, which is no integer", shortened(text)),
            (false, Ok(number)) => number.to_string(),
        };
        let error = Error::VariableOutOfBounds {
            place: item.place().to_owned(),
            name: self.variable.clone(),
            found,
            min: *self.range.start(),
            max: *self.range.end(),
            environment: Variables::named(item.text()).map(Variables::environment_name).collect(),
        };
        report.add(item.value_span(), error);
    }

    /// Reports that the component has no such variable.
    pub(super) fn has_no_variable<'n>(&self, names: impl Iterator<Item = &'n str>, report: &mut Report<'_>) {
        let error = Error::BoundOfNothing {
            place: self.place.clone(),
            name: self.variable.clone(),
            nearest: nearest(&self.variable, names),
        };
        report.add(self.span, error);
    }
}

/// As much as fits into a line.
fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    let mut shown: String = text.escape_debug().take(MAX_CHARS).collect();
    if text.escape_debug().nth(MAX_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
