//! Nothing a client sends may stop the server, or make it panic.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;

use crate::support::{Host, head};

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
