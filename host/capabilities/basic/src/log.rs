//! A guest's line as an event of the host, bounded so that a guest cannot flood the log with one call.

use std::borrow::Cow;

use host_bindings::nexus::log::log::Level;
use host_types::{ComponentId, InvocationId};

const MESSAGE_BYTES: usize = 8 << 10;
const FIELDS: usize = 32;
const FIELD_NAME_BYTES: usize = 64;
const FIELD_VALUE_BYTES: usize = 1 << 10;

/// Writes the line. The guest's fields stand together as a JSON object: the host's own cannot be overwritten by them.
pub(crate) fn write(
    component: &ComponentId,
    invocation: InvocationId,
    level: Level,
    message: &str,
    fields: &[(String, String)],
) {
    let message = cut(message, MESSAGE_BYTES);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc… (4 bytes)");
        assert_eq!(cut("đđ", 3), "đ… (4 bytes)");
    }
}
