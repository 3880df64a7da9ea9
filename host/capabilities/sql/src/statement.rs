//! Which statements a guest may send, and how one is bound and read.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use host_bindings::nexus::sql::sql;
use host_journal::MAX_ENTRY_BYTES;
use tokio_postgres::{Client, Statement};

use crate::error::{Failure, classify, not_supported, too_long};
use crate::value::{self, Column, Parameter};

const ALLOWED: [&str; 7] = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES"];

/// The longest statement. What is long are its values, and those are parameters.
const MAX_STATEMENT_BYTES: usize = 64 << 10;

/// Refuses what is not one data statement. That it is only one, the extended protocol sees to.
pub(crate) fn check(text: &str) -> Result<(), sql::Error> {
    if text.len() > MAX_STATEMENT_BYTES {
        let length = text.len();
        return Err(too_long(format!(
            "a statement of {length} bytes: one has at most {MAX_STATEMENT_BYTES}; give values as parameters"
        )));
    }
    if text.contains('\0') {
        return Err(not_supported("a statement with a zero byte".into()));
    }
    let keyword = first_keyword(text);
    if ALLOWED.iter().any(|allowed| keyword.eq_ignore_ascii_case(allowed)) {
        return Ok(());
    }
    let begins = if keyword.is_empty() {
        "with no keyword".to_owned()
    } else {
        format!("with {keyword:?}")
    };
    let rule = "a statement begins with SELECT, INSERT, UPDATE, DELETE, MERGE, WITH or VALUES";
    Err(not_supported(format!(
        "{rule}, this one {begins}; transactions are begun, committed and divided through nexus:sql"
    )))
}

/// Whether a statement that passes [`check`] only reads; WITH may write.
pub(crate) fn reads(text: &str) -> bool {
    let keyword = first_keyword(text);
    keyword.eq_ignore_ascii_case("SELECT") || keyword.eq_ignore_ascii_case("VALUES")
}

/// Whether the statement begins, ends or divides a transaction.
pub(crate) fn controls_transactions(text: &str) -> bool {
    const CONTROLS: [&str; 9] = [
        "BEGIN",
        "START",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT",
        "RELEASE",
        "PREPARE",
    ];
    let keyword = first_keyword(text);
    CONTROLS.iter().any(|control| keyword.eq_ignore_ascii_case(control))
}

/// The first word after whitespace, comments and opening parentheses.
fn first_keyword(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b' || c == '(');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.find(['\n', '\r']).map_or("", |end| &comment[end..]);
        } else if rest.starts_with("/*") {
            rest = after_block_comment(rest);
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c.is_ascii());
            return &rest[..end.unwrap_or(rest.len())];
        }
    }
}

/// Block comments nest. One that is not closed takes everything with it, as for the server.
fn after_block_comment(text: &str) -> &str {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return &text[at..];
        }
    }
    ""
}

/// A guest's values as this statement's parameters.
pub(crate) fn bind(statement: &Statement, values: &[sql::Value]) -> Result<Vec<Parameter>, sql::Error> {
    let types = statement.params();
    if types.len() != values.len() {
        let position = types.len().min(values.len()) as u32 + 1;
        let reason = format!(
            "the statement has {} parameters, {} were given",
            types.len(),
            values.len()
        );
        return Err(sql::Error::InvalidParameter((position, reason)));
    }
    let parameters = values.iter().zip(types).zip(1..).map(|((value, ty), position)| {
        value::parameter(value, ty).map_err(|reason| sql::Error::InvalidParameter((position, reason)))
    });
    parameters.collect()
}

/// Refuses a statement whose columns the interface cannot carry, before it does anything.
pub(crate) fn check_columns(statement: &Statement) -> Result<(), sql::Error> {
    let unsupported = statement
        .columns()
        .iter()
        .find_map(|column| value::unsupported(column.name(), column.type_()));
    unsupported.map_or(Ok(()), |reason| Err(not_supported(reason)))
}

/// Executes a bound statement and reads all it returns. The request is sent when this is first polled, so that requests polled in
/// order share a round trip.
pub(crate) async fn fetch(
    client: &Client,
    statement: &Statement,
    parameters: Vec<Parameter>,
) -> Result<sql::Rows, Failure> {
    let stream = client
        .query_raw(statement, parameters)
        .await
        .map_err(|error| classify(&error))?;
    let mut stream = pin!(stream);
    let (mut rows, mut size_bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await.map_err(|error| classify(&error))? {
        // A row counts also when it has no columns, or there would be no end of them.
        size_bytes += row.raw_size_bytes() + row.len() + 1;
        if size_bytes > MAX_ENTRY_BYTES {
            return Err(Failure::TooLarge(too_large()));
        }
        let values = (0..row.len()).map(|index| match row.try_get::<_, Column>(index) {
            Ok(Column(value)) => value,
            Err(error) => Err(error.to_string()),
        });
        match values.collect::<Result<Vec<_>, _>>() {
            Ok(values) => rows.push(values),
            Err(reason) => return Err(Failure::Refused(not_supported(reason))),
        }
    }
    let affected = stream.rows_affected().unwrap_or_default();
    let columns = statement
        .columns()
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    Ok(sql::Rows {
        columns,
        rows,
        affected,
    })
}

/// What is said about a result that cannot be recorded.
pub(crate) fn too_large() -> String {
    format!("a statement returned more than {MAX_ENTRY_BYTES} bytes, the most one entry holds: read less at once")
}

/// A session's prepared statements, by text. Dropping one closes it on the server.
#[derive(Default)]
pub(crate) struct StatementCache {
    by_text: HashMap<Arc<str>, Entry>,
    /// Of all texts together, bytes.
    text_bytes: usize,
    clock: u64,
}

struct Entry {
    statement: Statement,
    last_use: u64,
}

impl StatementCache {
    const CAPACITY: usize = 256;
    /// The server's plan of a statement is a multiple of its text: with this, also that is bounded.
    const CAPACITY_BYTES: usize = 1 << 20;

    pub(crate) fn get(&mut self, text: &str) -> Option<Statement> {
        self.clock += 1;
        let entry = self.by_text.get_mut(text)?;
        entry.last_use = self.clock;
        Some(entry.statement.clone())
    }

    pub(crate) fn insert(&mut self, text: &str, statement: Statement) {
        let is_full = |cache: &Self| {
            cache.by_text.len() >= Self::CAPACITY || cache.text_bytes + text.len() > Self::CAPACITY_BYTES
        };
        while is_full(self) && self.forget_oldest() {}
        let last_use = self.clock;
        if self
            .by_text
            .insert(text.into(), Entry { statement, last_use })
            .is_none()
        {
            self.text_bytes += text.len();
        }
    }

    /// False when there is none.
    fn forget_oldest(&mut self) -> bool {
        let oldest = self.by_text.iter().min_by_key(|(_, entry)| entry.last_use);
        let Some(text) = oldest.map(|(text, _)| Arc::clone(text)) else {
            return false;
        };
        self.by_text.remove(&text);
        self.text_bytes -= text.len();
        true
    }

    pub(crate) fn clear(&mut self) {
        self.by_text.clear();
        self.text_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_statements_pass_whatever_precedes_them() {
        for text in [
            "SELECT 1",
            "  \n\tselect 1",
            "-- a note\nInsert INTO t VALUES (1)",
            "/* a /* nested */ note */ UPDATE t SET a = 1",
            "((SELECT 1) UNION SELECT 2)",
            "( -- note\n /* note */ ( VALUES (1)))",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "DELETE FROM t",
            "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
        ] {
            assert!(check(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn nothing_else_passes() {
        for text in [
            "",
            " ; ",
            "-- SELECT 1",
            "/* SELECT 1",
            "/* /* */ SELECT 1",
            "/* */ */ SELECT 1",
            "SET ROLE postgres",
            "BEGIN",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT a",
            "DO $$ BEGIN END $$",
            "COPY t TO STDOUT",
            "CALL p()",
            "EXPLAIN ANALYZE DELETE FROM t",
            "LISTEN c",
            "LOCK TABLE t",
            "TABLE t",
            "CREATE TABLE t ()",
            "PREPARE TRANSACTION 'a'",
            "SELECTED",
            "SELECT_1",
            "SELECT\u{a0}1",
            "SELECT 1\0",
            "; SELECT 1",
            "\"SELECT\" 1",
            "--\r/**/COMMIT",
            "/*SELECT*/COMMIT",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_long_statement_is_refused_and_a_shorter_one_is_not() {
        let of = |length: usize| format!("SELECT 1 /*{}*/", "x".repeat(length));
        assert!(check(&of(MAX_STATEMENT_BYTES - 13)).is_ok());
        let Err(sql::Error::Other(error)) = check(&of(MAX_STATEMENT_BYTES)) else {
            panic!("refused")
        };
        assert_eq!(error.code, "54000");
        assert!(error.message.contains("65549 bytes"), "{}", error.message);
    }

    #[test]
    fn the_refusal_names_the_rule_and_the_word() {
        let Err(sql::Error::Other(error)) = check("/* x */ set search_path = a") else {
            panic!("refused")
        };
        assert_eq!(error.code, "0A000");
        assert!(
            error.message.contains("SELECT, INSERT") && error.message.contains("\"set\""),
            "{}",
            error.message
        );
    }
}
