//! A server that guests send requests to. It remembers each, and can keep one waiting for its answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Its `Idempotency-Key`.
    pub(crate) key: Option<String>,
    pub(crate) body: String,
}

/// A server on a port of its own, for as long as this lives.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    serving: tokio::task::JoinHandle<()>,
}

struct Shared {
    seen: watch::Sender<Vec<Seen>>,
    /// Requests for `/held` are answered once this is true.
    released: watch::Sender<bool>,
}

/// What a guest sends arrives at once or never.
const PATIENCE: Duration = Duration::from_secs(30);

impl Peer {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            seen: watch::Sender::default(),
            released: watch::Sender::default(),
        });
        let serving = tokio::spawn(serve(listener, shared.clone()));
        Ok(Self {
            address,
            shared,
            serving,
        })
    }

    /// Every request so far, oldest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.borrow().clone()
    }

    /// Returns when `count` requests have arrived.
    pub(crate) async fn has_seen(&self, count: usize) -> Result<()> {
        let mut seen = self.shared.seen.subscribe();
        let arrived = seen.wait_for(|seen| seen.len() >= count);
        tokio::time::timeout(PATIENCE, arrived)
            .await
            .with_context(|| format!("{count} requests did not arrive"))??;
        Ok(())
    }

    /// Answers what it was asked at `/held`, now and from now on.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((connection, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(shared.clone(), request));
            let served = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
            // A client that was killed leaves in the middle.
            let _ = served.await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let seen = Seen {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        key: head
            .headers
            .get("idempotency-key")
            .map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned()),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let held = seen.path == "/held";
    let mut count = 0;
    shared.seen.send_modify(|all| {
        all.push(seen);
        count = all.len();
    });
    if held {
        // The sender lives as long as what holds it.
        let _ = shared.released.subscribe().wait_for(|released| *released).await;
    }
    Ok(Response::new(Full::from(format!("answer {count}"))))
}
