//! How a trigger reaches invocations. The local invoker answers it; so do the doubles that test the triggers.

use std::future::Future;
use std::pin::Pin;

use crate::{ComponentId, HttpRequest, HttpResponse, InvocationId, StreamedCall, StreamedOutcome};

/// A request, routed.
#[derive(Debug, Clone)]
pub struct HttpCall {
    /// The id the trigger gave this request; it becomes the invocation's unless a key joins an earlier one.
    pub invocation: InvocationId,
    /// Who answers.
    pub component: ComponentId,
    /// The route's pattern in the manifest.
    pub route: String,
    /// The input.
    pub request: HttpRequest,
    /// The client's key, if it sent one.
    pub idempotency_key: Option<IdempotencyKey>,
    /// W3C `traceparent` of what the call belongs to: the span of the request, or what the client sent.
    pub trace_parent: Option<String>,
    /// The input holds a secret: its payloads are erased when the invocation ends.
    pub sensitive: bool,
    /// How long the caller waits, milliseconds.
    pub wait_ms: u64,
}

/// An `Idempotency-Key`, checked: 1 to 255 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub String);

/// How a call ended for its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpOutcome {
    /// The handler answered.
    Response {
        /// Whose answer this is.
        invocation: InvocationId,
        /// The answer.
        response: HttpResponse,
        /// It is the stored answer of an earlier request with the same key.
        replayed: bool,
    },
    /// The handler failed before anything was durable; nothing happened. A 500.
    Failed {
        /// The invocation, of which no row exists.
        invocation: InvocationId,
    },
    /// The invocation goes on without its caller. A 503.
    Pending {
        /// What to ask for later.
        invocation: InvocationId,
        /// Seconds.
        retry_after_s: u32,
    },
    /// The key was used with another request. A 422.
    KeyMismatch,
    /// The key's invocation has not ended. A 409.
    KeyInProgress {
        /// Who holds the key.
        invocation: InvocationId,
        /// It is paused: only an operator moves it on.
        paused: bool,
        /// Seconds.
        retry_after_s: u32,
    },
    /// The key's invocation has ended, and its answer is not kept (a sensitive route) or never was. A 409 for good.
    KeySpent {
        /// Who holds the key.
        invocation: InvocationId,
        /// How it ended: `completed`, `failed` or `cancelled`.
        ended: &'static str,
    },
    /// An operator cancelled the invocation while its caller waited. A 409 for good.
    Cancelled {
        /// What was cancelled.
        invocation: InvocationId,
    },
    /// As many invocations of the component are open as may be, and nothing of this one is begun. A 503.
    Full {
        /// Whose.
        component: ComponentId,
        /// How many may be open: `open_limit` of the manifest.
        open_limit: u64,
        /// Seconds.
        retry_after_s: u32,
    },
    /// No capacity. A 503.
    Overloaded {
        /// Seconds.
        retry_after_s: u32,
    },
}

/// Runs HTTP calls to their end.
pub trait InvocationClient: Send + Sync + 'static {
    /// Runs the call; returns when the answer may be sent or when `wait_ms` has passed. Dropping the future before the
    /// invocation is durable ends it; afterwards it goes on without the caller.
    fn handle_http(&self, call: HttpCall) -> Pin<Box<dyn Future<Output = HttpOutcome> + Send + '_>>;

    /// Whether the component takes its requests as streams: it is not journaled, and [`Self::handle_stream`] reaches it.
    fn is_streamed(&self, _component: &ComponentId) -> bool {
        false
    }

    /// Runs the call; returns when the head of the answer is there. Dropping the future, or the body it gave, ends the call.
    fn handle_stream(&self, _call: StreamedCall) -> Pin<Box<dyn Future<Output = StreamedOutcome> + Send + '_>> {
        Box::pin(std::future::ready(StreamedOutcome::Failed))
    }
}
