//! What becomes of a request before it is recorded.

use host_types::Identity;

use crate::support::{Host, head, own_id};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn the_call_holds_the_request_and_its_route() {
    let host = Host::plain().await;
    let mut client = host.connect().await;
    let headers =
        format!("content-length: 7\ncontent-type: text/plain\ntraceparent: {TRACE}\nidempotency-key: \"k 1\"");
    client
        .write(&(head("POST", "/api/cart/caf%C3%A9/x?a=1&b=%20", &headers) + "payload"))
        .await;
    assert_eq!(client.read().await.status, 200);

    let call = host.call();
    assert_eq!(
        (call.invocation, call.component.as_str(), call.route.as_str()),
        (own_id(0), "cart", "/api/cart/...")
    );
    assert_eq!(call.idempotency_key.map(|key| key.0).as_deref(), Some("k 1"));
    assert_eq!(
        (call.trace_parent.as_deref(), call.sensitive, call.wait_ms),
        (Some(TRACE), false, 1234)
    );
    let request = call.request;
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/api/cart/caf%C3%A9/x")
    );
    assert_eq!(
        (request.query.as_str(), request.peer.as_str()),
        ("a=1&b=%20", "127.0.0.1")
    );
    assert_eq!(request.identity, Identity::Anonymous);
    assert_eq!(request.body.as_slice(), b"payload");
}

#[tokio::test]
async fn credentials_and_what_concerns_the_connection_are_left_out() {
    let host = Host::plain().await;
    let headers = "Authorization: Bearer good\nProxy-Authorization: Basic eDp5\nCookie: session=1\nCookie: more=2\n\
        Idempotency-Key: k\nConnection: keep-alive\nKeep-Alive: timeout=5\nTE: trailers\nUpgrade: h2c\n\
        X-Kept: a\nX-Kept: b\nX-Latin: caf\u{e9}\nAccept: */*";
    assert_eq!(host.ask("POST", "/api/cart", headers).await.status, 200);
    let recorded = host.call().request.headers;
    let expected = [
        ("host", "shop.test"),
        ("x-kept", "a"),
        ("x-kept", "b"),
        ("x-latin", "caf\u{e9}"),
        ("accept", "*/*"),
    ];
    assert_eq!(
        recorded,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[tokio::test]
async fn a_request_with_a_secret_is_marked_however_its_path_is_spelt() {
    let host = Host::plain().await;
    for (method, path) in [
        ("POST", "/api/cart/login/basic"),
        ("POST", "/api/cart/log%69n/basic"),
        ("GET", "/api/cart/login/basic"),
        ("POST", "/api/cart/login/other"),
    ] {
        host.ask(method, path, "").await;
    }
    let sensitive: Vec<_> = host.calls().iter().map(|call| call.sensitive).collect();
    assert_eq!(sensitive, [true, true, false, false]);
}

#[tokio::test]
async fn a_malformed_or_repeated_trace_context_counts_as_none() {
    let host = Host::plain().await;
    for headers in [
        "traceparent: 00-nonsense".to_owned(),
        format!("traceparent: {TRACE}\ntraceparent: {TRACE}"),
    ] {
        assert_eq!(host.ask("GET", "/api/x", &headers).await.status, 200);
    }
    assert!(host.calls().iter().all(|call| call.trace_parent.is_none()));
}

#[tokio::test]
async fn a_chunked_body_arrives_whole_and_without_its_trailers() {
    let host = Host::plain().await;
    let mut client = host.connect().await;
    client
        .write(&head("POST", "/api/x", "transfer-encoding: chunked"))
        .await;
    client.write("3\r\nabc\r\n").await;
    client.write("4;extension=1\r\ndefg\r\n0\r\nx-trailer: 1\r\n\r\n").await;
    assert_eq!(client.read().await.status, 200);
    let request = host.call().request;
    assert_eq!(request.body.as_slice(), b"abcdefg");
    assert!(
        request
            .headers
            .iter()
            .all(|(name, _)| name != "transfer-encoding" && name != "x-trailer")
    );
}
