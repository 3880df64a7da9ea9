//! The shapes and the refusals, as bytes on the wire.

use host_admin::{Filter, Status};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{BROKEN, Host, TOKEN, cursor, ended, node, open, unknown};

fn invocation(status: &str, cause: Option<&str>) -> serde_json::Value {
    json!({
        "id": open(), "component": "order", "function": "nexus:http/handler.handle", "deployment": 3, "status": status,
        "cause": cause, "attempt": 1, "failures": 0, "node": node(), "parent": null,
        "created_at": "2023-11-14T22:13:20Z", "updated_at": "2023-11-14T22:13:20.25Z", "ended_at": null, "due_at": null,
    })
}

#[tokio::test]
async fn components_and_nodes_are_listed() {
    let host = Host::start(TOKEN).await;
    let components = host.ask("GET", "/v1/components").await;
    assert_eq!(
        (components.status, components.header("content-type")),
        (200, Some("application/json"))
    );
    let revision = host_types::Digest::of(b"order").to_string();
    assert_eq!(
        components.json(),
        json!({ "components": [{
            "id": "order", "description": "Orders", "revision": revision, "deployment": 3, "schema": "order",
            "routes": ["/api/v1/order/..."], "source": "operator", "since": "2023-11-14T22:13:20Z",
            "file": host_types::Digest::of(b"file").to_string(), "back_to": [host_types::Digest::of(b"file").to_string()],
        }] })
    );
    assert_eq!(
        host.ask("GET", "/v1/nodes").await.json(),
        json!({ "nodes": [{
            "id": node(), "name": "host-a", "status": "alive", "started_at": "2023-11-14T22:13:20Z", "silent_ms": 12,
            "lease_ms": 5000,
        }] })
    );
}

#[tokio::test]
async fn revisions_are_uploaded_activated_and_taken_back() {
    let host = Host::start(TOKEN).await;
    let revision = host_types::Digest::of(b"wasm").to_string();
    let activated = json!({ "component": "order", "revision": revision, "deployment": 4, "was_active": false });
    let uploaded = host.say("/v1/components/order/revisions", None, "wasm").await;
    assert_eq!(
        (uploaded.status, uploaded.json()),
        (
            200,
            json!({ "component": "order", "revision": revision, "is_new": true, "activated": null })
        )
    );
    let uploaded = host
        .say(
            "/v1/components/order/revisions?activate=true&reason=a+fix",
            Some("ann"),
            "wasm",
        )
        .await;
    assert_eq!(uploaded.json()["activated"], activated);
    let body = json!({ "digest": revision, "reason": "again" }).to_string();
    let again = host.say("/v1/components/order/activate", Some("ann"), &body).await;
    assert_eq!((again.status, again.json()), (200, activated));
    let back = host.say("/v1/components/order/rollback", None, "").await;
    assert_eq!(
        back.json()["revision"],
        host_types::Digest::of(b"file").to_string(),
        "{}",
        back.json()
    );
    assert_eq!(
        host.said(),
        [
            "upload 4 bytes for order, false, by admin token because \"\"",
            "upload 4 bytes for order, true, by ann because \"a fix\"",
            "activate order by ann because \"again\"",
            "rollback order by admin token because \"\"",
        ]
    );
}

#[tokio::test]
async fn a_revision_that_cannot_be_is_refused_by_name() {
    let host = Host::start(TOKEN).await;
    let answer = host.say("/v1/components/order/revisions", None, "garbage").await;
    answer.is_problem(422, "invalid", "these bytes do not run in the place of order");
    let answer = host.say("/v1/components/order/revisions", None, "").await;
    let detail = "body: is empty: send a component in WebAssembly's binary format";
    answer.is_problem(400, "parameter", detail);
    let answer = host
        .say("/v1/components/order/revisions?activate=1", None, "wasm")
        .await;
    answer.is_problem(400, "parameter", "activate: is neither true nor false");
    let answer = host.ask("GET", "/v1/components/order/revisions").await;
    answer.is_problem(405, "method", "GET is not possible here; send POST");
    let activate = |digest: &[u8]| json!({ "digest": host_types::Digest::of(digest).to_string() }).to_string();
    let answer = host
        .say("/v1/components/order/activate", None, &activate(b"unknown"))
        .await;
    let detail = format!("there is no revision {}", host_types::Digest::of(b"unknown"));
    answer.is_problem(404, "unknown-revision", &detail);
    let answer = host
        .say("/v1/components/odrer/activate", None, &activate(b"wasm"))
        .await;
    answer.is_problem(404, "unknown-component", "there is no component odrer");
    let answer = host.say("/v1/components/slow/activate", None, &activate(b"wasm")).await;
    answer.is_problem(504, "unacknowledged", "host-b has said nothing yet");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let answer = host.say("/v1/components/order/activate", None, "{}").await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_move_names_the_revision() {
    let host = Host::start(TOKEN).await;
    let to = host_types::Digest::of(b"wasm").to_string();
    let path = format!("/v1/invocations/{}/move", open());
    let moved = host.say(&path, Some("ann"), &json!({ "to": to }).to_string()).await;
    assert_eq!((moved.status, moved.json()), (200, invocation("running", None)));
    assert_eq!(host.said(), [format!("move to {to} false by ann because \"\"")]);
    let answer = host.say(&path, None, "").await;
    let detail = "to: is missing: name the revision to go on with, 64 hexadecimal digits";
    answer.is_problem(400, "parameter", detail);
}

#[tokio::test]
async fn a_page_names_the_next_one_with_the_same_filter() {
    let host = Host::start(TOKEN).await;
    let first = host
        .ask("GET", "/v1/invocations?status=paused&component=order&limit=1")
        .await;
    assert_eq!(
        first.json(),
        json!({ "invocations": [invocation("paused", Some("paused by an operator"))], "next_cursor": cursor() })
    );
    let next = format!(
        "/v1/invocations?status=paused&component=order&limit=1&cursor={}",
        cursor()
    );
    assert_eq!(first.header("link"), Some(format!("<{next}>; rel=\"next\"").as_str()));

    let last = host.ask("GET", &next).await;
    assert_eq!(
        (last.json()["next_cursor"].clone(), last.header("link")),
        (json!(null), None)
    );
    host.ask("GET", "/v1/invocations").await;
    host.ask("GET", "/v1/invocations?status=&component=&limit=&cursor=")
        .await;
    let filter = Filter {
        status: Some(Status::Paused),
        component: Some("order".into()),
        limit: Some(1),
        ..Filter::default()
    };
    let everything = Filter {
        limit: Some(50),
        ..Filter::default()
    };
    let second = Filter {
        cursor: Some(cursor()),
        ..filter.clone()
    };
    assert_eq!(host.filters(), [filter, second, everything.clone(), everything]);
}

#[tokio::test]
async fn an_invocation_is_shown_with_its_tree_and_its_journal() {
    let host = Host::start(TOKEN).await;
    let answer = host.ask("GET", &format!("/v1/invocations/{}", open())).await;
    let (call, charge) = (json!({ "scope": "/", "n": 0 }), json!({ "scope": "/", "n": 1 }));
    assert_eq!(
        answer.json(),
        json!({
            "invocation": invocation("running", None),
            "tree": [{
                "position": call, "target": "inventory:shop:inventory/stock@0.1.0.reserve", "is_answered": true, "calls": [],
            }, {
                "position": charge, "target": "bank:shop:payment/provider@0.1.0.charge", "is_answered": false, "calls": [],
            }],
            "journal": [
                { "index": 0, "kind": "started", "target": "order:nexus:http/handler.handle", "answer": null },
                { "index": 1, "kind": "call", "position": call, "target": "inventory:shop:inventory/stock@0.1.0.reserve", "answer": null },
                { "index": 2, "kind": "transaction", "position": { "scope": "/0", "n": 0 }, "target": "nexus:sql/sql.transaction",
                  "answer": { "redacted": 42 } },
                { "index": 3, "kind": "fence", "attempt": 1, "node": node(), "reason": "take-over", "answer": null },
                { "index": 4, "kind": "completion", "position": call, "answer": { "held": 2 } },
                { "index": 5, "kind": "call", "position": charge, "target": "bank:shop:payment/provider@0.1.0.charge", "answer": null },
            ],
            "compensations": [],
        })
    );
}

#[tokio::test]
async fn pausing_and_resuming_answer_with_what_came_of_it() {
    let host = Host::start(TOKEN).await;
    let paused = host.ask("POST", &format!("/v1/invocations/{}/pause", open())).await;
    assert_eq!(
        (paused.status, paused.json()),
        (200, invocation("paused", Some("paused by an operator")))
    );
    let resumed = host.ask("POST", &format!("/v1/invocations/{}/resume", open())).await;
    assert_eq!((resumed.status, resumed.json()), (200, invocation("running", None)));
}

#[tokio::test]
async fn a_word_to_many_is_said_to_each_and_counted() {
    let host = Host::start(TOKEN).await;
    let counted = host
        .say(
            "/v1/invocations/cancel",
            None,
            r#"{"component": "order", "dry_run": true}"#,
        )
        .await;
    // The double has one on each of two pages.
    assert_eq!(
        (counted.status, counted.json()),
        (200, json!({ "matched": 2, "done": 0, "failed": [], "more": false }))
    );
    assert!(host.said().is_empty(), "they were only counted");
    let first = host
        .say(
            "/v1/invocations/cancel",
            Some("ann"),
            r#"{"component": "order", "limit": 1, "reason": "x"}"#,
        )
        .await;
    assert_eq!(
        first.json(),
        json!({ "matched": 1, "done": 1, "failed": [], "more": true, "next_cursor": cursor() })
    );
    let next = format!(
        r#"{{"component": "order", "limit": 1, "reason": "y", "cursor": "{}"}}"#,
        cursor()
    );
    let next = host.say("/v1/invocations/cancel", Some("ann"), &next).await;
    assert_eq!(
        next.json(),
        json!({ "matched": 1, "done": 1, "failed": [], "more": false })
    );
    assert_eq!(
        host.said(),
        ["cancel false by ann because \"x\"", "cancel false by ann because \"y\""]
    );
    let broken = host
        .say(
            "/v1/invocations/resume",
            None,
            &format!(r#"{{"component": "{BROKEN}"}}"#),
        )
        .await;
    broken.is_problem(503, "unavailable", "the database does not answer");
}

#[tokio::test]
async fn an_answer_to_many_is_given_where_exactly_one_is_missing() {
    let host = Host::start(TOKEN).await;
    let path = "/v1/invocations/complete-entry";
    let body = |dry_run: bool, target: &str| {
        let chosen = json!({ "component": "order", "dry_run": dry_run, "reason": "x" });
        json!({ "chosen": chosen, "target": target, "answer": { "json": null } }).to_string()
    };
    let charge = "shop:payment/provider.charge";
    let counted = host.say(path, None, &body(true, charge)).await;
    // The double has one on each of two pages.
    let causes = json!([{ "cause": "paused by an operator", "count": 2 }]);
    let expected = json!({ "matched": 2, "done": 0, "failed": [], "causes": causes, "more": false });
    assert_eq!((counted.status, counted.json()), (200, expected));
    let without = host.say(path, None, &body(false, "shop:inventory/stock.reserve")).await;
    let expected = json!({ "matched": 2, "done": 0, "failed": [], "without": 2, "more": false });
    assert_eq!((without.status, without.json()), (200, expected));
    assert!(host.said().is_empty());

    let answered = host.say(path, Some("ann"), &body(false, charge)).await;
    let expected = json!({ "matched": 2, "done": 2, "failed": [], "more": false });
    assert_eq!((answered.status, answered.json()), (200, expected));
    assert_eq!(host.said(), ["/#1 is Json(Null) by ann because \"x\""; 2]);
    let asked = host.filters();
    assert!(
        asked.iter().all(|filter| filter.status == Some(Status::Paused)),
        "{asked:?}"
    );

    for (chosen, parameter) in [
        (json!({}), "status"),
        (json!({ "component": "order", "force": true }), "chosen"),
        (json!({ "component": "order", "status": "running" }), "status"),
        (json!({ "component": "order", "status": "completed" }), "status"),
        (json!({ "state": "paused" }), "body"),
    ] {
        let body = json!({ "chosen": chosen, "target": charge, "answer": { "json": null } });
        let answer = host.say(path, None, &body.to_string()).await;
        assert_eq!(
            (answer.status, &answer.json()["errors"][0]["parameter"]),
            (400, &json!(parameter)),
            "{body}"
        );
    }
    let running = json!({ "component": "order", "status": "running" });
    let body = json!({ "chosen": running, "target": charge, "answer": { "json": null } });
    let answer = host.say(path, None, &body.to_string()).await;
    let detail = "status: is running, and only paused ones are answered for; leave it out, or say paused";
    answer.is_problem(400, "parameter", detail);
    for (target, kind) in [
        ("wasi:http/outgoing-handler.handle", "HTTP request"),
        ("order:nexus:durable/compensate.run", "compensation"),
    ] {
        let chosen = json!({ "component": "order", "dry_run": true });
        let body = json!({ "chosen": chosen, "target": target, "answer": { "json": null } });
        let answer = host.say(path, None, &body.to_string()).await;
        let detail = format!(
            "target: {target} is what every {kind} is recorded as, and does not say which one is meant; answer one by one, by position"
        );
        answer.is_problem(400, "parameter", &detail);
    }
    let answer = host.ask("GET", path).await;
    answer.is_problem(405, "method", "GET is not possible here; send POST");
    assert!(host.said().is_empty());
    assert_eq!(host.filters(), asked, "nothing was looked for");
}

#[tokio::test]
async fn what_is_said_wrongly_is_not_heard() {
    let host = Host::start(TOKEN).await;
    let one = format!("/v1/invocations/{}/cancel", open());
    for (path, name, body, parameter) in [
        ("/v1/invocations/cancel", None, "{}", "status"),
        ("/v1/invocations/cancel", None, r#"{"state": "paused"}"#, "body"),
        (
            "/v1/invocations/cancel",
            None,
            r#"{"status": "paused", "older_than": "soon"}"#,
            "older_than",
        ),
        (&one, None, "reason", "body"),
        (&one, Some(" "), "", "x-operator"),
    ] {
        let answer = host.say(path, name, body).await;
        assert_eq!(
            (answer.status, &answer.json()["errors"][0]["parameter"]),
            (400, &json!(parameter)),
            "{body}"
        );
    }
    // Where the database would fail, and fail again.
    let promise = r#""value": {"json": 1}, "reason": "", "function": "a:b/c.d""#;
    for (path, body, parameter) in [
        (
            "/v1/promises",
            &*format!(r#"{{{promise}, "workflow": "7\u0000", "name": "paid"}}"#),
            "workflow",
        ),
        (
            "/v1/promises",
            &format!(r#"{{{promise}, "workflow": "7", "name": "\u0000"}}"#),
            "name",
        ),
        (
            "/v1/promises",
            &format!(r#"{{{promise}, "workflow": "7", "name": "paid", "component": "\u0000"}}"#),
            "component",
        ),
        ("/v1/invocations/cancel", r#"{"component": "a\u0000"}"#, "component"),
        ("/v1/invocations/cancel", r#"{"function": "a\u0000"}"#, "function"),
        ("/v1/invocations/cancel", r#"{"cause": "a\u0000"}"#, "cause"),
        ("/v1/dead-letters/drop", r#"{"component": "a\u0000"}"#, "component"),
        (
            "/v1/dead-letters/drop",
            r#"{"subscription": "a\u0000"}"#,
            "subscription",
        ),
        (&one, r#"{"reason": "a\u0000"}"#, "reason"),
    ] {
        let answer = host.say(path, None, body).await;
        let detail = format!("{parameter}: holds U+0000, which the database does not take");
        answer.is_problem(400, "parameter", &detail);
    }
    let complete = format!("/v1/invocations/{}/complete-entry", open());
    let answer = host
        .say(
            &complete,
            None,
            r#"{"position": {"scope": "0", "n": 1}, "answer": {"json": null}, "reason": ""}"#,
        )
        .await;
    answer.is_problem(
        400,
        "parameter",
        "position: \"0\" is not a scope; it looks like `/`, `/3` or `/3/0`",
    );
    let large = format!(r#"{{"reason": "{}"}}"#, "x".repeat(3 << 20));
    assert_eq!(host.say(&one, None, &large).await.status, 413);
    assert!(host.said().is_empty());
}

#[tokio::test]
async fn what_operators_said_is_listed() {
    let host = Host::start(TOKEN).await;
    let answer = host.ask("GET", "/v1/audit?limit=1").await;
    let expected = json!({ "audit": [{
        "id": 9, "at": "2023-11-14T22:13:20Z", "operator": "ann", "verb": "restart", "invocation": ended(), "entry_index": 0,
        "successor": open(), "reason": "the provider is back", "outcome": "running",
    }], "next_cursor": 7 });
    assert_eq!((answer.status, answer.json()), (200, expected));
    let refused = host.ask("GET", "/v1/audit?verb=cancel").await;
    refused.is_problem(
        400,
        "parameter",
        "verb: is unknown; there are invocation, component, limit and cursor",
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_a_problem() {
    let host = Host::start(TOKEN).await;
    for verb in ["pause", "resume", "cancel", "restart"] {
        let answer = host.ask("POST", &format!("/v1/invocations/{}/{verb}", ended())).await;
        answer.is_problem(409, "conflict", "the invocation is completed");
    }
    for (method, verb) in [("GET", ""), ("POST", "/pause"), ("POST", "/resume")] {
        let answer = host.ask(method, &format!("/v1/invocations/{}{verb}", unknown())).await;
        answer.is_problem(
            404,
            "unknown-invocation",
            &format!("there is no invocation {}", unknown()),
        );
    }
    let answer = host.ask("GET", &format!("/v1/invocations?component={BROKEN}")).await;
    answer.is_problem(503, "unavailable", "the database does not answer");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_wrong_parameter_is_named_with_the_way_out() {
    let host = Host::start(TOKEN).await;
    let limit = |value: &str| format!("{value:?} is not a whole number from 1 to 100");
    let table = [
        (
            "status=stuck",
            "status",
            "\"stuck\" is not a status; it is one of running, suspended, paused, completed, failed, cancelled"
                .to_owned(),
        ),
        ("limit=0", "limit", limit("0")),
        ("limit=101", "limit", limit("101")),
        ("limit=-1", "limit", limit("-1")),
        ("limit=99999999999", "limit", limit("99999999999")),
        (
            "cursor=page2",
            "cursor",
            "is not a cursor; send the `next_cursor` of the page before, unchanged".to_owned(),
        ),
        ("limit=1&limit=2", "limit", "is given more than once".to_owned()),
        (
            "state=paused",
            "state",
            "is not a parameter of this list; there are status, component, function, older_than, cause, waiting_for, \
             idempotency_key, subject, limit and cursor"
                .to_owned(),
        ),
        (
            "waiting_for=godot",
            "waiting_for",
            "\"godot\" is nothing to wait for; it is promise, time, or a promise's id".to_owned(),
        ),
        (
            "subject=ann",
            "subject",
            "says whose an idempotency_key is; give that as well".to_owned(),
        ),
        (
            "function=a%00b",
            "function",
            "holds U+0000, which the database does not take".to_owned(),
        ),
    ];
    for (query, parameter, detail) in table {
        let answer = host.ask("GET", &format!("/v1/invocations?{query}")).await;
        answer.is_problem(400, "parameter", &format!("{parameter}: {detail}"));
        assert_eq!(
            answer.json()["errors"],
            json!([{ "parameter": parameter, "detail": detail }])
        );
    }
    let answer = host.ask("GET", "/v1/invocations/seven").await;
    answer.is_problem(400, "parameter", "id: \"seven\" is not an invocation id (a UUID)");
    assert!(host.filters().is_empty());
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_told_apart() {
    let host = Host::start(TOKEN).await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/component",
        "/v2/nodes",
        "/v1/nodes/",
        "/v1/invocations/x/y/z",
    ] {
        let detail = format!(
            "{path} is not here; there are /v1/components, /v1/invocations, /v1/invocations/{{id}}, /v1/promises, /v1/dead-letters, /v1/audit and /v1/nodes"
        );
        host.ask("GET", path).await.is_problem(404, "unknown-path", &detail);
    }
    let pause = format!("/v1/invocations/{}/pause", open());
    for (method, path, allow) in [
        ("POST", "/v1/nodes", "GET"),
        ("DELETE", "/v1/invocations/x", "GET"),
        ("GET", &pause, "POST"),
        ("GET", "/v1/invocations/cancel", "POST"),
        ("POST", "/v1/audit", "GET"),
    ] {
        let answer = host.ask(method, path).await;
        answer.is_problem(405, "method", &format!("{method} is not possible here; send {allow}"));
        assert_eq!(answer.header("allow"), Some(allow));
    }
}

#[tokio::test]
async fn without_the_token_nothing_is_told() {
    let host = Host::start(TOKEN).await;
    let shorter = format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]);
    let longer = format!("Bearer {TOKEN}0");
    let lower = format!("bearer {TOKEN}");
    let tokens = [
        None,
        Some(""),
        Some("Bearer"),
        Some(TOKEN),
        Some(&shorter),
        Some(&longer),
        Some(&lower),
    ];
    for token in tokens {
        for (method, path) in [("GET", "/v1/nodes"), ("GET", "/unknown"), ("DELETE", "/v1/nodes")] {
            let answer = host.ask_with(method, path, token).await;
            let detail =
                "send the admin token as `Authorization: Bearer <token>`; the host writes it to its ready file";
            answer.is_problem(401, "unauthorized", detail);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
}

#[tokio::test]
async fn an_empty_token_lets_nobody_in() {
    let host = Host::start("").await;
    for token in [None, Some(""), Some("Bearer"), Some("Bearer ")] {
        assert_eq!(host.ask_with("GET", "/v1/nodes", token).await.status, 401);
    }
}

#[tokio::test]
async fn it_stops_when_told() {
    let mut host = Host::start(TOKEN).await;
    assert_eq!(host.ask("GET", "/v1/nodes").await.status, 200);
    host.stop();
    (&mut host.served).await.unwrap();
    assert!(TcpStream::connect(host.address).await.is_err());
}

#[tokio::test]
async fn a_request_that_is_none_is_a_problem_too() {
    let host = Host::start(TOKEN).await;
    let address = host.url().replace("http://", "");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"none\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/problem+json"), "{answer}");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(400), &json!("head")));
}
