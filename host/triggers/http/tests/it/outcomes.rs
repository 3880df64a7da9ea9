//! Each outcome of a call becomes exactly one kind of response.

use host_types::{HttpOutcome, HttpResponse};

use crate::support::{Answer, Host, other_id, own_id, response};

async fn answer_to(outcome: HttpOutcome) -> Answer {
    let host = Host::answering(move |_| Box::pin(std::future::ready(outcome.clone()))).await;
    host.ask("POST", "/api/orders", "").await
}

#[tokio::test]
async fn a_response_passes_as_the_component_gave_it() {
    let host = Host::answering(|call| {
        let headers = [
            ("content-type", "application/json"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("vary", "accept"),
        ];
        Box::pin(std::future::ready(response(&call, 201, &headers, r#"{"data":1}"#)))
    })
    .await;
    let answer = host.ask("POST", "/api/orders", "").await;
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (201, br#"{"data":1}"#.as_slice())
    );
    let mut headers = answer.headers;
    headers.retain(|(name, _)| name != "date");
    headers.sort();
    let id = own_id(0).to_string();
    let expected = [
        ("content-length", "10"),
        ("content-type", "application/json"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("vary", "accept"),
        ("vary", "origin"),
        ("x-invocation-id", id.as_str()),
    ];
    assert_eq!(
        headers,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[tokio::test]
async fn more_headers_than_a_response_holds_are_none() {
    let response = HttpResponse {
        status: 200,
        headers: (0..40_000)
            .map(|number| (format!("x-{number}"), String::new()))
            .collect(),
        body: Vec::new().into(),
    };
    let answer = answer_to(HttpOutcome::Response {
        invocation: other_id(),
        response,
        replayed: false,
    });
    assert_eq!(answer.await.status, 500);
}

#[tokio::test]
async fn a_stored_answer_says_that_it_is_one_and_whose() {
    let stored = HttpResponse {
        status: 409,
        headers: Vec::new(),
        body: b"taken".to_vec().into(),
    };
    let answer = answer_to(HttpOutcome::Response {
        invocation: other_id(),
        response: stored,
        replayed: true,
    })
    .await;
    assert_eq!((answer.status, answer.body.as_slice()), (409, b"taken".as_slice()));
    assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    assert_eq!(answer.header("x-invocation-id"), Some(other_id().to_string().as_str()));
}

#[tokio::test]
async fn a_failure_is_a_500_that_names_its_invocation_and_nothing_else() {
    let answer = answer_to(HttpOutcome::Failed { invocation: other_id() }).await;
    answer.is_error(500, "internal", "something went wrong", other_id());
}

#[tokio::test]
async fn a_key_whose_answer_is_gone_is_a_409_that_asks_nobody_to_come_back() {
    let answer = answer_to(HttpOutcome::KeySpent {
        invocation: other_id(),
        ended: "completed",
    })
    .await;
    let text = format!(
        "the first request with this Idempotency-Key, invocation {}, has completed, and its answer is not kept: it cannot be \
         repeated; use a new key for another request",
        other_id()
    );
    answer.is_error(409, "idempotency_key_spent", &text, other_id());
    assert_eq!(answer.header("retry-after"), None);
}

#[tokio::test]
async fn an_invocation_that_goes_on_is_a_503_that_says_which() {
    let answer = answer_to(HttpOutcome::Pending {
        invocation: other_id(),
        retry_after_s: 7,
    })
    .await;
    let text = format!(
        "the request is accepted and goes on as invocation {}; its answer is not there yet",
        other_id()
    );
    answer.is_error(503, "unavailable", &text, other_id());
    assert_eq!(answer.header("retry-after"), Some("7"));
}

#[tokio::test]
async fn overload_is_a_503() {
    let answer = answer_to(HttpOutcome::Overloaded { retry_after_s: 3 }).await;
    answer.is_error(
        503,
        "unavailable",
        "the host has no capacity left; try again later",
        own_id(0),
    );
    assert_eq!(answer.header("retry-after"), Some("3"));
}

#[tokio::test]
async fn as_many_as_may_be_open_is_a_503_that_names_the_limit() {
    let answer = answer_to(HttpOutcome::Full {
        component: "cart".into(),
        open_limit: 4,
        retry_after_s: 1,
    })
    .await;
    let text = "`cart` has as many open invocations as it may have (`open_limit` is 4); try again later";
    answer.is_error(503, "unavailable", text, own_id(0));
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn another_request_under_a_used_key_is_a_422() {
    let answer = answer_to(HttpOutcome::KeyMismatch).await;
    let text = "this Idempotency-Key was used with another request; use a new one";
    answer.is_error(422, "idempotency_key_mismatch", text, own_id(0));
    assert_eq!(answer.header("retry-after"), None);
}

#[tokio::test]
async fn a_key_in_use_is_a_409_that_names_its_owner() {
    for (paused, end) in [
        (false, "has not ended"),
        (true, "is paused until an operator resumes it"),
    ] {
        let answer = answer_to(HttpOutcome::KeyInProgress {
            invocation: other_id(),
            paused,
            retry_after_s: 2,
        })
        .await;
        let text = format!(
            "the first request with this Idempotency-Key, invocation {}, {end}",
            other_id()
        );
        answer.is_error(409, "idempotency_key_in_use", &text, other_id());
        assert_eq!(answer.header("retry-after"), Some("2"));
    }
}

#[tokio::test]
async fn a_status_that_ends_no_exchange_is_a_500() {
    for status in [0, 99, 100, 101, 199, 600, 999, 1000, u16::MAX] {
        let host = Host::answering(move |call| Box::pin(std::future::ready(response(&call, status, &[], "x")))).await;
        host.ask("GET", "/api/x", "")
            .await
            .is_error(500, "internal", "something went wrong", own_id(0));
    }
}

#[tokio::test]
async fn a_component_does_not_decide_how_bytes_travel_or_who_may_read_them() {
    let host = Host::answering(|call| {
        let headers = [
            ("Connection", "close"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "99"),
            ("Keep-Alive", "timeout=1"),
            ("Upgrade", "h2c"),
            ("X-Invocation-Id", "mine"),
            ("Idempotency-Replayed", "true"),
            ("Access-Control-Allow-Origin", "https://evil.test"),
            ("X-Kept", "yes"),
            ("bad name", "x"),
            ("x-bad-value", "a\r\nx-injected: 1"),
            ("", "x"),
        ];
        Box::pin(std::future::ready(response(&call, 200, &headers, "body")))
    })
    .await;
    let mut client = host.connect().await;
    for count in 0..2 {
        client.write(&crate::support::head("GET", "/api/x", "")).await;
        let answer = client.read().await;
        let mut names: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "date", "vary", "x-invocation-id", "x-kept"]);
        assert_eq!(
            (answer.header("content-length"), answer.body.as_slice()),
            (Some("4"), b"body".as_slice())
        );
        assert_eq!(
            answer.header("x-invocation-id"),
            Some(own_id(count).to_string().as_str())
        );
    }
}

#[tokio::test]
async fn a_status_without_body_has_none() {
    for status in [204, 304] {
        let host =
            Host::answering(move |call| Box::pin(std::future::ready(response(&call, status, &[], "body")))).await;
        let mut client = host.connect().await;
        for _ in 0..2 {
            client.write(&crate::support::head("GET", "/api/x", "")).await;
            let answer = client.read_head().await;
            assert_eq!(
                (answer.status, answer.header("content-length").unwrap_or("0")),
                (status, "0")
            );
        }
    }
}
