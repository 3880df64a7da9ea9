//! Statements of somebody else's choice, and what the host said to them.

use sdk::bindings::nexus::sql::sql::{self, Error, Isolation, Rows, Transaction, Value};
use serde_json::{Value as Json, json};

/// Of a value, so much is told.
const TOLD_CHARACTERS: usize = 200;

pub(crate) fn query(text: &str) -> Json {
    tell(sql::query(text, &[]))
}

pub(crate) fn execute(text: &str) -> Json {
    tell(sql::execute(text, &[]))
}

/// An outcome for each statement, and one for the commit.
pub(crate) fn transaction(texts: &[String]) -> Vec<Json> {
    let transaction = Transaction::begin(Isolation::ReadCommitted);
    let mut outcomes: Vec<Json> = texts.iter().map(|text| tell(transaction.run(text, &[]))).collect();
    outcomes.push(match transaction.commit() {
        Ok(()) => json!({ "rows": [] }),
        Err(error) => refusal(&error),
    });
    outcomes
}

/// A row that tells that an invocation came so far; it makes the invocation durable.
pub(crate) fn leave_a_trace(name: &str) {
    let left = sql::execute("INSERT INTO trace (name) VALUES ($1)", &[Value::Text(name.to_owned())]);
    left.expect("the module may write its own table");
}

fn tell(outcome: Result<Rows, Error>) -> Json {
    match outcome {
        Ok(rows) => {
            let rows: Vec<Vec<String>> = rows.rows.iter().map(|row| row.iter().map(text).collect()).collect();
            json!({ "rows": rows })
        }
        Err(error) => refusal(&error),
    }
}

fn text(value: &Value) -> String {
    let text = match value {
        Value::Text(text) | Value::Numeric(text) | Value::Json(text) => text.clone(),
        Value::Int16(number) => number.to_string(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    text.chars().take(TOLD_CHARACTERS).collect()
}

fn refusal(error: &Error) -> Json {
    let (code, message) = match error {
        Error::UniqueViolation(violation) => ("23505", violation.message.clone()),
        Error::ForeignKeyViolation(violation) => ("23503", violation.message.clone()),
        Error::CheckViolation(violation) => ("23514", violation.message.clone()),
        Error::NotNullViolation(violation) => ("23502", violation.message.clone()),
        Error::InvalidParameter((position, reason)) => ("parameter", format!("{position}: {reason}")),
        Error::Poisoned => ("poisoned", String::new()),
        Error::Other(error) => (error.code.as_str(), error.message.clone()),
    };
    json!({ "code": code, "message": message.chars().take(TOLD_CHARACTERS).collect::<String>() })
}
