//! The parameters of a list: from a query string and, for the client, back to one.

use std::fmt::Display;
use std::str::FromStr;

use host_types::ComponentId;

use crate::audit::AuditFilter;
use crate::operate::Filter;
use crate::problem::Refusal;

/// The longest page.
pub const MAX_LIMIT: u32 = 100;
pub(crate) const DEFAULT_LIMIT: u32 = 50;

/// A query string's parameters, as they come.
pub(crate) fn pairs(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).map_err(|error| Refusal::Parameter {
        name: "query".to_owned(),
        detail: error.to_string(),
    })?;
    for (name, value) in &pairs {
        stored(name, Some(value))?;
    }
    Ok(pairs)
}

/// Refuses a text that nothing in the database can hold, or be found by: asked for one, it fails.
pub(crate) fn stored(name: &str, text: Option<&str>) -> Result<(), Refusal> {
    if text.is_none_or(|text| !text.contains('\0')) {
        return Ok(());
    }
    Err(Refusal::Parameter {
        name: name.to_owned(),
        detail: "holds U+0000, which the database does not take".to_owned(),
    })
}

/// A parameter that is `true` or `false`.
pub(crate) fn flag(name: &str, value: &str) -> Result<bool, Refusal> {
    value.parse().map_err(|_| Refusal::Parameter {
        name: name.to_owned(),
        detail: "is neither true nor false".to_owned(),
    })
}

/// Reads the filter; an empty value counts as none. Every parameter is understood or refused: a misspelt filter that lists
/// everything would mislead.
pub(crate) fn filter(query: &str) -> Result<Filter, Refusal> {
    let mut filter = Filter {
        limit: Some(DEFAULT_LIMIT),
        ..Filter::default()
    };
    let mut seen = Vec::new();
    for (name, value) in pairs(query)? {
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
            "function" => filter.function = Some(value),
            "older_than" => {
                let older_than_ms = duration_ms(&value).map_err(|detail| Refusal::Parameter {
                    name: name.clone(),
                    detail,
                });
                filter.older_than_ms = Some(older_than_ms?);
            }
            "cause" => filter.cause = Some(value),
            "waiting_for" => filter.waiting_for = Some(parsed(&name, &value)?),
            "idempotency_key" => filter.idempotency_key = Some(value),
            "subject" => filter.subject = Some(value),
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
                let detail = "is not a parameter of this list; there are status, component, function, older_than, cause, \
                    waiting_for, idempotency_key, subject, limit and cursor";
                return Err(Refusal::Parameter {
                    name,
                    detail: detail.to_owned(),
                });
            }
        }
        seen.push(name);
    }
    check(&filter)?;
    Ok(filter)
}

/// What is only understood together; and for filters that come in a body, what [`pairs`] refuses.
pub(crate) fn check(filter: &Filter) -> Result<(), Refusal> {
    stored("component", filter.component.as_ref().map(ComponentId::as_str))?;
    stored("function", filter.function.as_deref())?;
    stored("cause", filter.cause.as_deref())?;
    if filter.subject.is_some() && filter.idempotency_key.is_none() {
        return Err(Refusal::Parameter {
            name: "subject".to_owned(),
            detail: "says whose an idempotency_key is; give that as well".to_owned(),
        });
    }
    Ok(())
}

pub(crate) fn parsed<T: FromStr<Err: Display>>(name: &str, value: &str) -> Result<T, Refusal> {
    value.parse().map_err(|error: T::Err| Refusal::Parameter {
        name: name.to_owned(),
        detail: error.to_string(),
    })
}

pub(crate) fn limit(name: &str, value: &str) -> Result<u32, Refusal> {
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
        function,
        older_than_ms,
        cause,
        waiting_for,
        idempotency_key,
        subject,
        limit,
        cursor,
    } = filter;
    let pairs = [
        ("status", status.map(|status| status.to_string())),
        ("component", component.as_ref().map(ToString::to_string)),
        ("function", function.clone()),
        ("older_than", older_than_ms.map(|ms| format!("{ms}ms"))),
        ("cause", cause.clone()),
        ("waiting_for", waiting_for.map(|waiting_for| waiting_for.to_string())),
        ("idempotency_key", idempotency_key.clone()),
        ("subject", subject.clone()),
        ("limit", limit.map(|limit| limit.to_string())),
        ("cursor", cursor.map(|cursor| cursor.to_string())),
    ];
    let given: Vec<_> = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    serde_urlencoded::to_string(given).expect("pairs of texts have a form encoding")
}

/// Reads `30s`, `10m`, `2h`, `7d` or `500ms`.
pub fn duration_ms(text: &str) -> Result<u64, String> {
    let invalid = || format!("{text:?} is not a duration; write one as 30s, 10m, 2h or 7d");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(invalid()),
    };
    let number: u64 = number.parse().map_err(|_| invalid())?;
    number.checked_mul(unit_ms).ok_or_else(invalid)
}

/// The parameters of a list of words.
pub(crate) fn audit(query: &str) -> Result<AuditFilter, Refusal> {
    let refused = |name: &str, detail: String| Refusal::Parameter {
        name: name.to_owned(),
        detail,
    };
    let mut filter = AuditFilter {
        limit: Some(DEFAULT_LIMIT),
        ..AuditFilter::default()
    };
    for (name, value) in pairs(query)? {
        match name.as_str() {
            _ if value.is_empty() => {}
            "invocation" => filter.invocation = Some(parsed(&name, &value)?),
            "component" => filter.component = Some(ComponentId::from(value)),
            "limit" => filter.limit = Some(limit(&name, &value)?),
            "cursor" => filter.cursor = Some(parsed(&name, &value)?),
            _ => {
                return Err(refused(
                    &name,
                    "is unknown; there are invocation, component, limit and cursor".to_owned(),
                ));
            }
        }
    }
    Ok(filter)
}

/// The query string of a list of words.
pub(crate) fn audit_text(filter: &AuditFilter) -> String {
    let pairs = [
        ("invocation", filter.invocation.map(|id| id.to_string())),
        ("component", filter.component.as_ref().map(ToString::to_string)),
        ("limit", filter.limit.map(|limit| limit.to_string())),
        ("cursor", filter.cursor.map(|cursor| cursor.to_string())),
    ];
    let given: Vec<_> = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    serde_urlencoded::to_string(given).expect("pairs of texts have a form encoding")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(duration_ms(text), Ok(ms));
        }
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5h",
            "10 m",
            "1w",
            "99999999999999999999s",
            "9999999999999999d",
        ] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }
}
