//! Events streamed to clients: from now on, from where a client left, and never more than it takes.

use std::sync::atomic::Ordering;

use host_types::EventId;

use crate::support::{Answer, Client, Host, head, own_id, response, within};

/// A host whose component answers every request with this stream.
async fn streaming(stream: &'static str) -> Host {
    Host::answering(move |call| {
        Box::pin(async move { response(&call, 200, &[("nexus-stream", stream), ("x-own", "kept")], "") })
    })
    .await
}

struct Listener(Client);

impl Listener {
    async fn open(host: &Host, headers: &str) -> Self {
        let mut client = host.connect().await;
        client.write(&head("GET", "/api/cart/x/y", headers)).await;
        let answer = client.read_head().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_eq!(
            (answer.header("x-own"), answer.header("nexus-stream")),
            (Some("kept"), None)
        );
        assert_eq!(
            answer.header("x-invocation-id"),
            Some(own_id(host.calls().len() as u64 - 1).to_string().as_str())
        );
        let mut listener = Self(client);
        assert_eq!(listener.said("retry: ").await, "3000");
        listener
    }

    /// What the next line that begins like this goes on with. Between them stand the sizes of chunks, and lines that are empty.
    async fn said(&mut self, begin: &str) -> String {
        let mut buffer = String::new();
        loop {
            buffer.clear();
            let read = within(tokio::io::AsyncBufReadExt::read_line(&mut self.0.0, &mut buffer)).await;
            assert!(read.unwrap() > 0, "the stream ends before {begin:?}");
            if let Some(said) = buffer.trim_end().strip_prefix(begin) {
                return said.to_owned();
            }
        }
    }

    async fn event(&mut self) -> (EventId, String) {
        let id = self.said("id: ").await;
        (id.parse().unwrap(), self.said("data: ").await)
    }
}

#[tokio::test]
async fn a_client_is_told_from_now_on_and_goes_on_where_it_left() {
    let host = streaming("cart.* 7%2F7").await;
    host.log.publish("cart.filled", "7/7", "before");
    let mut first = Listener::open(&host, "").await;
    let one = host.log.publish("cart.filled", "7/7", "one");
    host.log.publish("cart.filled", "8", "of another key");
    host.log.publish("order.placed", "7/7", "of another topic");
    let two = host.log.publish("cart.emptied", "7/7", "two");
    assert_eq!(first.event().await, (one, "one".to_owned()));
    assert_eq!(first.event().await, (two, "two".to_owned()));
    drop(first);

    let three = host.log.publish("cart.filled", "7/7", "three");
    let mut second = Listener::open(&host, &format!("last-event-id: {one}")).await;
    assert_eq!(second.event().await, (two, "two".to_owned()));
    assert_eq!(second.event().await, (three, "three".to_owned()));
    // One that nobody knows, or that is of another key: what came between is lost.
    for unknown in ["nonsense", &EventId::new(1, [9; 10]).to_string()] {
        let mut lost = Listener::open(&host, &format!("last-event-id: {unknown}")).await;
        assert_eq!(lost.said("event: ").await, "resync");
        let next = host.log.publish("cart.filled", "7/7", "next");
        assert_eq!(lost.event().await, (next, "next".to_owned()));
    }
    assert_eq!(second.event().await.1, "next");
}

#[tokio::test]
async fn a_client_that_is_far_behind_is_told_everything_in_order() {
    let host = streaming("cart.* 7").await;
    let first = host.log.publish("cart.filled", "7", "0");
    let mut present = Listener::open(&host, "").await;
    for number in 1..=300 {
        host.log.publish("cart.filled", "7", &number.to_string());
    }
    let mut behind = Listener::open(&host, &format!("last-event-id: {first}")).await;
    for number in 1..=300 {
        assert_eq!(behind.event().await.1, number.to_string());
        assert_eq!(present.event().await.1, number.to_string());
    }
}

#[tokio::test]
async fn what_is_not_granted_or_cannot_be_is_no_stream() {
    for stream in [
        "order.* 7",
        "* 7",
        "cart.*",
        "cart.*x 7",
        "cart.* ",
        "cart.filled %ff",
        "cart.* 7%00",
    ] {
        let host = streaming(stream).await;
        let answer = host.ask("GET", "/api/cart/x/y", "").await;
        answer.is_error(500, "internal", "something went wrong", own_id(0));
        assert_eq!(host.streams.open(), 0);
    }
    let host = streaming("cart.* 7").await;
    host.log.is_broken.store(true, Ordering::Relaxed);
    let answer: Answer = host.ask("GET", "/api/cart/x/y", "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    // Only a GET that succeeds is one.
    let answer = host.ask("HEAD", "/api/cart/x/y", "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, None));
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_its_host() {
    let mut host = streaming("cart.* 7").await;
    let mut client = host.connect().await;
    client
        .write(&head("GET", "/api/cart/x/y", "authorization: brief\nconnection: close"))
        .await;
    assert_eq!(client.read_head().await.status, 200);
    assert_eq!(client.read_to_end().await, b"0\r\n\r\n", "it was over before it began");

    let mut listener = Listener::open(&host, "authorization: good").await;
    assert_eq!(host.streams.open(), 1);
    host.log.publish("cart.filled", "7", "last words");
    assert_eq!(listener.event().await.1, "last words");
    host.stop();
    assert!(listener.0.read_to_end().await.ends_with(b"0\r\n\r\n"), "cleanly");
    within(&mut host.served).await.unwrap();
    assert_eq!(host.streams.open(), 0);
}
