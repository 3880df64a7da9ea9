//! Spans of OpenTelemetry, or nothing at all: without somebody to export them to, every function here returns at once.
//!
//! Contexts are passed as values, never through a thread's or a task's state: an invocation goes on in another process, and its
//! trace goes with its journal.

use std::fmt::{self, Display};
use std::sync::Arc;

use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan};

pub use opentelemetry::trace::SpanKind;

/// Makes spans. Clones share everything; the default makes none.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Exporting>>);

struct Exporting {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The span that others are begun within, or none.
#[derive(Debug, Clone, Default)]
pub struct Parent(Option<SpanContext>);

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
    pub fn new(provider: SdkTracerProvider) -> Self {
        let tracer = provider.tracer("nexus");
        Self(Some(Arc::new(Exporting { provider, tracer })))
    }

    /// Begins a span. `name` is only asked for when somebody will see it.
    pub fn begin(&self, kind: SpanKind, name: impl FnOnce() -> String, parent: &Parent) -> Span {
        self.begin_linked(kind, name, parent, &Parent::default())
    }

    /// Begins a span that has to do with another one besides its parent.
    pub fn begin_linked(&self, kind: SpanKind, name: impl FnOnce() -> String, parent: &Parent, link: &Parent) -> Span {
        let Some(exporting) = &self.0 else {
            return Span(None);
        };
        let context = match &parent.0 {
            Some(parent) => Context::new().with_remote_span_context(parent.clone()),
            None => Context::new(),
        };
        let mut builder = exporting.tracer.span_builder(name()).with_kind(kind);
        if let Some(link) = &link.0 {
            builder = builder.with_links(vec![Link::with_context(link.clone())]);
        }
        Span(Some(Box::new(exporting.tracer.build_with_context(builder, &context))))
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
        f.write_str(if self.0.is_some() { "Traces(on)" } else { "Traces(off)" })
    }
}

impl Parent {
    /// The one a W3C `traceparent` names; none when it is malformed.
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
        Self(context())
    }

    /// As a W3C `traceparent`.
    pub fn trace_parent(&self) -> Option<String> {
        let context = self.0.as_ref()?;
        let flags = context.trace_flags().to_u8();
        Some(format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
    }
}

impl Span {
    /// What is begun within it.
    pub fn as_parent(&self) -> Parent {
        Parent(self.0.as_ref().map(|span| span.span_context().clone()))
    }

    /// Somebody will see it.
    pub fn is_recording(&self) -> bool {
        self.0.as_ref().is_some_and(|span| span.is_recording())
    }

    /// Says something about it.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// The same, of what has a text.
    pub fn set_text(&mut self, key: &'static str, value: impl Display) {
        if self.0.is_some() {
            self.set(key, value.to_string());
        }
    }

    /// It failed, unless [`Span::succeed`] says otherwise later.
    pub fn fail(&mut self, reason: impl Display) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(reason.to_string()));
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
    use opentelemetry_sdk::trace::{SpanData, SpanExporter};

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

    fn kept() -> (Traces, Kept) {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
        (Traces::new(provider), kept)
    }

    const REMOTE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn without_an_exporter_nothing_is_done() {
        let traces = Traces::default();
        let never = || -> String { panic!("nobody sees it") };
        let span = traces.begin(SpanKind::Internal, never, &Parent::of(REMOTE));
        assert_eq!(span.as_parent().trace_parent(), None);
        assert_eq!(traces.shutdown(), Ok(()));
    }

    #[test]
    fn spans_belong_to_the_trace_that_was_named() {
        let (traces, kept) = kept();
        let remote = Parent::of(REMOTE);
        let mut outer = traces.begin(SpanKind::Server, || "outer".into(), &remote);
        outer.set("http.route", "/api/...");
        outer.fail("at first");
        outer.succeed();
        let text = outer.as_parent().trace_parent().unwrap();
        drop(traces.begin_linked(SpanKind::Internal, || "inner".into(), &Parent::of(&text), &remote));
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
        assert_eq!(
            inner.links.links[0].span_context.span_id().to_string(),
            "00f067aa0ba902b7"
        );
        assert_eq!(outer.status, Status::Ok);
    }

    #[test]
    fn what_the_caller_does_not_want_traced_is_not() {
        let (traces, kept) = kept();
        let unsampled = Parent::of(&REMOTE.replace("-01", "-00"));
        let span = traces.begin(SpanKind::Server, || "outer".into(), &unsampled);
        assert!(!span.is_recording());
        assert!(span.as_parent().trace_parent().unwrap().ends_with("-00"));
        drop(span);
        assert!(kept.0.lock().unwrap().is_empty());
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
