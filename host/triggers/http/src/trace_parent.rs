//! W3C `traceparent`: kept when it is one, otherwise as if it had not been sent.

use http::HeaderMap;

pub(crate) const NAME: &str = "traceparent";

/// The trace context the client sent, if it is well-formed and sent once.
pub(crate) fn of(headers: &HeaderMap) -> Option<String> {
    let mut sent = headers.get_all(NAME).iter();
    let (Some(value), None) = (sent.next(), sent.next()) else {
        return None;
    };
    let text = value.to_str().ok()?;
    is_valid(text).then(|| text.to_owned())
}

fn is_valid(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut field = |length: usize| {
        let part = parts.next()?;
        let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (part.len() == length && is_hex).then_some(part)
    };
    let (Some(version), Some(trace), Some(span), Some(_flags)) = (field(2), field(32), field(16), field(2)) else {
        return false;
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    // Later versions may append fields; the first has none, and ff never is a version.
    version != "ff" && (version != "00" || parts.next().is_none()) && !is_zero(trace) && !is_zero(span)
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn only_a_well_formed_context_is_kept() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_valid(valid));
        assert!(is_valid(&format!("{}-more", valid.replacen("00", "01", 1))));
        for invalid in [
            String::new(),
            "00".to_owned(),
            valid.to_uppercase(),
            format!("{valid}-more"),
            valid.replacen("00", "ff", 1),
            valid.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            valid.replace("00f067aa0ba902b7", &"0".repeat(16)),
            valid.replace("-01", "-1"),
            valid.replace("-01", "-0g"),
            valid.replace("-01", ""),
        ] {
            assert!(!is_valid(&invalid), "{invalid}");
        }
    }
}
