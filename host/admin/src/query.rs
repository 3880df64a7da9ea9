//! The parameters of a list: from a query string and, for the client, back to one.

use std::fmt::Display;
use std::str::FromStr;

use crate::operate::Filter;
use crate::problem::Refusal;

/// The longest page.
pub const MAX_LIMIT: u32 = 100;
const DEFAULT_LIMIT: u32 = 50;

/// Reads the filter; an empty value counts as none. Every parameter is understood or refused: a misspelt filter that lists
/// everything would mislead.
pub(crate) fn filter(query: &str) -> Result<Filter, Refusal> {
    let mut filter = Filter {
        limit: Some(DEFAULT_LIMIT),
        ..Filter::default()
    };
    let mut seen = Vec::new();
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).map_err(|error| Refusal::Parameter {
        name: "query".to_owned(),
        detail: error.to_string(),
    })?;
    for (name, value) in pairs {
        if seen.contains(&name) {
            return Err(Refusal::Parameter {
                detail: "is given more than once".to_owned(),
                name,
            });
        }
        match name.as_str() {
            _ if value.is_empty() => {}
            "status" => filter.status = Some(parsed(&name, &value)?),
            "component" => filter.component = Some(value.into()),
            "limit" => filter.limit = Some(limit(&name, &value)?),
            "cursor" => {
                let detail = "is not a cursor; send the `next_cursor` of the page before, unchanged";
                let cursor = value.parse();
                filter.cursor = Some(cursor.map_err(|_| Refusal::Parameter {
                    name: name.clone(),
                    detail: detail.to_owned(),
                })?);
            }
            _ => {
                let detail = "is not a parameter of this list; there are status, component, limit and cursor";
                return Err(Refusal::Parameter {
                    name,
                    detail: detail.to_owned(),
                });
            }
        }
        seen.push(name);
    }
    Ok(filter)
}

fn parsed<T: FromStr<Err: Display>>(name: &str, value: &str) -> Result<T, Refusal> {
    value.parse().map_err(|error: T::Err| Refusal::Parameter {
        name: name.to_owned(),
        detail: error.to_string(),
    })
}

fn limit(name: &str, value: &str) -> Result<u32, Refusal> {
    let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    let detail = || format!("{value:?} is not a whole number from 1 to {MAX_LIMIT}");
    limit.ok_or_else(|| Refusal::Parameter {
        name: name.to_owned(),
        detail: detail(),
    })
}

/// The query string of a filter, without the question mark.
pub(crate) fn text(filter: &Filter) -> String {
    let Filter {
        status,
        component,
        limit,
        cursor,
    } = filter;
    let pairs = [
        ("status", status.map(|status| status.to_string())),
        ("component", component.as_ref().map(ToString::to_string)),
        ("limit", limit.map(|limit| limit.to_string())),
        ("cursor", cursor.map(|cursor| cursor.to_string())),
    ];
    let given: Vec<_> = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    serde_urlencoded::to_string(given).expect("pairs of texts have a form encoding")
}
