//! The reader over the TOML tree. A `Section` is a table whose known keys are those that were asked for; the rest is reported. Every
//! reading reports what it cannot read and goes on, so that one run finds everything.

use std::fmt::Display;
use std::ops::RangeInclusive;

use toml_span::value::{Table, ValueInner};
use toml_span::{Span, Value};

use crate::error::{Error, Location, Problem};
use crate::suggest::nearest;

/// Collects problems and knows where in the text a span is.
pub(crate) struct Report<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            problems: Vec::new(),
        }
    }

    pub(crate) fn locate(&self, span: Span) -> Location {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Location {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    pub(crate) fn add(&mut self, span: Span, error: Error) {
        let at = self.locate(span);
        self.add_at(at, error);
    }

    pub(crate) fn add_at(&mut self, at: Location, error: Error) {
        self.problems.push(Problem { at, error });
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// A table and the keys that have been asked of it.
pub(crate) struct Section<'v, 'd> {
    /// The header as it would be written, for messages.
    pub(crate) place: String,
    /// Where the table, or the key it belongs to, begins.
    pub(crate) at: Span,
    table: &'v Table<'d>,
    known: Vec<&'static str>,
    refused: Vec<&'static str>,
}

/// A key and its value.
pub(crate) struct Item<'v, 'd> {
    place: String,
    pub(crate) key: &'v str,
    pub(crate) key_span: Span,
    value: &'v Value<'d>,
}

impl<'v, 'd> Section<'v, 'd> {
    /// The whole document.
    pub(crate) fn root(value: &'v Value<'d>) -> Self {
        static EMPTY: Table<'static> = Table::new();
        let table = value.as_table().unwrap_or(&EMPTY);
        Self {
            place: "the manifest".into(),
            at: Span::new(0, 0),
            table,
            known: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// The value of a key that is allowed here.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Item<'v, 'd>> {
        self.known.push(key);
        let (name, value) = self.table.get_key_value(key)?;
        Some(Item {
            place: self.place.clone(),
            key: &name.name,
            key_span: name.span,
            value,
        })
    }

    /// As `get`; its absence is a problem.
    pub(crate) fn require(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<Item<'v, 'd>> {
        let item = self.get(key);
        if item.is_none() {
            report.add(
                self.at,
                Error::MissingKey {
                    place: self.place.clone(),
                    key: key.into(),
                },
            );
        }
        item
    }

    /// A key that Spin has and this host does not: a problem when it is there.
    pub(crate) fn refuse(&mut self, key: &'static str, way_out: &str, report: &mut Report<'_>) {
        self.refused.push(key);
        if let Some((name, _)) = self.table.get_key_value(key) {
            let error = Error::Unsupported {
                place: self.place.clone(),
                key: key.into(),
                way_out: way_out.into(),
            };
            report.add(name.span, error);
        }
    }

    /// Every key with its value, for tables whose keys are free.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Item<'v, 'd>> + use<'v, 'd> {
        let place = self.place.clone();
        self.table.iter().map(move |(name, value)| Item {
            place: place.clone(),
            key: &name.name,
            key_span: name.span,
            value,
        })
    }

    /// Reports the keys nobody asked for.
    pub(crate) fn finish(self, report: &mut Report<'_>) {
        for item in self.entries() {
            if self.known.contains(&item.key) || self.refused.contains(&item.key) {
                continue;
            }
            let error = Error::UnknownKey {
                place: item.place.clone(),
                key: item.key.to_owned(),
                nearest: nearest(item.key, self.known.iter().copied()),
                known: self.known.iter().map(|key| (*key).to_owned()).collect(),
            };
            report.add(item.key_span, error);
        }
    }

    pub(crate) fn string(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<&'v str> {
        self.get(key)?.string(report)
    }

    pub(crate) fn boolean(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<bool> {
        self.get(key)?.boolean(report)
    }

    pub(crate) fn strings(&mut self, key: &'static str, report: &mut Report<'_>) -> Vec<Item<'v, 'd>> {
        self.get(key).map_or_else(Vec::new, |item| item.strings(report))
    }

    /// An integer within `range`, or `default`.
    pub(crate) fn integer(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
        report: &mut Report<'_>,
    ) -> u64 {
        self.get(key)
            .and_then(|item| item.integer(range, report))
            .unwrap_or(default)
    }

    pub(crate) fn section(&mut self, key: &'static str, place: &str, report: &mut Report<'_>) -> Option<Self> {
        self.get(key)?.section(place, report)
    }
}

impl<'v, 'd> Item<'v, 'd> {
    pub(crate) fn string(&self, report: &mut Report<'_>) -> Option<&'v str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type("a string", report);
        }
        text
    }

    /// What the value means, which is one of two words.
    pub(crate) fn either<T: Clone>(
        &self,
        words: [(&str, T); 2],
        way_out: impl Display,
        report: &mut Report<'_>,
    ) -> Option<T> {
        let word = self.string(report)?;
        let meant = words
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, meant)| meant.clone());
        if meant.is_none() {
            let [(one, _), (other, _)] = words;
            self.invalid(format!("is neither `{one}` nor `{other}`"), way_out, report);
        }
        meant
    }

    /// Whether the value is a list without anything in it.
    pub(crate) fn is_empty_list(&self) -> bool {
        self.value.as_array().is_some_and(|list| list.is_empty())
    }

    /// Where the value is.
    pub(crate) fn value_span(&self) -> Span {
        self.value.span
    }

    /// The text of an item made by `strings`.
    pub(crate) fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    pub(crate) fn boolean(&self, report: &mut Report<'_>) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.wrong_type("true or false", report);
        }
        value
    }

    pub(crate) fn integer(&self, range: RangeInclusive<u64>, report: &mut Report<'_>) -> Option<u64> {
        let Some(value) = self.value.as_integer() else {
            self.wrong_type("an integer", report);
            return None;
        };
        let within = u64::try_from(value).ok().filter(|value| range.contains(value));
        if within.is_none() {
            self.out_of_range(value, range, report);
        }
        within
    }

    /// A list of the least and the most.
    pub(crate) fn range(&self, report: &mut Report<'_>) -> Option<RangeInclusive<i64>> {
        let list = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        match list {
            [least, most] if least.as_integer().is_some() && least.as_integer() <= most.as_integer() => {
                Some(least.as_integer()?..=most.as_integer()?)
            }
            _ => {
                self.wrong_type("a list of the least and the most integer", report);
                None
            }
        }
    }

    pub(crate) fn number(&self, range: RangeInclusive<f64>, report: &mut Report<'_>) -> Option<f64> {
        let value = match self.value.as_ref() {
            ValueInner::Float(value) => *value,
            // `factor = 2` is what people write; every integer near a range of ours is exact as a float.
            ValueInner::Integer(value) => *value as f64,
            _ => {
                self.wrong_type("a number", report);
                return None;
            }
        };
        if !range.contains(&value) {
            self.out_of_range(value, range, report);
            return None;
        }
        Some(value)
    }

    /// The strings of a list, each as an item of its own position.
    pub(crate) fn strings(&self, report: &mut Report<'_>) -> Vec<Item<'v, 'd>> {
        let Some(list) = self.value.as_array() else {
            self.wrong_type("a list of strings", report);
            return Vec::new();
        };
        if list.iter().any(|value| value.as_str().is_none()) {
            self.wrong_type("a list of strings", report);
        }
        let texts = list.iter().filter(|value| value.as_str().is_some());
        texts
            .map(|value| Item {
                place: self.place.clone(),
                key: self.key,
                key_span: value.span,
                value,
            })
            .collect()
    }

    /// One string, or the strings of a list; none when it is neither.
    pub(crate) fn string_or_strings(&self, report: &mut Report<'_>) -> Option<Vec<&'v str>> {
        match self.value.as_ref() {
            ValueInner::String(text) => Some(vec![text]),
            ValueInner::Array(_) => Some(self.strings(report).iter().map(Item::text).collect()),
            _ => {
                self.wrong_type("a string", report);
                None
            }
        }
    }

    pub(crate) fn section(&self, place: &str, report: &mut Report<'_>) -> Option<Section<'v, 'd>> {
        let Some(table) = self.value.as_table() else {
            self.wrong_type("a table", report);
            return None;
        };
        Some(Section {
            place: place.into(),
            at: self.key_span,
            table,
            known: Vec::new(),
            refused: Vec::new(),
        })
    }

    /// The tables of an array of tables.
    pub(crate) fn sections(&self, place: &str, report: &mut Report<'_>) -> Vec<Section<'v, 'd>> {
        let tables: Option<Vec<_>> = self.value.as_array().and_then(|list| {
            let section = |value: &'v Value<'d>| {
                let table = value.as_table()?;
                // The span of `[[header]]` opens before the header; its first key is closer to what is meant.
                Some(Section {
                    place: place.into(),
                    at: value.span,
                    table,
                    known: Vec::new(),
                    refused: Vec::new(),
                })
            };
            list.iter().map(section).collect()
        });
        if tables.is_none() {
            self.wrong_type("an array of tables", report);
        }
        tables.unwrap_or_default()
    }

    /// The header of the table the key is in.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    fn wrong_type(&self, expected: &'static str, report: &mut Report<'_>) {
        let error = Error::WrongType {
            place: self.place.clone(),
            key: self.key.to_owned(),
            expected,
            found: match self.value.as_ref() {
                ValueInner::Array(_) => "a list",
                ValueInner::Integer(_) => "an integer",
                ValueInner::Boolean(_) => "true or false",
                ValueInner::Float(_) => "a float",
                ValueInner::String(_) => "a string",
                ValueInner::Table(_) => "a table",
            },
        };
        report.add(self.key_span, error);
    }

    /// Reports that the value, of the right type, breaks a rule.
    pub(crate) fn invalid(&self, reason: impl Display, way_out: impl Display, report: &mut Report<'_>) {
        let error = Error::Invalid {
            place: self.place.clone(),
            key: self.key.to_owned(),
            value: self.text().to_owned(),
            reason: reason.to_string(),
            way_out: way_out.to_string(),
        };
        report.add(self.value.span, error);
    }

    /// Reports that the key itself breaks a rule.
    pub(crate) fn invalid_key(&self, what: &str, reason: impl Display, way_out: &str, report: &mut Report<'_>) {
        let error = Error::Invalid {
            place: self.place.clone(),
            key: what.to_owned(),
            value: self.key.to_owned(),
            reason: reason.to_string(),
            way_out: way_out.to_owned(),
        };
        report.add(self.key_span, error);
    }

    fn out_of_range<T: Display>(&self, value: impl Display, range: RangeInclusive<T>, report: &mut Report<'_>) {
        let error = Error::OutOfRange {
            place: self.place.clone(),
            key: self.key.to_owned(),
            value: value.to_string(),
            min: range.start().to_string(),
            max: range.end().to_string(),
        };
        report.add(self.key_span, error);
    }
}
