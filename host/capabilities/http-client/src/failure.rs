//! What can go wrong with a request, as the guest is told and as the record keeps it.

use minicbor::{Decode, Encode};
use wasmtime_wasi_http::Error as HttpError;

/// Why a request has no response. An answer to the guest, and final: a replay gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Encode, Decode)]
pub enum Failure {
    /// No grant covers scheme, host and port.
    #[error("the component is not granted this host")]
    #[n(0)]
    Denied,
    /// The target is none.
    #[error("the target of the request is malformed")]
    #[n(1)]
    MalformedTarget,
    /// CONNECT asks for a tunnel, which no grant covers.
    #[error("the method is not allowed")]
    #[n(2)]
    MethodRefused,
    /// The request body is longer than the bound.
    #[error("the request body has more than {0} bytes")]
    #[n(3)]
    RequestTooLarge(#[n(0)] u64),
    /// The guest gave the body up, or wrote other than it had announced.
    #[error("the request body was not completed")]
    #[n(4)]
    BodyNotCompleted,
    /// The name has no address.
    #[error("name resolution: {0}")]
    #[n(5)]
    Unresolved(#[n(0)] String),
    /// No address of the host may be reached under the grant.
    #[error("the host has no address that this grant covers")]
    #[n(6)]
    AddressRefused,
    /// No connection within the time for it.
    #[error("no connection in time")]
    #[n(7)]
    ConnectTimeout,
    /// The host refused the connection.
    #[error("connection refused")]
    #[n(8)]
    ConnectionRefused,
    /// The host cannot be reached.
    #[error("connect: {0}")]
    #[n(9)]
    Unreachable(#[n(0)] String),
    /// No TLS session; the certificate was not believed, or the peer does not speak TLS.
    #[error("tls: {0}")]
    #[n(10)]
    Tls(#[n(0)] String),
    /// No answer, or not all of it, within the time for it.
    #[error("no complete response in time")]
    #[n(11)]
    ResponseTimeout,
    /// The connection ended before the response did.
    #[error("the connection ended: {0}")]
    #[n(12)]
    Terminated(#[n(0)] String),
    /// The peer does not speak HTTP/1.1.
    #[error("not an http response: {0}")]
    #[n(13)]
    Protocol(#[n(0)] String),
    /// The response is longer than the bound.
    #[error("the response has more than {0} bytes")]
    #[n(14)]
    ResponseTooLarge(#[n(0)] u64),
    /// The request may have been carried out, or not; asking the peer tells.
    #[error("outcome-unknown: {0}")]
    #[n(15)]
    OutcomeUnknown(#[n(0)] String),
    /// The intent is recorded and the request certainly was not sent.
    #[error("not-sent: {0}")]
    #[n(16)]
    NotSent(#[n(0)] String),
}

impl Failure {
    /// The peer did answer: nothing about the request is unknown.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self, Self::ResponseTooLarge(_))
    }

    /// As `wasi:http` says it.
    pub(crate) fn to_http(&self) -> HttpError {
        match self {
            Self::Denied => HttpError::HttpRequestDenied,
            Self::MalformedTarget => HttpError::HttpRequestUriInvalid,
            Self::MethodRefused => HttpError::HttpRequestMethodInvalid,
            Self::RequestTooLarge(bound) => HttpError::HttpRequestBodySize(Some(*bound)),
            Self::BodyNotCompleted | Self::Protocol(_) => HttpError::HttpProtocolError,
            Self::Unresolved(reason) => HttpError::DnsError {
                rcode: Some(reason.clone()),
                info_code: None,
            },
            Self::AddressRefused => HttpError::DestinationIpProhibited,
            Self::ConnectTimeout => HttpError::ConnectionTimeout,
            Self::ConnectionRefused => HttpError::ConnectionRefused,
            Self::Unreachable(_) => HttpError::DestinationUnavailable,
            Self::Tls(_) => HttpError::TlsProtocolError,
            Self::ResponseTimeout => HttpError::HttpResponseTimeout,
            Self::Terminated(_) => HttpError::ConnectionTerminated,
            Self::ResponseTooLarge(bound) => HttpError::HttpResponseBodySize(Some(*bound)),
            Self::OutcomeUnknown(_) | Self::NotSent(_) => HttpError::InternalError(Some(self.to_string())),
        }
    }
}
