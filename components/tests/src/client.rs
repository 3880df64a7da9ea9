//! A client of the marketplace: JSON in, status and JSON out.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Talks to one host, as one account or as nobody.
#[derive(Clone)]
pub struct Client {
    url: String,
    token: Option<String>,
    key: Option<String>,
    headers: Vec<(String, String)>,
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Bytes,
    /// The body as JSON; null when it is none.
    pub json: Value,
}

impl Client {
    /// Nobody, at this address.
    pub fn new(url: &str) -> Self {
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        Self {
            url: url.to_owned(),
            token: None,
            key: None,
            headers: Vec::new(),
            http,
        }
    }

    /// The same client with connections of its own.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self {
            http: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http(),
            ..self.clone()
        }
    }

    /// The same client with another access token.
    #[must_use]
    pub fn signed_in(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The same client as nobody.
    #[must_use]
    pub fn signed_out(&self) -> Self {
        Self {
            token: None,
            ..self.clone()
        }
    }

    /// The same client at another address: the host was started again.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..Self::new(url)
        }
        .with_token_of(self)
    }

    /// The same client, sending this `Idempotency-Key`.
    #[must_use]
    pub fn keyed(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    /// The same client, sending this header too.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    fn with_token_of(self, other: &Self) -> Self {
        Self {
            token: other.token.clone(),
            key: other.key.clone(),
            ..self
        }
    }

    /// The access token it sends.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, None).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Result<Answer> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// POST with a JSON body, again and again while the host says so, for at most `patience`; as a client does that means it.
    pub async fn post_until_answered(&self, path: &str, body: &Value, patience: Duration) -> Result<Answer> {
        self.until_answered(Method::POST, path, Some(body), patience).await
    }

    /// PATCH, in the same way.
    pub async fn patch_until_answered(&self, path: &str, body: &Value, patience: Duration) -> Result<Answer> {
        self.until_answered(Method::PATCH, path, Some(body), patience).await
    }

    /// DELETE with or without a JSON body, in the same way.
    pub async fn delete_until_answered(&self, path: &str, body: Option<&Value>, patience: Duration) -> Result<Answer> {
        self.until_answered(Method::DELETE, path, body, patience).await
    }

    /// GET, in the same way.
    pub async fn get_until_answered(&self, path: &str, patience: Duration) -> Result<Answer> {
        self.until_answered(Method::GET, path, None, patience).await
    }

    async fn until_answered(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Answer> {
        let asked = async {
            loop {
                let answer = self.send(method.clone(), path, body.cloned()).await?;
                if !answer.asks_to_retry() {
                    return Ok(answer);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(patience, asked)
            .await
            .with_context(|| format!("{method} {path}: no answer in {patience:?}"))?
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Result<Answer> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// DELETE with or without a JSON body.
    pub async fn delete(&self, path: &str, body: Option<Value>) -> Result<Answer> {
        self.send(Method::DELETE, path, body).await
    }

    /// Any request with a JSON body.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        let (body, content_type) = match body {
            Some(body) => (Bytes::from(body.to_string()), Some("application/json")),
            None => (Bytes::new(), None),
        };
        self.send_raw(method, path, content_type, body).await
    }

    /// Any request at all.
    pub async fn send_raw(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let response = self.http.request(request.body(Full::new(body))?).await;
        let response = response.with_context(|| format!("{method} {path}"))?;
        let (parts, body) = response.into_parts();
        let bytes = body
            .collect()
            .await
            .with_context(|| format!("{method} {path}"))?
            .to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            bytes,
            json,
        })
    }
}

impl Answer {
    /// The host says: not now, ask again.
    pub fn asks_to_retry(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE || self.json["error"]["code"] == "idempotency_key_in_use"
    }

    /// The `data` of a success with this status.
    #[track_caller]
    pub fn data(&self, status: u16) -> &Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.json);
        &self.json["data"]
    }

    /// Asserts a failure with exactly this status and code.
    #[track_caller]
    pub fn failed(&self, status: u16, code: &str) -> &Value {
        let error = &self.json["error"];
        let found = (self.status.as_u16(), error["code"].as_str().unwrap_or_default());
        assert_eq!(found, (status, code), "{}", self.json);
        assert_eq!(error["http_status"], status, "{}", self.json);
        let message = error["message"].as_str().unwrap_or_default();
        assert!(
            message.starts_with(&format!("{code}: ")),
            "the message repeats the code first: {message}"
        );
        assert!(self.json.get("data").is_none(), "{}", self.json);
        error
    }

    /// Asserts a 400 `validation` that names this field or parameter.
    #[track_caller]
    pub fn names(&self, field: &str) {
        let message = self.failed(400, "validation")["message"].as_str().unwrap_or_default();
        let failures: Value = serde_json::from_str(message.trim_start_matches("validation: "))
            .expect("a JSON object of the failed fields");
        assert!(
            failures.get(field).is_some_and(Value::is_string),
            "`{field}` is not named: {message}"
        );
    }

    /// The text under a key of `data`.
    #[track_caller]
    pub fn text(&self, status: u16, key: &str) -> String {
        let value = &self.data(status)[key];
        value
            .as_str()
            .unwrap_or_else(|| panic!("no text `{key}` in {}", self.json))
            .to_owned()
    }
}
