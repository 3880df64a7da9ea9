//! A real server on a port of its own, which remembers what reached it and what was durable then.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use host_recorder::test_support::MemoryJournal;

/// A request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) host: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Bytes,
    /// The invocation's durable entries at that moment.
    pub(crate) journal: String,
}

/// The server; it ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    journal: Arc<MemoryJournal>,
    seen: Mutex<Vec<Seen>>,
    arrived: tokio::sync::Notify,
}

impl Server {
    pub(crate) async fn start(journal: Arc<MemoryJournal>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State {
            journal,
            seen: Mutex::default(),
            arrived: tokio::sync::Notify::new(),
        });
        tokio::spawn(accept(listener, state.clone(), tls));
        Self { address, state }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// Returns when the next request has arrived.
    pub(crate) async fn arrival(&self) {
        self.state.arrived.notified().await;
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, tls: Option<TlsAcceptor>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (state, tls) = (state.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, state).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, state).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<State>) {
    let service = service_fn(move |request| answer(request, state.clone()));
    // A client that goes away, and an answer that is refused on purpose, end the connection with an error.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Closes the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed on purpose")]
struct Close;

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<BoxBody<Bytes, Close>>, Close> {
    let (head, body) = request.into_parts();
    let header = |name: &str| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let body = body.collect().await.map_err(|_| Close)?.to_bytes();
    state.seen.lock().push(Seen {
        line: format!("{} {}", head.method, head.uri),
        host: header("host").unwrap_or_default(),
        key: header("idempotency-key"),
        body: body.clone(),
        journal: state.journal.shape(),
    });
    state.arrived.notify_one();
    let whole = |bytes: Bytes| Full::new(bytes).map_err(|never: Infallible| match never {}).boxed();
    let query = || head.uri.query().and_then(|query| query.parse().ok()).unwrap_or(0);
    match head.uri.path() {
        "/hello" => Ok(Response::new(whole("hello".into()))),
        "/echo" => Ok(Response::new(whole(body))),
        "/redirect" => {
            let response = Response::builder()
                .status(302)
                .header("location", "/hello")
                .body(whole("moved".into()));
            Ok(response.expect("a response"))
        }
        "/bytes" => Ok(Response::new(whole(vec![b'x'; query()].into()))),
        "/chunks" => Ok(Response::new(Endless { left: query() }.boxed())),
        "/silent" => std::future::pending().await,
        "/half" => Ok(Response::new(Endless { left: 0 }.boxed())),
        _ => Err(Close),
    }
}

/// As many bytes as are left, of unknown length, and then silence.
struct Endless {
    left: usize,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Close;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Close>>> {
        match self.left.min(16 << 10) {
            0 => std::task::Poll::Pending,
            now => {
                self.left -= now;
                std::task::Poll::Ready(Some(Ok(Frame::data(vec![b'x'; now].into()))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
