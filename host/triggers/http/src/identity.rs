//! A bearer token as an identity. The token goes no further than this file.

use host_manifest::IdentityRule;
use host_types::{Claims, Identity};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// A token that its key vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The whole payload, the text of a JSON object.
    pub payload: String,
}

/// Verifies tokens. A closure of the same shape is one.
pub trait VerifyToken: Send + Sync + 'static {
    /// Checks `token` with the key named `key` at `now_ms` (milliseconds since 1970). The error says why in words that the
    /// caller of the route may read.
    fn verify(&self, key: &str, token: &str, now_ms: u64) -> Result<Verified, String>;
}

impl<F> VerifyToken for F
where
    F: Fn(&str, &str, u64) -> Result<Verified, String> + Send + Sync + 'static,
{
    fn verify(&self, key: &str, token: &str, now_ms: u64) -> Result<Verified, String> {
        self(key, token, now_ms)
    }
}

/// A query and the token that was in it, which is taken out: what is recorded of a request has none.
pub(crate) fn in_query(query: &str) -> (String, Option<String>) {
    let mut token = None;
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            let sent = pair.strip_prefix("token=");
            if let Some(sent) = sent.filter(|sent| !sent.is_empty()) {
                let sent = percent_decode_str(sent).decode_utf8_lossy();
                token.get_or_insert(sent.into_owned());
            }
            sent.is_none()
        })
        .collect();
    (kept.join("&"), token)
}

/// Who is asking, by the component's rule; without a rule everybody is anonymous.
pub(crate) fn of(
    headers: &HeaderMap,
    rule: Option<&IdentityRule>,
    in_query: Option<&str>,
    verifier: &dyn VerifyToken,
    now_ms: u64,
) -> Identity {
    let Some(rule) = rule else {
        return Identity::Anonymous;
    };
    // The header first: who sends both means it.
    match token(headers).map(|token| token.or(in_query)) {
        Ok(None) => Identity::Anonymous,
        Ok(Some(token)) => match verifier.verify(rule.key.as_str(), token, now_ms) {
            Ok(Verified { payload }) => match subject(&payload, &rule.subject) {
                Some(subject) => Identity::Verified(Claims { subject, payload }),
                None => Identity::Invalid(format!("the token has no claim `{}`", rule.subject)),
            },
            Err(reason) => Identity::Invalid(reason),
        },
        Err(reason) => Identity::Invalid(reason.to_owned()),
    }
}

/// The token, with or without the prefix `Bearer `, which is case-sensitive: clients rely on either.
fn token(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    if sent.next().is_some() {
        return Err("the header Authorization is sent more than once");
    }
    let text = value
        .to_str()
        .map_err(|_| "the header Authorization is not ASCII text")?;
    let token = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    Ok((!token.is_empty()).then_some(token))
}

/// The claim as text; a number is one as well. An empty subject would be nobody's.
fn subject(payload: &str, claim: &str) -> Option<String> {
    let mut claims: serde_json::Map<String, Value> = serde_json::from_str(payload).ok()?;
    match claims.remove(claim)? {
        Value::String(subject) if !subject.is_empty() => Some(subject),
        Value::Number(subject) => Some(subject.to_string()),
        _ => None,
    }
}
