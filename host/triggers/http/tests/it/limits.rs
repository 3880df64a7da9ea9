//! Size, time and memory.

use std::time::Duration;

use host_http::Limits;
use tokio::io::AsyncWriteExt;

use crate::support::{Host, head, own_id, response};

fn limits(set: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits);
    limits
}

#[tokio::test]
async fn a_body_of_the_limit_passes_and_a_byte_more_is_a_413() {
    let host = Host::plain().await;
    let sized = |bytes: usize| head("POST", "/api/cart", &format!("content-length: {bytes}")) + &"b".repeat(bytes);
    assert_eq!(host.send(&sized(2048)).await.status, 200);
    assert_eq!(host.call().request.body.len(), 2048);
    let answer = host.send(&sized(2049)).await;
    answer.is_error(
        413,
        "payload_too_large",
        "the body is larger than 2048 bytes",
        own_id(1),
    );
    assert_eq!(host.calls().len(), 1);
}

#[tokio::test]
async fn a_body_that_hides_its_length_is_cut_at_the_limit_and_its_sender_gets_the_answer() {
    let host = Host::plain().await;
    let mut client = host.connect().await;
    client
        .write(&head("POST", "/api/cart", "transfer-encoding: chunked"))
        .await;
    // Far more than the sockets hold: were the connection closed at the limit, the reset would overtake the answer.
    let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, "c".repeat(64 << 10));
    for _ in 0..100 {
        client.write(&chunk).await;
    }
    client.write("0\r\n\r\n").await;
    client.read().await.is_error(
        413,
        "payload_too_large",
        "the body is larger than 2048 bytes",
        own_id(0),
    );
    assert!(host.calls().is_empty());
}

#[tokio::test]
async fn who_asks_first_is_told_to_go_on_or_why_not() {
    let host = Host::plain().await;
    let mut client = host.connect().await;
    client
        .write(&head("POST", "/api/cart", "expect: 100-continue\ncontent-length: 4"))
        .await;
    assert_eq!(client.read_head().await.status, 100);
    client.write("body").await;
    assert_eq!(client.read().await.status, 200);
    assert_eq!(host.call().request.body.as_slice(), b"body");

    // Refused without being invited: the first thing it hears is the answer.
    for (count, (path, headers, status)) in [
        ("/api/cart", "expect: 100-continue\ncontent-length: 2049", 413),
        ("/unknown", "expect: 100-continue\ncontent-length: 10", 404),
        (
            "/api/cart",
            "expect: 100-continue\ncontent-length: 10\nidempotency-key:",
            400,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = host.ask("POST", path, headers).await;
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.header("x-invocation-id"),
            Some(own_id(1 + count as u64).to_string().as_str())
        );
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_a_408() {
    let host = Host::limited(limits(|limits| limits.body_read_timeout = Duration::from_millis(50))).await;
    let mut client = host.connect().await;
    client
        .write(&(head("POST", "/api/x", "content-length: 10") + "half"))
        .await;
    let answer = client.read().await;
    answer.is_error(408, "request_timeout", "the body did not arrive in time", own_id(0));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.read_to_end().await, b"");
    assert!(host.calls().is_empty());
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_ends_the_connection() {
    let limits = limits(|limits| limits.connections.header_read_timeout = Duration::from_millis(50));
    let host = Host::limited(limits).await;
    for sent in ["", "GET /api/x HT", "GET /api/x HTTP/1.1\r\nhost: shop.test\r\n"] {
        let mut client = host.connect().await;
        client.write(sent).await;
        assert_eq!(client.read_to_end().await, b"", "{sent}");
    }
}

#[tokio::test]
async fn a_malformed_body_is_a_400() {
    let host = Host::plain().await;
    let mut client = host.connect().await;
    client
        .write(&(head("POST", "/api/x", "transfer-encoding: chunked") + "zz\r\nnot a chunk\r\n"))
        .await;
    client
        .read()
        .await
        .is_error(400, "validation", "the body is incomplete or malformed", own_id(0));
    assert!(host.calls().is_empty());
}

#[tokio::test]
async fn a_large_head_passes_up_to_the_limit_and_is_a_431_beyond() {
    let host = Host::plain().await;
    assert_eq!(
        host.ask("GET", "/api/x", &format!("x-large: {}", "h".repeat(31 << 10)))
            .await
            .status,
        200
    );
    assert_eq!(
        host.ask("GET", "/api/x", &format!("x-large: {}", "h".repeat(33 << 10)))
            .await
            .status,
        431
    );
    assert_eq!(host.calls().len(), 1);
}

#[tokio::test]
async fn bodies_share_a_bounded_memory_that_comes_back_with_the_answer() {
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let opened = gate.clone();
    // There is room for one of the largest bodies that a component accepts.
    let largest = host_manifest::Limits::MAX_BODY_BYTES as usize;
    let host = Host::start(limits(|limits| limits.body_memory_bytes = 0), move |call| {
        let (started, gate) = (started.clone(), gate.clone());
        Box::pin(async move {
            started.send(()).unwrap();
            gate.acquire().await.unwrap().forget();
            response(&call, 200, &[], "")
        })
    })
    .await;
    let body = head("POST", "/api/x", &format!("content-length: {largest}")) + &"m".repeat(largest);
    let mut first = host.connect().await;
    first.write(&body).await;
    starts.recv().await.unwrap();

    let mut second = host.connect().await;
    second.write(&(head("POST", "/api/x", "content-length: 1") + "m")).await;
    let answer = second.read().await;
    answer.is_error(
        503,
        "unavailable",
        "the host has no capacity left; try again later",
        own_id(1),
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    // Whoever is turned away gives its connection back, too.
    assert_eq!(answer.header("connection"), Some("close"));

    opened.add_permits(3);
    assert_eq!(first.read().await.status, 200);
    let mut second = host.connect().await;
    for client in [&mut first, &mut second] {
        client.write(&body).await;
        assert_eq!(client.read().await.status, 200);
    }
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let limits = limits(|limits| {
        limits.connections.max_connections = 1;
        limits.connections.write_stall_timeout = Duration::from_millis(100);
    });
    const SIZE: usize = 64 << 20;
    let host = Host::start(limits, |call| {
        let body = if call.request.path == "/api/large" {
            "l".repeat(SIZE)
        } else {
            String::new()
        };
        Box::pin(async move { response(&call, 200, &[], &body) })
    })
    .await;
    let mut stalled = host.connect().await;
    stalled.write(&head("GET", "/api/large", "")).await;
    // There is one place: this answer comes once the other connection has been given up.
    assert_eq!(host.ask("GET", "/api/small", "").await.status, 200);
    assert!(stalled.read_to_end().await.len() < SIZE);
}

#[tokio::test]
async fn an_unwanted_body_does_not_cost_the_connection() {
    let host = Host::plain().await;
    let mut client = host.connect().await;
    let body = "u".repeat(256 << 10);
    for count in 0..2 {
        let request = head("POST", "/unknown", &format!("content-length: {}", body.len())) + &body;
        client.0.get_mut().write_all(request.as_bytes()).await.unwrap();
        client
            .read()
            .await
            .is_error(404, "not_found", "Not Found", own_id(count));
    }
}
