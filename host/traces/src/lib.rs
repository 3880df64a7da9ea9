//! Spans of OpenTelemetry, or nothing at all: without somebody to export them to, every function here returns at once.
//!
//! Contexts are passed as values, never through a thread's or a task's state: an invocation goes on in another process, and its
//! trace goes with its journal.

mod ids;

use std::fmt::{self, Display};
use std::sync::Arc;

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan, TracerProviderBuilder};

pub use opentelemetry::trace::{SpanKind, TraceId};

/// The trace of an invocation, whether anything of it is exported or not: that of the W3C `traceparent` it was begun with, else the one that
/// follows from its id. Lines of the log carry it.
pub fn trace_id(trace_parent: &str, invocation: u128) -> TraceId {
    match Parent::of(trace_parent).0.as_deref() {
        Some(Within::Span(context)) => context.trace_id(),
        _ => ids::trace_of(invocation),
    }
}

/// Makes spans. Clones share everything; the default makes none.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Exporting>>);

struct Exporting {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// What a span is begun within, or nothing: then it is the first of a trace of its own. As small as a pointer: whatever does something for
/// an invocation carries one along.
#[derive(Debug, Clone, Default)]
pub struct Parent(Option<Arc<Within>>);

#[derive(Debug)]
enum Within {
    /// The span that somebody named.
    Span(SpanContext),
    /// No span, but a trace: that of an invocation, whoever works on it and wherever.
    Invocation(TraceId),
}

/// Who makes spans, and what they belong to.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// Makes them.
    pub traces: Traces,
    /// They are begun within it.
    pub within: Parent,
}

/// Something that takes time. It ends when this is dropped.
#[derive(Default)]
pub struct Span(Option<Box<SdkSpan>>);

impl Traces {
    /// Spans go where this provider exports them to.
    pub fn new(provider: TracerProviderBuilder) -> Self {
        let provider = provider.with_id_generator(ids::Ids::default()).build();
        let tracer = provider.tracer("nexus");
        Self(Some(Arc::new(Exporting { provider, tracer })))
    }

    /// Somebody may see what is begun. What is only made for a span need not be made otherwise.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span. `name` is only asked for when there is somebody who may see it.
    pub fn begin(&self, kind: SpanKind, name: impl FnOnce() -> String, parent: &Parent) -> Span {
        let Some(exporting) = &self.0 else {
            return Span(None);
        };
        let builder = exporting.tracer.span_builder(name()).with_kind(kind);
        let begin = |context| exporting.tracer.build_with_context(builder, &context);
        Span(Some(Box::new(match parent.0.as_deref() {
            None => begin(Context::new()),
            Some(Within::Span(parent)) => begin(Context::new().with_remote_span_context(parent.clone())),
            Some(Within::Invocation(trace)) => ids::in_trace(*trace, || begin(Context::new())),
        })))
    }

    /// Exports what has ended so far, and nothing from here on. Blocks until it is done or given up.
    pub fn shutdown(&self) -> Result<(), String> {
        match &self.0 {
            Some(exporting) => exporting.provider.shutdown().map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Traces(on)" } else { "Traces(off)" })
    }
}

impl Parent {
    /// The one a W3C `traceparent` names; nothing when it is malformed.
    pub fn of(trace_parent: &str) -> Self {
        let mut parts = trace_parent.split('-');
        let (_version, trace, span, flags) = (parts.next(), parts.next(), parts.next(), parts.next());
        let context = || {
            let trace = TraceId::from_hex(trace?).ok()?;
            let span = SpanId::from_hex(span?).ok()?;
            let flags = u8::from_str_radix(flags?, 16).ok()?;
            let context = SpanContext::new(trace, span, TraceFlags::new(flags), true, TraceState::default());
            context.is_valid().then_some(context)
        };
        Self(context().map(|context| Arc::new(Within::Span(context))))
    }

    /// Where nobody was named, the trace of this invocation.
    #[must_use]
    pub fn or_invocation(self, id: u128) -> Self {
        let invocation = || Arc::new(Within::Invocation(ids::trace_of(id)));
        Self(Some(self.0.unwrap_or_else(invocation)))
    }

    /// As a W3C `traceparent`; none without a span.
    pub fn trace_parent(&self) -> Option<String> {
        let Some(Within::Span(context)) = self.0.as_deref() else {
            return None;
        };
        let flags = context.trace_flags().to_u8();
        Some(format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
    }
}

impl Span {
    /// What is begun within it.
    pub fn as_parent(&self) -> Parent {
        let context = |span: &SdkSpan| Arc::new(Within::Span(span.span_context().clone()));
        Parent(self.0.as_deref().map(context))
    }

    /// Somebody will see it.
    pub fn is_recording(&self) -> bool {
        self.0.as_ref().is_some_and(|span| span.is_recording())
    }

    /// Says something about it. Never what a client or a component sent: whoever reads traces may not be meant to read that.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// The same, of what has a text.
    pub fn set_text(&mut self, key: &'static str, value: impl Display) {
        if self.is_recording() {
            self.set(key, value.to_string());
        }
    }

    /// It failed, unless [`Span::succeed`] says otherwise later. A word for the reason, for what is said about it must not tell what
    /// a client or a component sent.
    pub fn fail(&mut self, reason: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(reason));
        }
    }

    /// It did what it was to do.
    pub fn succeed(&mut self) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::Ok);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{Sampler, SpanData, SpanExporter};

    use super::*;

    /// Keeps what has ended.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    fn kept(sampler: Sampler) -> (Traces, Kept) {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder().with_sampler(Sampler::ParentBased(Box::new(sampler)));
        (Traces::new(provider.with_simple_exporter(kept.clone())), kept)
    }

    const REMOTE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const INVOCATION: u128 = 0x0192_f0c8_4d2e_7abc_8123_4567_89ab_cdef;

    #[test]
    fn without_an_exporter_nothing_is_done() {
        let traces = Traces::default();
        let never = || -> String { panic!("nobody sees it") };
        let span = traces.begin(SpanKind::Internal, never, &Parent::of(REMOTE));
        assert_eq!(span.as_parent().trace_parent(), None);
        assert_eq!(traces.shutdown(), Ok(()));
    }

    #[test]
    fn lines_of_the_log_name_the_trace_that_spans_belong_to() {
        let (traces, kept) = kept(Sampler::AlwaysOn);
        let id = INVOCATION;
        drop(traces.begin(
            SpanKind::Server,
            || "alone".into(),
            &Parent::default().or_invocation(id),
        ));
        drop(traces.begin(
            SpanKind::Server,
            || "asked".into(),
            &Parent::of(REMOTE).or_invocation(id),
        ));
        traces.shutdown().unwrap();
        let spans = kept.0.lock().unwrap();
        let trace = |span: &SpanData| span.span_context.trace_id();
        assert_eq!(trace(&spans[0]), trace_id("", id));
        assert_eq!(trace(&spans[1]), trace_id(REMOTE, id));
        assert_ne!(trace_id("", id), trace_id(REMOTE, id));
    }

    #[test]
    fn spans_belong_to_the_trace_that_was_named() {
        let (traces, kept) = kept(Sampler::AlwaysOn);
        let mut outer = traces.begin(SpanKind::Server, || "outer".into(), &Parent::of(REMOTE));
        outer.set("http.route", "/api/...");
        outer.fail("at first");
        outer.succeed();
        let text = outer.as_parent().trace_parent().unwrap();
        let named = Parent::of(&text).or_invocation(INVOCATION);
        drop(traces.begin(SpanKind::Internal, || "inner".into(), &named));
        drop(outer);
        let spans = kept.0.lock().unwrap();
        let trace = |span: &SpanData| span.span_context.trace_id().to_string();
        assert!(
            spans
                .iter()
                .all(|span| trace(span) == "4bf92f3577b34da6a3ce929d0e0e4736")
        );
        let [inner, outer] = &spans[..] else {
            panic!("{spans:?}")
        };
        assert_eq!(inner.parent_span_id, outer.span_context.span_id());
        assert_eq!(outer.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert_eq!(outer.status, Status::Ok);
    }

    #[test]
    fn what_nobody_named_a_trace_for_has_that_of_its_invocation_on_every_node() {
        let begin = |traces: &Traces, parent: Parent| {
            let span = traces.begin(SpanKind::Consumer, || "attempt".into(), &parent);
            span.as_parent().trace_parent().unwrap()[3..35].to_owned()
        };
        let ((one, _), (other, kept)) = (kept(Sampler::AlwaysOn), kept(Sampler::AlwaysOn));
        let ours = || Parent::of("").or_invocation(INVOCATION);
        let trace = begin(&one, ours());
        assert_eq!(trace, begin(&other, ours()));
        assert_ne!(
            trace,
            begin(&other, Parent::default()),
            "the next one has nothing to do with it"
        );
        assert_ne!(trace, begin(&other, Parent::default().or_invocation(INVOCATION + 1)));
        let spans = kept.0.lock().unwrap();
        assert!(spans.iter().all(|span| span.parent_span_id == SpanId::INVALID));
    }

    #[test]
    fn what_the_caller_does_not_want_traced_is_not() {
        let (traces, kept) = kept(Sampler::AlwaysOn);
        let unsampled = Parent::of(&REMOTE.replace("-01", "-00"));
        let span = traces.begin(SpanKind::Server, || "outer".into(), &unsampled);
        assert!(!span.is_recording());
        assert!(span.as_parent().trace_parent().unwrap().ends_with("-00"));
        drop(span);
        assert!(kept.0.lock().unwrap().is_empty());
    }

    /// Version and variant of a UUID are no chance: the sampler must not look at them.
    #[test]
    fn half_of_all_invocations_is_half_of_them() {
        let (traces, kept) = kept(Sampler::TraceIdRatioBased(0.5));
        for number in 0..1_000_u64 {
            let chance = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2;
            let id = (INVOCATION >> 64 << 64) | u128::from(1 << 63 | chance);
            drop(traces.begin(SpanKind::Server, String::new, &Parent::default().or_invocation(id)));
        }
        let sampled = kept.0.lock().unwrap().len();
        assert!((450..550).contains(&sampled), "{sampled}");
    }

    #[test]
    fn what_is_no_context_is_none() {
        assert_eq!(Parent::of(REMOTE).trace_parent().as_deref(), Some(REMOTE));
        for text in [
            "",
            "00",
            "00-0-0-0",
            &REMOTE.replace("00f067aa0ba902b7", &"0".repeat(16)),
        ] {
            assert_eq!(Parent::of(text).trace_parent(), None, "{text}");
        }
    }
}
