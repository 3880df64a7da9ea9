//! The probes. That a draining host is not ready is tested beside the code: it accepts no connection that could ask.

use host_http::Check;
use serde_json::json;

use crate::support::{Host, own_id};

fn check(ok: bool) -> Check {
    Check {
        name: "database",
        ok,
        detail: if ok { "writable" } else { "no connection" }.to_owned(),
    }
}

fn say(host: &Host, checks: Vec<Check>) {
    host.readiness.send_modify(|readiness| readiness.found(checks));
}

#[tokio::test]
async fn a_process_that_answers_is_live_whatever_it_lacks() {
    let host = Host::plain().await;
    say(&host, vec![check(false)]);
    for path in ["/health", "/livez"] {
        let answer = host.ask("GET", path, "").await;
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, br#"{"status":"ok"}"#.as_slice())
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("x-invocation-id").is_some());
    }
}

#[tokio::test]
async fn it_is_ready_while_all_checks_pass() {
    let host = Host::plain().await;
    for (ok, status, word, detail) in [
        (true, 200, "ok", "writable"),
        (false, 503, "unavailable", "no connection"),
    ] {
        say(&host, vec![check(ok)]);
        for path in ["/ready", "/readyz"] {
            let answer = host.ask("GET", path, "").await;
            let expected = json!({ "status": word, "checks": [
                { "name": "serving", "ok": true, "detail": "accepting requests" },
                { "name": "database", "ok": ok, "detail": detail },
            ] });
            assert_eq!((answer.status, answer.json()), (status, expected));
            assert_eq!(answer.header("retry-after").is_some(), !ok);
        }
    }
}

#[tokio::test]
async fn it_has_started_once_all_checks_have_passed() {
    let host = Host::plain().await;
    // Nobody has looked yet.
    let answer = host.ask("GET", "/startupz", "").await;
    assert_eq!(
        (answer.status, answer.json()),
        (503, json!({ "status": "unavailable", "checks": [] }))
    );
    say(&host, vec![check(false)]);
    let answer = host.ask("GET", "/startupz", "").await;
    let missing = json!([{ "name": "database", "ok": false, "detail": "no connection" }]);
    assert_eq!((answer.status, &answer.json()["checks"]), (503, &missing));
    // Nobody asks while they pass.
    say(&host, vec![check(true)]);
    say(&host, vec![check(false)]);
    assert_eq!(host.ask("GET", "/startupz", "").await.json(), json!({ "status": "ok" }));
}

#[tokio::test]
async fn probes_are_for_get_alone() {
    let host = Host::plain().await;
    let answer = host.ask("POST", "/health", "").await;
    answer.is_error(405, "method_not_allowed", "Method Not Allowed", own_id(0));
    assert_eq!(answer.header("allow"), Some("GET, OPTIONS"));
    assert_eq!(host.ask("HEAD", "/ready", "").await.status, 405);
}
