//! Spans of what an instance does, for those who follow a request: of commands that are performed, and of no others.

use host_traces::{Span, SpanKind, TraceId};
use host_types::Position;

use crate::Recorder;

impl Recorder {
    /// Begins the span of a command that is performed. What is answered from the record has none: it was seen before.
    pub(crate) fn begin_span(&self, kind: SpanKind, target: &str, position: &Position) -> Span {
        let trace = &self.attempt.trace;
        let mut span = trace.traces.begin(kind, || target.to_owned(), &self.span);
        span.set_text("nexus.invocation.id", self.attempt.invocation);
        span.set_text("nexus.position", position);
        span
    }

    /// The trace that all of its invocation belongs to, also while nothing is exported.
    pub fn trace_id(&self) -> TraceId {
        let state = self.attempt.state.lock();
        host_traces::trace_id(
            &state.machine.header().trace_parent,
            self.attempt.invocation.0.as_u128(),
        )
    }

    /// The W3C `traceparent` of what is asked of another host within this span. Without spans, that of whoever asked us.
    pub(crate) fn trace_parent_of(&self, span: &Span) -> Option<String> {
        let own = span.as_parent().trace_parent();
        own.or_else(|| self.span.trace_parent()).or_else(|| {
            let given = self.attempt.state.lock().machine.header().trace_parent.clone();
            (!given.is_empty()).then_some(given)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use host_journal::Payload;
    use host_traces::{Parent, Trace, Traces};
    use host_types::{ComponentId, Fault};
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

    use crate::test_support::MemoryJournal;
    use crate::{Attempt, CallStep, ExternalStep};

    const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// Keeps what has ended.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    impl Kept {
        /// What has ended since the last look: the name, and the parent's id.
        fn take(&self) -> Vec<(String, String)> {
            let ended = std::mem::take(&mut *self.0.lock().unwrap());
            let told = |span: SpanData| (span.name.into_owned(), span.parent_span_id.to_string());
            ended.into_iter().map(told).collect()
        }
    }

    fn begin(journal: &Arc<MemoryJournal>, kept: &Kept) -> Arc<Attempt> {
        let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone());
        journal.attempt_in(Trace {
            traces: Traces::new(provider),
            within: Parent::of(CLIENT),
        })
    }

    /// Calls another component, which charges somebody by a request. Returns the context that went with it.
    async fn charges(attempt: &Arc<Attempt>) -> Option<String> {
        let root = attempt.recorder();
        let CallStep::Enter(entered) = root.call("payment:shop:payment/provider.charge", b"7").unwrap() else {
            panic!("it has not returned")
        };
        let callee = entered.callee();
        let sent = match callee.external("wasi:http", b"POST").await.unwrap() {
            ExternalStep::Perform(effect) => {
                let context = effect.trace_parent();
                effect.happened(Payload::new()).await.unwrap();
                context
            }
            ExternalStep::InDoubt(_) => panic!("it was recorded"),
            ExternalStep::Recorded(_) => None,
        };
        entered.returned(Payload::new()).unwrap();
        sent
    }

    #[tokio::test]
    async fn what_is_answered_from_the_record_has_no_span() {
        let (journal, kept) = (Arc::new(MemoryJournal::default()), Kept::default());
        let context = charges(&begin(&journal, &kept)).await.unwrap();
        let parts: Vec<_> = context.split('-').collect();
        let [_, trace, request, "01"] = parts[..] else {
            panic!("{context}")
        };
        assert_eq!(trace, "4bf92f3577b34da6a3ce929d0e0e4736");
        let spans = kept.0.lock().unwrap().clone();
        let [effect, call] = &spans[..] else {
            panic!("{spans:?}")
        };
        assert_eq!(effect.span_context.span_id().to_string(), request);
        assert_eq!(effect.parent_span_id, call.span_context.span_id());
        assert_eq!(call.parent_span_id.to_string(), "00f067aa0ba902b7");
        kept.take();

        // The effect is durable, that the call returned is not: only the call is made again.
        assert_eq!(charges(&begin(&journal, &kept)).await, None);
        let call = (
            "payment:shop:payment/provider.charge".to_owned(),
            "00f067aa0ba902b7".to_owned(),
        );
        assert_eq!(kept.take(), [call]);
    }

    #[tokio::test]
    async fn what_ends_an_attempt_is_told_by_a_word() {
        let (journal, kept) = (Arc::new(MemoryJournal::default()), Kept::default());
        let attempt = begin(&journal, &kept);
        let secret = async { Err(Fault::Transient("hunter2 was not taken".into())) };
        let failed = attempt.recorder().observe("look", b"", secret).await;
        assert!(failed.is_err());
        let told = format!("{:?}", kept.0.lock().unwrap());
        assert!(told.contains("transient") && !told.contains("hunter2"), "{told}");
    }

    #[test]
    fn what_is_sent_belongs_to_the_span_that_sent_it() {
        let (journal, kept) = (Arc::new(MemoryJournal::default()), Kept::default());
        let attempt = begin(&journal, &kept);
        let component = ComponentId::from("cart");
        attempt
            .recorder()
            .schedule(
                &component,
                crate::Bounds::default(),
                "expire".into(),
                Vec::new(),
                60_000,
            )
            .unwrap();
        let spans = kept.0.lock().unwrap();
        let sent = spans[0].span_context.span_id();
        let state = attempt.state.lock();
        let started = String::from_utf8_lossy(&state.unwritten.messages[0].started).into_owned();
        assert!(
            started.contains(&format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{sent}-01")),
            "{started}"
        );
    }

    #[tokio::test]
    async fn without_spans_the_clients_context_is_passed_on() {
        let journal = Arc::new(MemoryJournal::default());
        assert_eq!(charges(&journal.attempt()).await, None, "nobody named one");
        let journal = Arc::new(MemoryJournal::default());
        journal.trace(CLIENT);
        assert_eq!(charges(&journal.attempt()).await.as_deref(), Some(CLIENT));
    }
}
