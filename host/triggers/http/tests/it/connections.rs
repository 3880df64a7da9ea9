//! Keep-alive, pipelining, clients that leave, and the shutdown.

use std::sync::Arc;
use std::time::Duration;

use host_http::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};

use crate::support::{Client, Host, head, response, within};

#[tokio::test]
async fn a_thousand_requests_one_after_the_other_share_a_connection() {
    let host = Host::answering(|call| Box::pin(async move { response(&call, 200, &[], &call.request.query) })).await;
    let mut client = host.connect().await;
    for number in 0..1000 {
        let body = format!("body {number}");
        let headers = format!("content-length: {}", body.len());
        let request = match number % 2 {
            0 => head("GET", &format!("/api/x?{number}"), ""),
            _ => head("POST", &format!("/api/x?{number}"), &headers) + &body,
        };
        client.write(&request).await;
        let answer = client.read().await;
        assert_eq!((answer.status, answer.body), (200, number.to_string().into_bytes()));
    }
    assert_eq!(host.calls().len(), 1000);
}

#[tokio::test]
async fn a_thousand_pipelined_requests_are_answered_in_order() {
    let host = Host::answering(|call| {
        Box::pin(async move {
            tokio::task::yield_now().await;
            response(&call, 200, &[], &call.request.query)
        })
    })
    .await;
    let (reader, mut writer) = TcpStream::connect(host.address).await.unwrap().into_split();
    let mut client = Client::new(reader);
    let requests: String = (0..1000)
        .map(|number| head("GET", &format!("/api/x?{number}"), ""))
        .collect();
    let read = async {
        for number in 0..1000 {
            let answer = client.read().await;
            assert_eq!((answer.status, answer.body), (200, number.to_string().into_bytes()));
        }
    };
    let (written, ()) = tokio::join!(writer.write_all(requests.as_bytes()), read);
    written.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_call() {
    struct Dropped(mpsc::UnboundedSender<&'static str>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    let (events, mut told) = mpsc::unbounded_channel();
    let host = Host::answering(move |_| {
        let dropped = Dropped(events.clone());
        Box::pin(async move {
            dropped.0.send("begun").unwrap();
            let () = std::future::pending().await;
            drop(dropped);
            unreachable!("nothing answers this call")
        })
    })
    .await;
    for request in [
        head("GET", "/api/x", ""),
        head("POST", "/api/x", "content-length: 4") + "body",
    ] {
        let mut client = host.connect().await;
        client.write(&request).await;
        assert_eq!(within(told.recv()).await, Some("begun"));
        drop(client);
        assert_eq!(within(told.recv()).await, Some("dropped"));
    }
}

/// A host whose calls wait for the gate, and tell when they begin.
async fn gated(limits: Limits) -> (Host, mpsc::UnboundedReceiver<()>, Arc<Semaphore>) {
    let (begun, begins) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let host = Host::start(limits, move |call| {
        let (begun, gate) = (begun.clone(), Arc::clone(&gate));
        Box::pin(async move {
            begun.send(()).unwrap();
            gate.acquire().await.unwrap().forget();
            response(&call, 200, &[], "done")
        })
    })
    .await;
    (host, begins, opened)
}

#[tokio::test]
async fn the_shutdown_lets_what_has_begun_end_and_nothing_new_begin() {
    let (mut host, mut begins, gate) = gated(Limits::default()).await;
    let mut idle = host.connect().await;
    idle.write(&head("GET", "/livez", "")).await;
    assert_eq!(idle.read().await.status, 200);
    let mut busy = host.connect().await;
    busy.write(&head("GET", "/api/x", "")).await;
    begins.recv().await.unwrap();

    host.stop();
    // The listener is gone before idle connections are closed.
    assert_eq!(idle.read_to_end().await, b"");
    assert!(TcpStream::connect(host.address).await.is_err());
    assert!(!host.served.is_finished());

    gate.add_permits(1);
    let answer = busy.read().await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"done".as_slice()));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(busy.read_to_end().await, b"");
    within(host.served).await.unwrap();
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off() {
    let mut limits = Limits::default();
    limits.connections.drain_timeout = Duration::from_millis(50);
    let (mut host, mut begins, _gate) = gated(limits).await;
    let mut busy = host.connect().await;
    busy.write(&head("GET", "/api/x", "")).await;
    begins.recv().await.unwrap();
    host.stop();
    within(host.served).await.unwrap();
    assert_eq!(busy.read_to_end().await, b"");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let mut limits = Limits::default();
    limits.connections.max_connections = 1;
    let (host, mut begins, gate) = gated(limits).await;
    let mut first = host.connect().await;
    first.write(&head("GET", "/api/x", "")).await;
    begins.recv().await.unwrap();
    let mut second = host.connect().await;
    second.write(&head("GET", "/api/x", "")).await;
    gate.add_permits(2);
    assert_eq!(first.read().await.status, 200);
    // The place is held by the connection, not by its request.
    assert_eq!(host.calls().len(), 1);
    drop(first);
    assert_eq!(second.read().await.status, 200);
}
