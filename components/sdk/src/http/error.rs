//! What went wrong, as a client is told.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::wire;
use crate::{config, invocation, log, sql};

/// A failure with a status and a code. Its message begins with the code, because clients strip or show that prefix.
///
/// A cause is kept for the log and never sent; it is logged once, when the answer is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    status: u16,
    code: Cow<'static, str>,
    message: String,
    headers: Vec<(&'static str, String)>,
    /// Also sent as `message` at the top level, which is all that framework-level failures used to have.
    bare: bool,
    cause: Option<String>,
}

impl Error {
    /// A failure the client is told about. The detail is a sentence without the code; it becomes `<code>: <detail>`.
    pub fn new(status: u16, code: impl Into<Cow<'static, str>>, detail: impl AsRef<str>) -> Self {
        let code = code.into();
        let message = if code.is_empty() {
            detail.as_ref().to_owned()
        } else {
            format!("{code}: {}", detail.as_ref())
        };
        Self {
            status,
            code,
            message,
            headers: Vec::new(),
            bare: false,
            cause: None,
        }
    }

    /// 400 `validation` whose message carries a JSON object of field name to sentence.
    pub fn validation<K: Serialize + Ord>(failures: &BTreeMap<K, String>) -> Self {
        Self::new(400, "validation", serde_json::to_string(failures).unwrap_or_default())
    }

    /// 400 `validation` of one field or parameter.
    pub fn invalid(field: &str, sentence: impl Into<String>) -> Self {
        Self::validation(&BTreeMap::from([(field, sentence.into())]))
    }

    /// 400 with a code of its own.
    pub fn bad_request(code: &'static str, detail: impl AsRef<str>) -> Self {
        Self::new(400, code, detail)
    }

    /// 401 `unauthorized`.
    pub fn unauthorized(detail: impl AsRef<str>) -> Self {
        Self::new(401, "unauthorized", detail).with_header("www-authenticate", "Bearer")
    }

    /// 403 `forbidden`.
    pub fn forbidden(detail: impl AsRef<str>) -> Self {
        Self::new(403, "forbidden", detail)
    }

    /// 404; also for what exists but is not the caller's.
    pub fn not_found(code: &'static str, detail: impl AsRef<str>) -> Self {
        Self::new(404, code, detail)
    }

    /// 409.
    pub fn conflict(code: &'static str, detail: impl AsRef<str>) -> Self {
        Self::new(409, code, detail)
    }

    /// 503 `unavailable`: something this module needs does not answer.
    pub fn unavailable(detail: impl AsRef<str>) -> Self {
        Self::new(503, "unavailable", detail)
    }

    /// 500 `internal`: the client gets a general message and the invocation's id, the log gets the cause.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::new(500, "internal", "the request could not be completed").with_cause(cause)
    }

    /// The same with what lies behind it, for the log; the client gets the invocation's id instead.
    #[must_use]
    pub fn with_cause(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// A failure found before any handler ran.
    pub(super) fn bare(status: u16, code: &'static str, detail: &str) -> Self {
        Self {
            bare: true,
            ..Self::new(status, code, detail)
        }
    }

    /// The same with a header on its answer; the name in lower case.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What clients tell failures apart by.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The whole message, with the code before it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Writes the answer. Logs the cause and asks the host for the invocation's id when there is a cause.
    pub(super) fn into_wire(self) -> wire::Response {
        let request_id = self.cause.as_ref().map(|cause| {
            log::error("request failed", &[("cause", cause), ("status", &self.status)]);
            invocation::id()
        });
        self.render(request_id)
    }

    fn render(self, request_id: Option<String>) -> wire::Response {
        let mut body = Map::new();
        if self.bare {
            // Without the code: this is the text that framework-level failures always had.
            let text = self
                .message
                .strip_prefix(&format!("{}: ", self.code))
                .unwrap_or(&self.message);
            body.insert("message".to_owned(), Value::from(text));
        }
        let mut error = json!({ "http_status": self.status, "code": self.code, "message": self.message });
        if let Some(request_id) = request_id {
            error["request_id"] = Value::from(request_id);
        }
        body.insert("error".to_owned(), error);

        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.extend(self.headers.into_iter().map(|(name, value)| (name.to_owned(), value)));
        wire::Response {
            status: self.status,
            headers,
            body: Value::Object(body).to_string().into_bytes(),
        }
    }
}

/// Only what a module does not expect comes this way: expected violations are matched before.
impl From<sql::Error> for Error {
    fn from(error: sql::Error) -> Self {
        Self::internal(error)
    }
}

impl From<config::Error> for Error {
    fn from(error: config::Error) -> Self {
        Self::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(error: Error, request_id: Option<&str>) -> Value {
        serde_json::from_slice(&error.render(request_id.map(str::to_owned)).body).unwrap()
    }

    #[test]
    fn the_message_begins_with_the_code() {
        assert_eq!(
            body(Error::conflict("conflict_email", "email is taken"), None),
            json!({ "error": { "http_status": 409, "code": "conflict_email", "message": "conflict_email: email is taken" } })
        );
    }

    #[test]
    fn a_cause_is_never_sent() {
        let sent = body(Error::internal("relation \"account\" does not exist"), Some("0190"));
        assert_eq!(sent["error"]["request_id"], "0190");
        assert_eq!(sent["error"]["code"], "internal");
        assert!(!sent.to_string().contains("relation"));
    }

    #[test]
    fn failures_before_a_handler_have_both_shapes() {
        let sent = body(Error::bare(404, "not_found", "Not Found"), None);
        assert_eq!(sent["message"], "Not Found");
        assert_eq!(sent["error"]["message"], "not_found: Not Found");
    }

    #[test]
    fn a_missing_token_is_challenged() {
        let response = Error::unauthorized("no token").render(None);
        assert!(
            response
                .headers
                .contains(&("www-authenticate".to_owned(), "Bearer".to_owned()))
        );
    }
}
