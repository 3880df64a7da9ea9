//! Requests of components that are not journaled, under the same grants: bodies flow both ways while the exchange lasts, and
//! nothing is recorded. `wasi:http` 0.2 and 0.3 hand their requests to the same hook.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Sleep, sleep, timeout};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody, WasiHttpHooks};

use crate::bounds::CHUNK_BYTES;
use crate::exchange::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::request::{Added, OutgoingRequest};
use crate::{Failure, HttpClient};

/// What 0.3 copies out of a guest at once, when somebody reads it.
const STREAMED_BYTES: usize = 64 << 10;

/// Sends the requests of one instance as they come.
pub struct StreamedHooks {
    client: Option<Arc<HttpClient>>,
    trace_parent: Option<String>,
}

impl StreamedHooks {
    /// Without a client the component is granted no host. `trace_parent` goes with every request that has none of its own.
    pub fn new(client: Option<Arc<HttpClient>>, trace_parent: Option<String>) -> Self {
        Self { client, trace_parent }
    }
}

type Connected = Box<dyn Future<Output = Result<(), WasiError>> + Send>;
type Sent = Result<(Response<WasiBody>, Connected), WasiError>;

impl WasiHttpHooks for StreamedHooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), WasiError>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let client = self.client.clone();
        let added = Added::trace_parent(self.trace_parent.clone());
        Box::new(async move {
            let Some(client) = client else {
                return Err(Failure::Denied.to_http());
            };
            send(&client, request, options.unwrap_or_default(), &added)
                .await
                .map_err(|failure| failure.to_http())
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        STREAMED_BYTES
    }
}

async fn send(
    client: &HttpClient,
    request: Request<WasiBody>,
    options: RequestOptions,
    added: &Added,
) -> Result<(Response<WasiBody>, Connected), Failure> {
    let (head, body) = request.into_parts();
    let outgoing = OutgoingRequest::new(head, Bytes::new(), options)?;
    let grant = client.grant(&outgoing).ok_or(Failure::Denied)?;
    let slot = client
        .owned_slot()
        .await
        .map_err(|fault| Failure::NotSent(fault.to_string()))?;
    let limits = &client.limits;
    let progress = Arc::new(Notify::new());
    let body = Written {
        body,
        progress: Arc::clone(&progress),
    };
    let wire = outgoing.to_wire_with(added, body)?;
    let within = outgoing.connect_timeout(limits.connect);
    let stream = client.connector.connect(&outgoing.origin, grant, within).await?;
    let mut builder = Builder::new();
    builder.max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let terminated = |error: hyper::Error| Failure::Terminated(error.to_string());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(terminated)?;
    let connection: AbortOnDropJoinHandle<_> = spawn(connection);
    let mut answer = std::pin::pin!(sender.send_request(wire));
    let patience = outgoing.first_byte_timeout(limits.first_byte);
    let head = loop {
        tokio::select! {
            head = &mut answer => break head.map_err(terminated)?,
            // As long as the guest writes, the peer has reason not to answer yet.
            () = progress.notified() => {}
            () = sleep(patience) => return Err(Failure::ResponseTimeout),
        }
    };
    let pause = outgoing.between_bytes_timeout(limits.total);
    let response = head.map(|body| {
        let read = Read {
            body,
            pause,
            paused: None,
            _slot: slot,
        };
        read.boxed_unsync()
    });
    let connected = async move {
        // What ends a connection early ends its bodies early, and is told there.
        let _ = connection.await;
        Ok(())
    };
    Ok((response, Box::new(connected)))
}

/// A request's body, telling that it goes on.
struct Written {
    body: WasiBody,
    progress: Arc<Notify>,
}

impl Body for Written {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.progress.notify_one();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body. Between two parts of it there may be only so much time; the component's slot is held until it is gone.
struct Read {
    body: Incoming,
    pause: Duration,
    paused: Option<Pin<Box<Sleep>>>,
    _slot: OwnedSemaphorePermit,
}

impl Body for Read {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.paused = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| WasiError::ConnectionTerminated)));
        }
        let pause = self.pause;
        let paused = self.paused.get_or_insert_with(|| Box::pin(sleep(pause)));
        ready!(paused.as_mut().poll(cx));
        Poll::Ready(Some(Err(WasiError::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl HttpClient {
    async fn owned_slot(&self) -> Result<OwnedSemaphorePermit, host_types::Fault> {
        match timeout(self.limits.wait, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(slot) => Ok(slot.expect("the slots are never closed")),
            Err(_) => Err(self.overloaded()),
        }
    }
}
