//! Responses that are none, or that say what is the host's to say.

use super::floods::overlapping;
use crate::bindings::exports::nexus::http::handler::Response;

pub(super) fn plain(text: String) -> Response {
    Response {
        status: 200,
        headers: Vec::new(),
        body: text.into_bytes(),
    }
}

pub(super) fn with_status(status: u16) -> Response {
    Response {
        status,
        ..plain(String::new())
    }
}

pub(super) fn with_header(name: &str, value: &str) -> Response {
    Response {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..plain("ok".to_owned())
    }
}

pub(super) fn headers_of_the_host() -> Response {
    let headers = [
        ("X-Invocation-Id", "01890000-0000-7000-8000-000000000000"),
        ("Idempotency-Replayed", "true"),
        ("Content-Length", "1000"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "upgrade"),
        ("Upgrade", "h2c"),
        ("Access-Control-Allow-Origin", "https://elsewhere.example"),
        ("X-Own", "1"),
    ];
    Response {
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..plain("ok".to_owned())
    }
}

pub(super) fn many_headers() -> Response {
    Response {
        headers: (0..40_000)
            .map(|number| (format!("x-{number}"), String::new()))
            .collect(),
        ..plain("ok".to_owned())
    }
}

pub(super) fn overlapping_headers() -> Response {
    let values = overlapping().into_iter();
    Response {
        headers: values
            .enumerate()
            .map(|(number, value)| (format!("x-{number}"), value))
            .collect(),
        ..plain("ok".to_owned())
    }
}
