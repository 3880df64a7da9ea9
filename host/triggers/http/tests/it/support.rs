//! A server on a free port, and a client that sees every byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host_http::{
    CountAnswer, CountRequests, Counted, EventLog, HttpMetrics, Limits, LogAnswer, LoggedEvent, News, Readiness,
    Server, ServerOptions, Streams, Verified,
};
use host_manifest::App;
use host_traces::Traces;
use host_types::{Clock, EventId, HttpCall, HttpOutcome, HttpResponse, InvocationClient, InvocationId, Rng};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

const MANIFEST: &str = r#"spin_manifest_version = 2
[application]
name = "shop"

[[trigger.http]]
route = "/api/..."
component = "shop"
[[trigger.http]]
route = "/api/cart/..."
component = "cart"
[[trigger.http]]
route = "/api/cart/:id"
component = "item"

[component.shop]
source = "shop.wasm"

[component.cart]
source = "cart.wasm"
[component.cart.tool.nexus]
keys = ["access"]
identity = { key = "access", subject = "sub", token_in_query = ["GET /api/cart/stream/live"] }
sensitive = ["POST /api/cart/login/basic"]
request_timeout_ms = 1234
body_limit_bytes = 2048
streams = ["cart.*"]
[component.cart.tool.nexus.rate_limits.buy]
quota = 2
window_seconds = 60
routes = ["POST /api/cart/all/buy", "POST /api/cart/:id/buy/again"]
[component.cart.tool.nexus.rate_limits.sign-in]
quota = 1
window_seconds = 3600
by = "address"
unknown = "refuse"
routes = ["POST /api/cart/door/sign-in"]
[component.cart.tool.nexus.rate_limits.thing]
quota = 1
window_seconds = 60
member = "id"
spelling = "folded"
routes = ["POST /api/cart/all/buy"]

[component.item]
source = "item.wasm"
"#;

/// The moment of every test, milliseconds.
pub(crate) const NOW_MS: u64 = 1_700_000_000_000;

struct FixedClock;

impl Clock for FixedClock {
    fn unix_ms(&self) -> u64 {
        NOW_MS
    }

    fn boot_ns(&self) -> u64 {
        0
    }
}

/// Counts instead of drawing, so that ids are known.
#[derive(Default)]
struct CountingRng(AtomicU64);

impl Rng for CountingRng {
    fn fill(&self, buffer: &mut [u8]) {
        fill(buffer, self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn fill(buffer: &mut [u8], count: u64) {
    buffer.fill(0);
    for (byte, counted) in buffer.iter_mut().rev().zip(count.to_le_bytes()) {
        *byte = counted;
    }
}

/// The id of the server's request number `count`, from 0.
pub(crate) fn own_id(count: u64) -> InvocationId {
    let mut entropy = [0; 10];
    fill(&mut entropy, count);
    InvocationId::new(NOW_MS, entropy)
}

/// An id that is nobody's own.
pub(crate) fn other_id() -> InvocationId {
    "018f3b1e-9f7a-7c31-b6a3-0d3c5a0e7a11".parse().unwrap()
}

pub(crate) type Answering = Pin<Box<dyn Future<Output = HttpOutcome> + Send>>;

/// Answers by a closure, and remembers what it was asked.
struct Double {
    answer: Box<dyn Fn(HttpCall) -> Answering + Send + Sync>,
    calls: Arc<Mutex<Vec<HttpCall>>>,
}

impl InvocationClient for Double {
    fn handle_http(&self, call: HttpCall) -> Pin<Box<dyn Future<Output = HttpOutcome> + Send + '_>> {
        self.calls.lock().unwrap().push(call.clone());
        (self.answer)(call)
    }
}

/// A 200 with these headers and this body.
pub(crate) fn response(call: &HttpCall, status: u16, headers: &[(&str, &str)], body: &str) -> HttpOutcome {
    HttpOutcome::Response {
        invocation: call.invocation,
        response: HttpResponse {
            status,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.as_bytes().to_vec().into(),
        },
        replayed: false,
    }
}

/// A log in memory.
#[derive(Default)]
pub(crate) struct MemoryLog {
    events: Mutex<Vec<LoggedEvent>>,
    published: watch::Sender<u64>,
    /// It does not answer.
    pub(crate) is_broken: AtomicBool,
}

impl MemoryLog {
    /// Publishes; the event's id.
    pub(crate) fn publish(&self, topic: &str, key: &str, payload: &str) -> EventId {
        let mut events = self.events.lock().unwrap();
        let number = events.len() as u64 + 1;
        let mut entropy = [0; 10];
        fill(&mut entropy, number);
        let event = EventId::new(NOW_MS, entropy);
        events.push(LoggedEvent {
            number: number as i64,
            event,
            topic: topic.to_owned(),
            key: key.to_owned(),
            payload: payload.as_bytes().to_vec(),
        });
        drop(events);
        self.published.send_modify(|published| *published += 1);
        event
    }

    fn answer<T>(&self, of: impl FnOnce(&[LoggedEvent]) -> T) -> Result<T, String> {
        match self.is_broken.load(Ordering::Relaxed) {
            true => Err("out of order".to_owned()),
            false => Ok(of(&self.events.lock().unwrap())),
        }
    }
}

impl EventLog for MemoryLog {
    fn news(&self, from: Option<u64>) -> LogAnswer<'_, News> {
        let news = self.answer(|events| News {
            keys: events
                .iter()
                .filter(|event| from.is_some_and(|from| event.number as u64 > from))
                .map(|event| (event.key.clone(), event.number))
                .collect(),
            from: events.len() as u64,
        });
        Box::pin(std::future::ready(news))
    }

    fn after<'a>(&'a self, places: &'a [(String, i64)], limit: u32) -> LogAnswer<'a, Vec<LoggedEvent>> {
        let after = self.answer(|events| {
            let of = |(key, number): &(String, i64)| {
                let after = events
                    .iter()
                    .filter(|event| event.key == *key && event.number > *number);
                after.take(limit as usize).cloned().collect::<Vec<_>>()
            };
            places.iter().flat_map(of).collect()
        });
        Box::pin(std::future::ready(after))
    }

    fn newest<'a>(&'a self, key: &'a str) -> LogAnswer<'a, i64> {
        let newest = self.answer(|events| {
            let newest = events.iter().rev().find(|event| event.key == key);
            newest.map_or(0, |event| event.number)
        });
        Box::pin(std::future::ready(newest))
    }

    fn number<'a>(&'a self, event: EventId, key: &'a str) -> LogAnswer<'a, Option<i64>> {
        let number = self.answer(|events| {
            let found = events.iter().find(|logged| logged.event == event && logged.key == key);
            found.map(|logged| logged.number)
        });
        Box::pin(std::future::ready(number))
    }
}

/// A counter in memory, whose windows never end.
#[derive(Default)]
pub(crate) struct MemoryCounter {
    counts: Mutex<BTreeMap<String, u64>>,
    /// It fails.
    pub(crate) is_broken: AtomicBool,
    /// It never answers.
    pub(crate) is_silent: AtomicBool,
}

/// What is left of every window that it counts in.
const LEFT_MS: u64 = 36_500;

impl MemoryCounter {
    /// What was counted in each bucket.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap().clone()
    }
}

impl CountRequests for MemoryCounter {
    fn count<'a>(&'a self, bucket: &'a str, _: u32) -> CountAnswer<'a> {
        if self.is_silent.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        if self.is_broken.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err("out of order".to_owned())));
        }
        let mut counts = self.counts.lock().unwrap();
        let requests = counts.entry(bucket.to_owned()).or_default();
        *requests += 1;
        let counted = Counted {
            requests: *requests,
            left_ms: LEFT_MS,
        };
        Box::pin(std::future::ready(Ok(counted)))
    }
}

pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) readiness: watch::Sender<Readiness>,
    calls: Arc<Mutex<Vec<HttpCall>>>,
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) counter: Arc<MemoryCounter>,
    pub(crate) metrics: HttpMetrics,
    pub(crate) streams: Streams,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) served: JoinHandle<()>,
}

impl Host {
    /// Answers every call by the closure.
    pub(crate) async fn answering(answer: impl Fn(HttpCall) -> Answering + Send + Sync + 'static) -> Self {
        Self::start(Limits::default(), answer).await
    }

    /// Answers every call with `200 {}`.
    pub(crate) async fn plain() -> Self {
        Self::limited(Limits::default()).await
    }

    pub(crate) async fn limited(limits: Limits) -> Self {
        Self::start(limits, |call| {
            Box::pin(async move { response(&call, 200, &[("content-type", "application/json")], "{}") })
        })
        .await
    }

    pub(crate) async fn start(limits: Limits, answer: impl Fn(HttpCall) -> Answering + Send + Sync + 'static) -> Self {
        let app = App::load("spin.toml", MANIFEST, &BTreeMap::new()).unwrap_or_else(|errors| panic!("\n{errors}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::<Mutex<Vec<HttpCall>>>::default();
        let (readiness, watched) = watch::channel(Readiness::default());
        let log = Arc::<MemoryLog>::default();
        let streams = Streams::new(log.clone(), log.published.subscribe());
        tokio::spawn(streams.clone().run());
        let (counter, metrics) = (Arc::<MemoryCounter>::default(), HttpMetrics::default());
        let server = Server::new(ServerOptions {
            metrics: metrics.clone(),
            exposition: Arc::default(),
            traces: Traces::default(),
            listener,
            app: Arc::new(app),
            client: Arc::new(Double {
                answer: Box::new(answer),
                calls: Arc::clone(&calls),
            }),
            verifier: Arc::new(verify),
            trusted_proxies: ["127.0.0.2"].iter().map(|proxy| proxy.parse().unwrap()).collect(),
            counter: Arc::clone(&counter) as _,
            streams: streams.clone(),
            readiness: watched,
            clock: Arc::new(FixedClock),
            rng: Arc::new(CountingRng::default()),
            limits,
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            readiness,
            calls,
            log,
            counter,
            metrics,
            streams,
            stop: Some(stop),
            served,
        }
    }

    /// What the double was asked so far.
    pub(crate) fn calls(&self) -> Vec<HttpCall> {
        self.calls.lock().unwrap().clone()
    }

    /// The only call so far.
    #[track_caller]
    pub(crate) fn call(&self) -> HttpCall {
        let [call] = <[HttpCall; 1]>::try_from(self.calls()).expect("there is one call");
        call
    }

    /// Begins the shutdown.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// From another address of this machine.
    pub(crate) async fn connect_from(&self, address: &str) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
        Client::new(socket.connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, request: &str) -> Answer {
        let mut client = self.connect().await;
        client.write(request).await;
        client.read().await
    }

    /// One request with a body of JSON.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let headers = format!("content-type: application/json\ncontent-length: {}", body.len());
        self.send(&(head("POST", path, &headers) + body)).await
    }

    /// One request without a body; `headers` are whole lines.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut client = self.connect().await;
        client.write(&head(method, path, headers)).await;
        if method == "HEAD" {
            client.read_head().await
        } else {
            client.read().await
        }
    }
}

/// The head of a request; `headers` are whole lines.
pub(crate) fn head(method: &str, path: &str, headers: &str) -> String {
    let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nhost: shop.test\r\n{headers}\r\n")
}

fn verify(key: &str, token: &str, now_ms: u64) -> Result<Verified, String> {
    assert_eq!((key, now_ms), ("access", NOW_MS));
    let payload = match token {
        "good" => r#"{"sub":"a1","Account":{"Number":7}}"#,
        "numbered" => r#"{"sub":7}"#,
        "nameless" => r#"{"iss":"shop"}"#,
        "empty" => r#"{"sub":""}"#,
        "array" => "[]",
        "other" => r#"{"sub":"a2"}"#,
        "brief" => r#"{"sub":"a1","exp":1700000000}"#,
        _ => return Err("the token is expired".to_owned()),
    };
    Ok(Verified {
        payload: payload.to_owned(),
    })
}

/// Reads responses, and writes requests where it has the whole stream.
pub(crate) struct Client<S = TcpStream>(pub(crate) BufReader<S>);

/// A response, in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Longer than any answer takes: the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

impl Client {
    pub(crate) async fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }
}

impl<S: AsyncRead + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    pub(crate) async fn read(&mut self) -> Answer {
        let mut answer = self.read_head().await;
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        answer.body = vec![0; length];
        within(self.0.read_exact(&mut answer.body)).await.unwrap();
        answer
    }

    /// A response that has no body whatever its headers say.
    pub(crate) async fn read_head(&mut self) -> Answer {
        let status = self.line().await;
        let status = status
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("{status:?}"))
            .parse()
            .unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                assert_eq!(line, "");
                return Answer {
                    status,
                    headers,
                    body: Vec::new(),
                };
            };
            headers.push((name.to_owned(), value.to_owned()));
        }
    }

    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        within(self.0.read_line(&mut line)).await.unwrap();
        line.strip_suffix("\r\n")
            .unwrap_or_else(|| panic!("the connection ends in {line:?}"))
            .to_owned()
    }

    /// What is left until the server closes.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset ends it as well.
        let _ = within(self.0.read_to_end(&mut rest)).await;
        rest
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it does not take so long")
}

impl Answer {
    /// The only header of this name.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found: Vec<_> = self.headers(name);
        assert!(found.len() <= 1, "{name}: {found:?}");
        found.first().copied()
    }

    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It is this error, in both shapes.
    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, code: &str, text: &str, request: InvocationId) {
        let expected = serde_json::json!({
            "message": text,
            "error": {
                "http_status": status, "code": code, "message": format!("{code}: {text}"), "request_id": request,
            },
        });
        assert_eq!((self.status, self.json()), (status, expected));
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("x-invocation-id"), Some(request.to_string().as_str()));
    }
}
