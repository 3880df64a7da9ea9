//! The SQL statements that a component tells of, prepared in the schema of its module: what would always fail is known before it runs.

use std::fmt;
use std::sync::Arc;

use host_engine::Statement;
use host_sql::{ModulePool, Unprepared};

/// How much of a statement is shown, in characters.
const SHOWN: usize = 80;

/// A statement that would always fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingStatement {
    /// Which.
    pub statement: Statement,
    /// Why.
    pub why: Unprepared,
}

/// Those of these statements that would always fail, as the module whose sessions these are: in the order of its source.
pub async fn failing_statements(
    module: &Arc<ModulePool>,
    mut statements: Vec<Statement>,
) -> Result<Vec<FailingStatement>, host_sql::Error> {
    statements.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    let mut failing = Vec::new();
    for statement in statements {
        if let Some(why) = module.prepare(&statement.text).await? {
            failing.push(FailingStatement { statement, why });
        }
    }
    Ok(failing)
}

impl fmt::Display for FailingStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            statement: Statement { file, line, text },
            why,
        } = self;
        let (message, code) = (one_line(&why.message), &why.code);
        write!(f, "{file}:{line}: {message} (SQLSTATE {code})")?;
        if let Some(position) = why.position {
            let rest: String = text.chars().skip(position.saturating_sub(1) as usize).collect();
            write!(f, "\n  at character {position}: {}", beginning(&rest))?;
        }
        for (name, more) in [("detail", &why.detail), ("hint", &why.hint)] {
            if let Some(more) = more {
                write!(f, "\n  {name}: {}", one_line(more))?;
            }
        }
        write!(f, "\n  statement: {}", beginning(text))
    }
}

fn beginning(text: &str) -> String {
    let line = one_line(text);
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A component's text decides nothing about the terminal it is shown on.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_statement_says_where_what_and_what_to_do() {
        let text = format!("SELECT id,\n   nmae\x1b[2J FROM item WHERE {}", "x AND ".repeat(20));
        let failing = FailingStatement {
            statement: Statement {
                file: "src/store.rs".into(),
                line: 7,
                text,
            },
            why: Unprepared {
                code: "42703".into(),
                message: "column \"nmae\" does not exist".into(),
                detail: None,
                hint: Some("Perhaps you meant\nthe column \"item.name\".".into()),
                position: Some(15),
            },
        };
        let shown = failing.to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(
            lines[0],
            "src/store.rs:7: column \"nmae\" does not exist (SQLSTATE 42703)"
        );
        assert!(lines[1].starts_with("  at character 15: nmae [2J FROM item"), "{shown}");
        assert_eq!(lines[2], "  hint: Perhaps you meant the column \"item.name\".");
        assert!(lines[3].starts_with("  statement: SELECT id, nmae [2J FROM"), "{shown}");
        assert!(lines[3].ends_with('…') && lines.len() == 4, "{shown}");
    }
}
