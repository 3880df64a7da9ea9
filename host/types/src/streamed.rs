//! A request that is answered while it is still being read, and answered as a stream: how a trigger reaches components that are
//! not journaled. Nothing of it is recorded, so neither is a value.

use std::error::Error;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use crate::{ComponentId, InvocationId};

/// Why a body broke off.
pub type StreamError = Box<dyn Error + Send + Sync>;

/// A body, a part at a time.
pub type StreamBody = UnsyncBoxBody<Bytes, StreamError>;

/// A request, routed.
pub struct StreamedCall {
    /// The id the trigger gave this request, for logs and for calls of modules.
    pub invocation: InvocationId,
    /// Who answers.
    pub component: ComponentId,
    /// The request as it came, with its body within its bounds.
    pub request: http::Request<StreamBody>,
    /// W3C `traceparent` of what it asks of modules and of other hosts.
    pub trace_parent: Option<String>,
    /// How long the caller waits for the head of the answer, and then for each part of its body, milliseconds.
    pub wait_ms: u64,
}

/// How a streamed call began for its caller.
pub enum StreamedOutcome {
    /// The head of the answer is there; its body ends with an error when the component fails in the middle of it. Dropping the
    /// body stops the component.
    Response(http::Response<StreamBody>),
    /// The component failed before it answered. A 500.
    Failed,
    /// It did not answer in time. A 504.
    TimedOut,
    /// No capacity. A 503.
    Overloaded {
        /// Seconds.
        retry_after_s: u32,
    },
}
