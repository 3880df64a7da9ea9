//! The `Idempotency-Key` header: a structured-field string (`"..."`) or, for clients that do not know those, the bare text.

use host_types::IdempotencyKey;
use http::{HeaderMap, Method};

const NAME: &str = "idempotency-key";
const MAX_CHARS: usize = 255;

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidKey {
    #[error("Idempotency-Key is sent more than once")]
    Repeated,
    #[error("Idempotency-Key is empty; send 1 to {MAX_CHARS} characters, or leave it out")]
    Empty,
    #[error("Idempotency-Key is longer than {MAX_CHARS} characters")]
    TooLong,
    #[error("Idempotency-Key is neither a quoted string nor a token of visible ASCII characters")]
    Malformed,
}

/// The key of the request; none for methods whose repetition is harmless.
pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Result<Option<IdempotencyKey>, InvalidKey> {
    if !matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        return Ok(None);
    }
    let mut sent = headers.get_all(NAME).iter();
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    if sent.next().is_some() {
        return Err(InvalidKey::Repeated);
    }
    parse(value.as_bytes()).map(|key| Some(IdempotencyKey(key)))
}

fn parse(value: &[u8]) -> Result<String, InvalidKey> {
    let key = match value {
        [b'"', quoted @ ..] => unquote(quoted)?,
        // Neither whitespace nor what separates list members and parameters: such a value holds more than one key.
        bare if bare
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(byte)) =>
        {
            bare.iter().copied().map(char::from).collect()
        }
        _ => return Err(InvalidKey::Malformed),
    };
    match key.len() {
        0 => Err(InvalidKey::Empty),
        length if length > MAX_CHARS => Err(InvalidKey::TooLong),
        _ => Ok(key),
    }
}

/// The rest of a structured-field string (RFC 9651, 3.3.3) after its opening quote. Parameters are not understood, so refused.
fn unquote(quoted: &[u8]) -> Result<String, InvalidKey> {
    let mut key = String::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if bytes.as_slice().is_empty() => return Ok(key),
            b'\\' => match bytes.next() {
                Some(escaped @ (b'"' | b'\\')) => key.push(char::from(*escaped)),
                _ => break,
            },
            b'"' => break,
            b' '..=b'~' => key.push(char::from(*byte)),
            _ => break,
        }
    }
    Err(InvalidKey::Malformed)
}

#[cfg(test)]
mod tests {
    use super::{InvalidKey, parse};

    #[test]
    fn a_key_is_a_quoted_string_or_a_token() {
        let longest = "k".repeat(255);
        let too_long = "k".repeat(256);
        let quoted = |text: &str| format!("\"{text}\"");
        let table: &[(&str, Result<&str, InvalidKey>)] = &[
            ("cart-7", Ok("cart-7")),
            ("\"cart-7\"", Ok("cart-7")),
            (
                "018f3b1e-9f7a-7c31-b6a3-0d3c5a0e7a11",
                Ok("018f3b1e-9f7a-7c31-b6a3-0d3c5a0e7a11"),
            ),
            ("a+b/c=", Ok("a+b/c=")),
            (
                r#""with space, comma; and \"quote\" \\""#,
                Ok(r#"with space, comma; and "quote" \"#),
            ),
            (&longest, Ok(&longest)),
            (&quoted(&longest), Ok(&longest)),
            (&too_long, Err(InvalidKey::TooLong)),
            (&quoted(&too_long), Err(InvalidKey::TooLong)),
            ("", Err(InvalidKey::Empty)),
            ("\"\"", Err(InvalidKey::Empty)),
            ("\"", Err(InvalidKey::Malformed)),
            ("\"open", Err(InvalidKey::Malformed)),
            ("\"open\\\"", Err(InvalidKey::Malformed)),
            (r#""bad \escape""#, Err(InvalidKey::Malformed)),
            ("\"two\" \"keys\"", Err(InvalidKey::Malformed)),
            ("\"key\";p=1", Err(InvalidKey::Malformed)),
            ("\"ta\tb\"", Err(InvalidKey::Malformed)),
            ("two keys", Err(InvalidKey::Malformed)),
            ("two,keys", Err(InvalidKey::Malformed)),
            ("mid\"quote", Err(InvalidKey::Malformed)),
            ("clé", Err(InvalidKey::Malformed)),
            ("\"clé\"", Err(InvalidKey::Malformed)),
        ];
        for (sent, expected) in table {
            assert_eq!(parse(sent.as_bytes()).as_deref(), expected.as_ref().copied(), "{sent}");
        }
    }
}
