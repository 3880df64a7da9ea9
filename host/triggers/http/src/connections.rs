//! Connections: accepting them, bounding what each may take, and ending them. What is answered on them is the service's business.

mod refusal;
mod stall;

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use self::refusal::{Exchange, Refuse, Worded};
use self::stall::StallGuard;

/// What connections may take.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// Open at once; more wait in the kernel's queue.
    pub max_connections: usize,
    /// From the end of one exchange to the end of the next request's head, so also how long an idle connection is kept.
    pub header_read_timeout: Duration,
    /// The request line and the headers together, bytes; at least 8 KiB. More is a 431.
    pub max_header_bytes: usize,
    /// How long a client may take nothing of its response before it is cut off.
    pub write_stall_timeout: Duration,
    /// How long what is under way may go on after the shutdown began.
    pub drain_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            // Most of them may be streams, which hold nothing else.
            max_connections: 12_288,
            header_read_timeout: Duration::from_secs(10),
            max_header_bytes: 32 << 10,
            write_stall_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// hyper refuses a smaller buffer.
const MIN_HEADER_BYTES: usize = 8 << 10;
/// The pause after an accept that failed for want of descriptors or memory: nothing tells when there is some again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves HTTP/1.1 on the listener until `shutdown` ends; then accepts no more, lets the requests under way be answered, and
/// cuts off those that take longer than the limits say. `service` is called once per connection, with the client's address.
/// `refuse` words the answer to a request whose head is none that a service could be given: a 400, 414 or 431.
pub async fn serve<S, B>(
    listener: TcpListener,
    limits: &ConnectionLimits,
    shutdown: impl Future<Output = ()>,
    refuse: impl Fn(StatusCode) -> Response<Bytes> + Send + Sync + 'static,
    service: impl Fn(SocketAddr) -> S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let http = http(limits);
    let refuse: Refuse = Arc::new(refuse);
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accept = async {
            // The semaphore is never closed; were it, accepting without a bound would beat not accepting.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => report(ended),
            (accepted, place) = accept => match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection {
                        stream,
                        http: http.clone(),
                        write_stall_timeout: limits.write_stall_timeout,
                        stopped: stopped.clone(),
                        refuse: Arc::clone(&refuse),
                    };
                    let service = service(peer);
                    connections.spawn(async move {
                        connection.run(service).await;
                        drop(place);
                    });
                }
                Err(error) if is_of_one_client(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(());
    let drain = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(limits.drain_timeout, drain).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "the time to drain is over: connections are cut off"
        );
        connections.shutdown().await;
    }
}

fn http(limits: &ConnectionLimits) -> http1::Builder {
    let max_header_bytes = limits.max_header_bytes.max(MIN_HEADER_BYTES);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size(max_header_bytes)
        .max_header_size(max_header_bytes);
    http
}

/// One connection, accepted.
struct Connection {
    stream: TcpStream,
    http: http1::Builder,
    write_stall_timeout: Duration,
    stopped: watch::Receiver<()>,
    refuse: Refuse,
}

impl Connection {
    async fn run<S, B>(mut self, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static,
    {
        if let Err(error) = self.stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection is gone before its first byte");
            return;
        }
        let exchange = Exchange::default();
        let stream = StallGuard::new(self.stream, self.write_stall_timeout);
        let stream = TokioIo::new(Worded::new(stream, exchange.clone(), self.refuse));
        let service = service_fn(move |request| {
            exchange.begin();
            let (answered, exchange) = (service.call(request), exchange.clone());
            async move {
                let response = answered.await?;
                Ok::<_, Infallible>(response.map(|body| exchange.until_end_of(body)))
            }
        });
        let mut connection = pin!(self.http.serve_connection(stream, service));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            _ = self.stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // Of interest to the client alone: it went away, was too slow, or does not speak HTTP.
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Says something about the client that was about to be accepted, and nothing about the listener.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task ended abnormally");
    }
}
