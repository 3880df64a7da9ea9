//! A guest's line as an event of the host: one line, however it is written, and only so many of an instance.

use std::borrow::Cow;
use std::fmt::Write;

use host_bindings::nexus::log::log::Level;
use host_traces::TraceId;
use host_types::{ComponentId, InvocationId};

/// An instance lives for one call: who has more to say about it is out of control.
const LINES: u32 = 1_000;
const MESSAGE_BYTES: usize = 8 << 10;
const FIELDS: usize = 32;
const FIELD_NAME_BYTES: usize = 64;
const FIELD_VALUE_BYTES: usize = 1 << 10;

/// Whose line it is.
#[derive(Debug, Clone)]
pub struct Author {
    /// Which component wrote it.
    pub component: ComponentId,
    /// In which invocation.
    pub invocation: InvocationId,
    /// And what that belongs to.
    pub trace_id: TraceId,
}

/// The lines an instance has written.
#[derive(Debug, Default)]
pub struct Lines(u32);

impl Lines {
    /// Writes what a component printed as a line of the log.
    pub fn print(&mut self, author: &Author, text: &str) {
        if self.one_more(author) {
            write(author, Level::Info, text, &[]);
        }
    }

    /// Whether one more may be written; says once that no more are.
    pub(crate) fn one_more(&mut self, author: &Author) -> bool {
        if self.0 == LINES {
            self.0 += 1;
            let Author {
                component,
                invocation,
                trace_id,
            } = author;
            tracing::warn!(component.id = %component, invocation.id = %invocation, %trace_id, "more than {LINES} lines: the rest is left out");
        }
        self.0 = (self.0 + 1).min(LINES + 1);
        self.0 <= LINES
    }
}

/// Writes the line. The guest's fields stand together as a JSON object: the host's own cannot be overwritten by them.
pub(crate) fn write(author: &Author, level: Level, message: &str, fields: &[(String, String)]) {
    let Author {
        component,
        invocation,
        trace_id,
    } = author;
    let message = cut(message, MESSAGE_BYTES);
    let message = on_one_line(&message);
    let fields: serde_json::Map<String, serde_json::Value> = fields
        .iter()
        .take(FIELDS)
        .map(|(name, value)| {
            (
                cut(name, FIELD_NAME_BYTES).into_owned(),
                cut(value, FIELD_VALUE_BYTES).into_owned().into(),
            )
        })
        .collect();
    let fields = if fields.is_empty() {
        None
    } else {
        Some(serde_json::Value::Object(fields).to_string())
    };
    macro_rules! event {
        ($level:ident) => {
            tracing::$level!(
                fields = fields.as_deref(),
                component.id = %component,
                invocation.id = %invocation,
                %trace_id,
                "{message}"
            )
        };
    }
    match level {
        Level::Debug => event!(debug),
        Level::Info => event!(info),
        Level::Warn => event!(warn),
        Level::Error => event!(error),
    }
}

/// At most so many bytes, at a character's border, and visibly cut.
fn cut(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return Cow::Borrowed(text);
    }
    let end = (0..=bytes).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    Cow::Owned(format!("{}… ({} bytes)", &text[..end], text.len()))
}

/// Without line breaks and escape sequences, by which a message could pass for lines of the host.
fn on_one_line(text: &str) -> Cow<'_, str> {
    // The separators of lines and paragraphs are no control characters.
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if !text.contains(breaks) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match breaks(c) {
            // Into a string: it cannot fail.
            true => drop(write!(line, "{}", c.escape_default())),
            false => line.push(c),
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_on_its_line() {
        assert_eq!(on_one_line("đường 5"), "đường 5");
        assert_eq!(
            on_one_line("a\nERROR b\r\x1b[2J\u{85}\u{2028}c"),
            "a\\nERROR b\\r\\u{1b}[2J\\u{85}\\u{2028}c"
        );
    }

    #[test]
    fn an_instance_writes_only_so_many_lines() {
        let author = Author {
            component: ComponentId::from("chat"),
            invocation: InvocationId::new(0, [0; 10]),
            trace_id: host_traces::trace_id("", 0),
        };
        let mut lines = Lines::default();
        let written = (0..3 * LINES).filter(|_| lines.one_more(&author)).count();
        assert_eq!(written, LINES as usize);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc… (4 bytes)");
        assert_eq!(cut("đđ", 3), "đ… (4 bytes)");
    }
}
