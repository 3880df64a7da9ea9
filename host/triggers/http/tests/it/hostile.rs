//! Nothing a client sends may stop the server, or make it panic.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;

use crate::support::{Answer, Host, head, own_id, response};

/// Panics of the server's tasks; the runtime keeps them from the test otherwise.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// A small generator: the same bytes at each run.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[tokio::test]
async fn a_mangled_request_harms_nobody() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current()
            .name()
            .is_some_and(|name| name.ends_with("a_mangled_request_harms_nobody"))
        {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
    let host = Host::plain().await;
    let headers = "authorization: Bearer good\nidempotency-key: \"a\\\"b\"\norigin: https://page.test\ncontent-length: 4\n\
        traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\ncookie: a=b\nexpect: 100-continue";
    let valid = head("POST", "/api/cart/caf%C3%A9?q=%20", headers) + "body";
    let mut bytes = Bytes(0x9e37_79b9_7f4a_7c15);
    for round in 0..500 {
        let mut request = valid.clone().into_bytes();
        for _ in 0..=bytes.next() % 4 {
            let at = (bytes.next() % request.len() as u64) as usize;
            match bytes.next() % 4 {
                0 => request[at] = bytes.next() as u8,
                1 => request.insert(at, bytes.next() as u8),
                2 => drop(request.remove(at)),
                _ => request.truncate(at.max(1)),
            }
        }
        let mut client = host.connect().await;
        client.0.get_mut().write_all(&request).await.unwrap();
        client.0.get_mut().shutdown().await.unwrap();
        client.read_to_end().await;
        assert_eq!(
            PANICS.load(Ordering::Relaxed),
            0,
            "round {round}: {:?}",
            String::from_utf8_lossy(&request)
        );
    }
    assert_eq!(host.ask("GET", "/api/x", "").await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_none_is_refused_like_any_other_request() {
    let host = Host::plain().await;
    let broken = "the head of the request is not one of HTTP/1.1";
    let large = head("GET", "/api/x", &format!("x-large: {}", "h".repeat(40 << 10)));
    let many = head("GET", "/api/x", &"x: y\n".repeat(200));
    let too_large = "the headers are too large, or too many";
    let cases = [
        ("get /api/x\r\n\r\n", 400, "validation", broken),
        ("GET /api/\u{e9}\u{0} HTTP/1.1\r\n\r\n", 400, "validation", broken),
        ("GET /api/x HTTP/1.1\r\nno header\r\n\r\n", 400, "validation", broken),
        (&large, 431, "header_fields_too_large", too_large),
        (&many, 431, "header_fields_too_large", too_large),
    ];
    for (number, (request, status, code, text)) in cases.into_iter().enumerate() {
        let mut client = host.connect().await;
        client.write(request).await;
        let answer = client.read().await;
        answer.is_error(status, code, text, own_id(number as u64));
        assert!(answer.header("date").is_some(), "{answer:?}");
        assert!(client.read_to_end().await.is_empty(), "{request}");
    }
    assert!(host.calls().is_empty());
}

#[tokio::test]
async fn only_what_nobody_was_asked_for_is_answered_anew() {
    // An answer that begins and ends like a refusal of the server's own.
    const REFUSAL: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let host = Host::answering(|call| Box::pin(async move { response(&call, 200, &[], REFUSAL) })).await;
    let mut client = host.connect().await;
    for _ in 0..3 {
        client.write(&head("GET", "/api/x", "")).await;
        let answer = client.read().await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, REFUSAL.as_bytes()));
    }
    client.write("none\r\n\r\n").await;
    let text = "the head of the request is not one of HTTP/1.1";
    client.read().await.is_error(400, "validation", text, own_id(3));
    assert!(client.read_to_end().await.is_empty());
    assert_eq!(host.calls().len(), 3);
}

#[tokio::test]
async fn an_answer_without_a_body_that_comes_at_once_is_the_components() {
    const STATUSES: [u16; 6] = [200, 204, 304, 400, 414, 431];
    let host = Host::answering(|call| {
        let status = call.request.query.parse().unwrap();
        Box::pin(async move { response(&call, status, &[("x-content-length", "0")], "") })
    })
    .await;
    let requests = || {
        ["GET", "HEAD", "POST"]
            .into_iter()
            .flat_map(|method| STATUSES.map(|status| (method, status)))
    };
    let mut client = host.connect().await;
    let (mut count, mut all) = (0, String::new());
    for (method, status) in requests() {
        let request = head(method, &format!("/api/x?{status}"), "");
        for _ in 0..2 {
            client.write(&request).await;
            is_the_components(&client.read_head().await, status, count);
            count += 1;
        }
        all.push_str(&request);
    }
    // The same with the next request at hand, whose head is none after the last.
    client.write(&all).await;
    for (_, status) in requests() {
        is_the_components(&client.read_head().await, status, count);
        count += 1;
    }
    client.write("none\r\n\r\n").await;
    let text = "the head of the request is not one of HTTP/1.1";
    client.read().await.is_error(400, "validation", text, own_id(count));
    assert!(client.read_to_end().await.is_empty());
    assert_eq!(host.calls().len() as u64, count);
}

#[track_caller]
fn is_the_components(answer: &Answer, status: u16, request: u64) {
    let id = own_id(request).to_string();
    assert_eq!((answer.status, answer.header("x-content-length")), (status, Some("0")));
    assert_eq!(answer.header("x-invocation-id"), Some(id.as_str()), "{answer:?}");
    assert_eq!(answer.header("content-type"), None, "{answer:?}");
}
