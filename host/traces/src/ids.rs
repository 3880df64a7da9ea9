//! Ids of traces: that of an invocation when there is one, so that every node finds the same, and chance otherwise.

use std::cell::Cell;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

thread_local! {
    static NEXT: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// The trace of an invocation. Its id is a UUID, whose last 64 bits begin with its variant, which is the same in all of them; samplers
/// decide by the first of these bits, so it is moved to the end.
pub(crate) fn trace_of(invocation: u128) -> TraceId {
    let (high, low) = ((invocation >> 64) as u64, invocation as u64);
    TraceId::from(u128::from(high) << 64 | u128::from(low.rotate_left(2)))
}

/// Begins a span without a parent in this trace. The SDK has no argument for that: it asks its generator, on the same thread.
pub(crate) fn in_trace<T>(trace: TraceId, begin: impl FnOnce() -> T) -> T {
    NEXT.set(Some(trace));
    let begun = begin();
    NEXT.set(None);
    begun
}

/// What the SDK asks.
#[derive(Debug, Default)]
pub(crate) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}
