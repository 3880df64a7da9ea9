//! `/health`, `/livez`: the process answers. `/ready`, `/readyz`: it can do its work. `/startupz`: it could, once.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// What the host last found out about itself. Whoever looks publishes it through the `watch` channel of the server's options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Ready when all of them are.
    checks: Vec<Check>,
    /// All of them were, once. What fails later is no matter of the start, and not for whoever waits for that to end it.
    has_started: bool,
}

impl Readiness {
    /// What a look has found. A look without a check is none.
    pub fn found(&mut self, checks: Vec<Check>) {
        self.has_started |= !checks.is_empty() && checks.iter().all(|check| check.ok);
        self.checks = checks;
    }
}

/// One thing the host needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What, in a word: `database`.
    pub name: &'static str,
    /// It is there.
    pub ok: bool,
    /// For a person; no secrets, everybody can read it.
    pub detail: String,
}

/// Which question a path asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    Live,
    Ready,
    Started,
}

impl Probe {
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "/health" | "/livez" => Some(Self::Live),
            "/ready" | "/readyz" => Some(Self::Ready),
            "/startupz" => Some(Self::Started),
            _ => None,
        }
    }

    pub(crate) fn answer(self, readiness: &Readiness, is_draining: bool) -> Response<Full<Bytes>> {
        match self {
            Self::Live => ok(),
            Self::Ready => ready(readiness, is_draining),
            Self::Started if readiness.has_started => ok(),
            Self::Started => report(&readiness.checks.iter().collect::<Vec<_>>(), false),
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    status: &'static str,
    checks: &'a [&'a Check],
}

fn ready(readiness: &Readiness, is_draining: bool) -> Response<Full<Bytes>> {
    let serving = Check {
        name: "serving",
        ok: !is_draining,
        detail: if is_draining {
            "shutting down"
        } else {
            "accepting requests"
        }
        .to_owned(),
    };
    let checks: Vec<_> = std::iter::once(&serving).chain(&readiness.checks).collect();
    let ok = checks.iter().all(|check| check.ok);
    report(&checks, ok)
}

fn report(checks: &[&Check], ok: bool) -> Response<Full<Bytes>> {
    let (status, word) = if ok {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    };
    let body = serde_json::to_vec(&Report { status: word, checks }).expect("a report has text keys only");
    let mut response = json(status, body.into());
    if !ok {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn ok() -> Response<Full<Bytes>> {
    json(StatusCode::OK, r#"{"status":"ok"}"#.into())
}

fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_host_that_shuts_down_is_live_and_not_ready() {
        let readiness = Readiness::default();
        assert_eq!(Probe::Live.answer(&readiness, true).status(), StatusCode::OK);
        let response = Probe::Ready.answer(&readiness, true);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let expected = r#"{"status":"unavailable","checks":[{"name":"serving","ok":false,"detail":"shutting down"}]}"#;
        assert_eq!(body, expected);
    }
}
