//! One request and its response, on a connection of its own, within its bounds.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::client::Limits;
use crate::connect::Connector;
use crate::record::Outcome;
use crate::request::{Added, OutgoingRequest};
use crate::{Failure, Grant};

/// Bytes of a response's head at most; with the longest body it still fits one entry of the record.
pub(crate) const MAX_HEAD_BYTES: usize = 32 << 10;
pub(crate) const MAX_HEADERS: usize = 128;

/// How a request went.
pub(crate) struct Exchange {
    pub(crate) outcome: Outcome,
    /// Some of the request may have reached the peer.
    pub(crate) sent: bool,
}

/// Sends the request and reads the whole response, in `total` at most.
pub(crate) async fn exchange(
    connector: &Connector,
    limits: &Limits,
    total: Duration,
    grant: &Grant,
    request: &OutgoingRequest,
    added: &Added,
) -> Exchange {
    let sent = AtomicBool::new(false);
    let exchange = async {
        let wire = request.to_wire(added)?;
        let within = request.connect_timeout(limits.connect);
        let stream = connector.connect(&request.origin, grant, within).await?;
        let mut builder = Builder::new();
        builder.max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
        let (sender, connection) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&error))?;
        sent.store(true, Ordering::Relaxed);
        let mut answer = pin!(answer(sender, wire, limits, total, request));
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The connection is over; what it has read is still there, and otherwise the answer says that it is over.
            _ = connection => answer.await,
        }
    };
    let outcome = timeout(total, exchange).await.unwrap_or_else(|_| {
        Err(match sent.load(Ordering::Relaxed) {
            true => Failure::ResponseTimeout,
            false => Failure::ConnectTimeout,
        })
    });
    Exchange {
        outcome,
        sent: sent.into_inner(),
    }
}

async fn answer(
    mut sender: SendRequest<http_body_util::Full<Bytes>>,
    wire: http::Request<http_body_util::Full<Bytes>>,
    limits: &Limits,
    total: Duration,
    request: &OutgoingRequest,
) -> Outcome {
    // A grant may give an effect longer than others have.
    let patience = request.first_byte_timeout(limits.first_byte.max(total));
    let head = timeout(patience, sender.send_request(wire)).await;
    let head = head
        .map_err(|_| Failure::ResponseTimeout)?
        .map_err(|error| failed(&error))?;
    if head.status().is_informational() {
        return Err(Failure::Protocol(format!(
            "an answer of status {}",
            head.status().as_u16()
        )));
    }
    let (parts, body) = head.into_parts();
    let body = read(body, limits, total, request).await?;
    Ok(Response::from_parts(parts, body))
}

async fn read(
    mut body: Incoming,
    limits: &Limits,
    total: Duration,
    request: &OutgoingRequest,
) -> Result<Bytes, Failure> {
    let bound = limits.response_bytes;
    // A HEAD response announces the length of a body that does not come; hyper then says that the body is at its end.
    if !body.is_end_stream() && body.size_hint().lower() > bound as u64 {
        return Err(Failure::ResponseTooLarge(bound as u64));
    }
    let pause = request.between_bytes_timeout(limits.total.max(total));
    let mut bytes = BytesMut::new();
    while let Some(frame) = timeout(pause, body.frame())
        .await
        .map_err(|_| Failure::ResponseTimeout)?
    {
        // Trailers are not kept: they say nothing without the stream they end.
        let Ok(data) = frame.map_err(|error| failed(&error))?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > bound {
            return Err(Failure::ResponseTooLarge(bound as u64));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

fn failed(error: &hyper::Error) -> Failure {
    match error.is_parse() || error.is_parse_status() || error.is_parse_too_large() {
        true => Failure::Protocol(error.to_string()),
        false => Failure::Terminated(error.to_string()),
    }
}
