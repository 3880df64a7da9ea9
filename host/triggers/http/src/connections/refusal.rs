//! What clients see of a request whose head hyper refuses: it answers such a one by itself, with an empty body and nobody asked. Here its
//! answer gets the headers and the body that every other answer of the server has.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where a connection is between the answers of its service.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Requests from the call of the service to the end of the answer's body. Two at most: a body may be let go of after the next call.
    under_way: AtomicUsize,
    /// The service was called since all that was written was out: what is written next may be its answer, however soon that was done.
    is_answering: AtomicBool,
}

impl Exchange {
    pub(super) fn begin(&self) {
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
        self.0.is_answering.store(true, Ordering::Relaxed);
    }

    /// All that was written is out.
    fn flushed(&self) {
        let is_under_way = self.0.under_way.load(Ordering::Relaxed) > 0;
        self.0.is_answering.store(is_under_way, Ordering::Relaxed);
    }

    /// The answer's body; the exchange ends when hyper has taken all of it.
    pub(super) fn until_end_of<B>(&self, body: B) -> Answered<B> {
        let exchange = self.clone();
        Answered { body, exchange }
    }
}

pub(super) struct Answered<B> {
    body: B,
    exchange: Exchange,
}

impl<B> Drop for Answered<B> {
    fn drop(&mut self) {
        self.exchange.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<B: Body + Unpin> Body for Answered<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a refused head is answered with, by the status that hyper has for it.
pub(super) type Refuse = Arc<dyn Fn(StatusCode) -> Response<Bytes> + Send + Sync>;

/// A stream on which hyper's own answers become the server's.
pub(super) struct Worded<S> {
    stream: S,
    exchange: Exchange,
    refuse: Refuse,
    /// What is written instead of hyper's answer.
    instead: Option<Bytes>,
}

impl<S> Worded<S> {
    pub(super) fn new(stream: S, exchange: Exchange, refuse: Refuse) -> Self {
        Self {
            stream,
            exchange,
            refuse,
            instead: None,
        }
    }

    /// hyper is about to write this, and all before it is out. Whether that is an answer of its own, in whose place something else is
    /// written.
    ///
    /// After an answer that a client is slow to take, hyper's own may come in the same write; it stays as it is then.
    fn is_replaced(&mut self, head: &[u8]) -> bool {
        // The write is hyper's own; what comes after it, until all is out, is its rest.
        if self.exchange.0.is_answering.swap(true, Ordering::Relaxed) {
            return false;
        }
        self.instead = reworded(head, &self.refuse);
        self.instead.is_some()
    }
}

/// The line of an answer without a body, as hyper writes it, and the end of the one before.
const NO_BODY: &str = "\r\ncontent-length: 0\r\n";

/// hyper's answer with more in it. None when it is not such a one.
fn reworded(head: &[u8], refuse: &Refuse) -> Option<Bytes> {
    let head = std::str::from_utf8(head).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let (before, after) = head.split_once(NO_BODY)?;
    let answer = refuse(status);
    let mut bytes = BytesMut::from(before);
    bytes.extend_from_slice(b"\r\n");
    for (name, value) in answer.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n{after}", answer.body().len()).as_bytes());
    bytes.extend_from_slice(answer.body());
    Some(bytes.freeze())
}

impl<S: AsyncRead + Unpin> AsyncRead for Worded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> Worded<S> {
    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(bytes) = self.instead.as_mut().filter(|bytes| bytes.has_remaining()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Worded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(context))?;
        match self.is_replaced(data) {
            true => Poll::Ready(Ok(data.len())),
            false => Pin::new(&mut self.stream).poll_write(context, data),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(context))?;
        // A head is in one piece.
        match self.is_replaced(data.first().map_or(&[], |first| &**first)) {
            true => Poll::Ready(Ok(data.iter().map(|part| part.len()).sum())),
            false => Pin::new(&mut self.stream).poll_write_vectored(context, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.exchange.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
