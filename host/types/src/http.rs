//! A request and a response as values: an HTTP invocation's input and output, in the form that is recorded.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// What the trigger found out about the caller. The token itself is never part of an input.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Identity {
    /// No token was sent.
    #[n(0)]
    Anonymous,
    /// A token was sent and refused, with the reason.
    #[n(1)]
    Invalid(#[n(0)] String),
    /// The token was verified.
    #[n(2)]
    Verified(#[n(0)] Claims),
}

/// A verified token.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Claims {
    /// The claim the manifest names as the subject.
    #[n(0)]
    pub subject: String,
    /// The whole payload, JSON text.
    #[n(1)]
    pub payload: String,
}

/// What a handler is given.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct HttpRequest {
    /// Upper case.
    #[n(0)]
    pub method: String,
    /// As received, percent-encoded, without the query.
    #[n(1)]
    pub path: String,
    /// Without the question mark.
    #[n(2)]
    pub query: String,
    /// Lower-case names; no credentials among them.
    #[n(3)]
    pub headers: Vec<(String, String)>,
    /// Who is asking.
    #[n(4)]
    pub identity: Identity,
    /// The caller's address, without port.
    #[n(5)]
    pub peer: String,
    /// The body.
    #[n(6)]
    pub body: ByteVec,
}

/// What a handler answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct HttpResponse {
    /// 100 to 599.
    #[n(0)]
    pub status: u16,
    /// In the order the handler gave them.
    #[n(1)]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[n(2)]
    pub body: ByteVec,
}
