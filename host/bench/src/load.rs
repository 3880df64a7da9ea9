//! The clients: each has a connection that it keeps and sends its next request when it has the answer to its last.

use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use host_types::{Clock, SystemClock};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::statistics::percentile;

/// As many as the tables have.
const ITEMS: u64 = 10_000;

/// What clients ask for.
pub(crate) trait Job: Clone + Debug + Send + 'static {
    /// Sends one request about the item, and checks the answer.
    fn request(self, client: &mut Client, item: u64) -> impl Future<Output = Result<()>> + Send;
}

/// What the platform and the native handlers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Orders one unit of some item: one transaction.
    Post,
    /// Reads some item.
    Get,
}

/// When the clients stop. Requests that are under way are finished and count.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Passed(Duration),
    /// All clients together; rounded up to the same number for each.
    Requests(u64),
}

/// How the clients went about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<J> {
    pub(crate) work: J,
    pub(crate) clients: usize,
    pub(crate) until: Until,
    /// Which items are asked for: every server gets the same sequence for the same seed.
    pub(crate) seed: u64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// One client.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        // A request is one segment: waiting for more only costs time.
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the sender.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            host: address.to_string(),
        })
    }

    /// The body of the answer, which must be a success.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes> {
        self.send(Method::GET, path, None, Bytes::new()).await
    }

    /// The body of the answer, which must be a success.
    pub(crate) async fn post(&mut self, path: &str, json: String) -> Result<Bytes> {
        self.send(Method::POST, path, None, json.into()).await
    }

    /// The body of the answer, which must be a success, to a request with this Idempotency-Key.
    pub(crate) async fn post_once(&mut self, path: &str, key: &str, json: String) -> Result<Bytes> {
        self.send(Method::POST, path, Some(key), json.into()).await
    }

    async fn send(&mut self, method: Method, path: &str, key: Option<&str>, body: Bytes) -> Result<Bytes> {
        let mut request = Request::builder().method(&method).uri(path).header("host", &self.host);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::new(body))?).await;
        let response = response.with_context(|| format!("{method} {path}"))?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .with_context(|| format!("{method} {path}"))?
            .to_bytes();
        ensure!(
            status.is_success(),
            "{method} {path}: {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }
}

impl Job for Work {
    async fn request(self, client: &mut Client, item: u64) -> Result<()> {
        let (body, wanted): (Bytes, &[u8]) = match self {
            Self::Post => {
                let order = format!(r#"{{"item":{item},"quantity":1}}"#);
                (client.post("/bench/order", order).await?, br#""purchase":"#)
            }
            Self::Get => (client.get(&format!("/bench/item/{item}")).await?, br#""price":"#),
        };
        let is_there = body.windows(wanted.len()).any(|found| found == wanted);
        ensure!(is_there, "a strange answer: {}", String::from_utf8_lossy(&body));
        Ok(())
    }
}

/// Puts the load on the server at `address`. Any answer that is not the right one is an error.
pub(crate) async fn run<J: Job>(address: SocketAddr, load: Load<J>) -> Result<Sample> {
    run_until(address, load, Arc::default()).await
}

/// Puts the load on the server for as long as `event` takes, and no longer than the load says. Gives what came of the event, too.
pub(crate) async fn run_beside<J: Job, T>(
    address: SocketAddr,
    load: Load<J>,
    event: impl Future<Output = Result<T>>,
) -> Result<(Sample, T)> {
    let is_over = Arc::new(AtomicBool::new(false));
    let event = async {
        let outcome = event.await;
        is_over.store(true, Ordering::Relaxed);
        outcome
    };
    tokio::try_join!(run_until(address, load, Arc::clone(&is_over)), event)
}

async fn run_until<J: Job>(address: SocketAddr, load: Load<J>, is_over: Arc<AtomicBool>) -> Result<Sample> {
    let clients = try_join_all((0..load.clients).map(|_| Client::connect(address))).await?;
    let began = SystemClock.boot_ns();
    let tasks = clients.into_iter().enumerate().map(|(index, mut client)| {
        let mut items = Items::new(load.seed ^ ((index as u64) << 32));
        let share = match load.until {
            Until::Requests(all) => all.div_ceil(load.clients as u64),
            Until::Passed(_) => u64::MAX,
        };
        let deadline = match load.until {
            Until::Requests(_) => u64::MAX,
            Until::Passed(passed) => began + passed.as_nanos() as u64,
        };
        let (work, is_over) = (load.work.clone(), Arc::clone(&is_over));
        let client = async move {
            let mut latencies_ns = Vec::new();
            let mut now = SystemClock.boot_ns();
            while now < deadline && (latencies_ns.len() as u64) < share && !is_over.load(Ordering::Relaxed) {
                work.clone().request(&mut client, items.next()).await?;
                let answered = SystemClock.boot_ns();
                latencies_ns.push(answered - now);
                now = answered;
            }
            anyhow::Ok((latencies_ns, now))
        };
        tokio::spawn(client)
    });
    let mut latencies_ns = Vec::new();
    let mut ended = began;
    for client in try_join_all(tasks).await? {
        let (latencies, last) = client?;
        latencies_ns.extend(latencies);
        ended = ended.max(last);
    }
    ensure!(!latencies_ns.is_empty(), "no request was sent");
    latencies_ns.sort_unstable();
    let us = |percent| percentile(&latencies_ns, percent) as f64 / 1e3;
    Ok(Sample {
        requests: latencies_ns.len() as u64,
        per_second: latencies_ns.len() as f64 * 1e9 / (ended - began) as f64,
        p50_us: us(50.0),
        p99_us: us(99.0),
    })
}

/// A sequence of items that looks random and is not (splitmix64).
struct Items(u64);

impl Items {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % ITEMS + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_those_of_the_table_and_differ() {
        let mut items = Items::new(7);
        let drawn: Vec<u64> = (0..1000).map(|_| items.next()).collect();
        assert!(drawn.iter().all(|item| (1..=ITEMS).contains(item)));
        let mut distinct = drawn.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 900, "{}", distinct.len());
        let mut again = Items::new(7);
        assert_eq!(drawn, (0..1000).map(|_| again.next()).collect::<Vec<_>>());
    }
}
