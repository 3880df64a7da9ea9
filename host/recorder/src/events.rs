//! Events: written in the publisher's own append, and delivered after it, each delivery an invocation.

use bytes::Bytes;
use host_journal::{CommandKind, MAX_INVOCATION_BYTES, Publication, Step};
use host_traces::SpanKind;
use host_types::{ComponentId, EventId, Fault, InvocationId};
use minicbor::{Decode, Encode};
use uuid::Uuid;

use crate::Recorder;

/// The function that an invocation calls which delivers an event.
pub const SUBSCRIBER_FUNCTION: &str = "nexus:events/subscriber.handle";
/// Bytes of an event's payload at most: every delivery records it.
pub const MAX_EVENT_BYTES: usize = 256 << 10;

const PUBLISH: &str = "nexus:events/publisher.publish";

/// The input of an invocation that delivers an event.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Delivered {
    /// The event's id, in text form.
    #[n(0)]
    pub event: String,
    /// The subscription's name.
    #[n(1)]
    pub subscription: String,
    /// Its topic.
    #[n(2)]
    pub topic: String,
    /// Its key.
    #[n(3)]
    pub key: String,
    /// What the payload is.
    #[n(4)]
    pub content_type: String,
    /// The payload.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub payload: Vec<u8>,
    /// When it was published, by the publisher's clock.
    #[n(6)]
    pub published_ms: u64,
    /// Who published it.
    #[n(7)]
    pub source: String,
}

/// An event to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publishing {
    /// Who publishes it: of a call tree the component at work.
    pub component: ComponentId,
    /// Its topic.
    pub topic: String,
    /// Its key.
    pub key: String,
    /// What the payload is.
    pub content_type: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// How long it is kept at least.
    pub retention_ms: u64,
}

impl Recorder {
    /// An event that is there with the next append; in a transaction with its commit.
    pub fn publish(&self, publishing: Publishing) -> Result<EventId, Fault> {
        let Publishing {
            component,
            topic,
            key,
            content_type,
            payload,
            retention_ms,
        } = publishing;
        if payload.len() > MAX_EVENT_BYTES {
            let size = payload.len();
            let text =
                format!("an event of {size} bytes: one holds at most {MAX_EVENT_BYTES}; publish a reference instead");
            return Err(self.attempt.fail(Fault::LimitExceeded(text)));
        }
        let mut arguments = Vec::with_capacity(payload.len() + 64);
        for part in [topic.as_bytes(), key.as_bytes(), content_type.as_bytes(), &payload] {
            arguments.extend_from_slice(&(part.len() as u64).to_be_bytes());
            arguments.extend_from_slice(part);
        }
        match self.step(CommandKind::Message, PUBLISH, &arguments)? {
            (Step::Recorded(answer), _) => {
                let id = answer.as_ref().try_into().map(Uuid::from_bytes);
                id.map(EventId)
                    .map_err(|_| self.attempt.fail(Fault::Guest("a recorded id is malformed".into())))
            }
            (Step::Perform(position) | Step::InDoubt(position), arguments) => {
                let mut span = self.begin_span(SpanKind::Producer, PUBLISH, &position);
                let published_ms = self.attempt.clock.unix_ms();
                let mut state = self.attempt.state.lock();
                let event = EventId(state.machine.header().seed.uuid(&position, published_ms));
                span.set_text("nexus.event.id", event);
                let seal = self.attempt.journal.seal(event_seal(event), None);
                let payload = seal.seal(0, &payload);
                let trace_parent = state.trace_parent(&span);
                // They wait in memory for the append that carries them.
                if state.message_bytes() + payload.len() > MAX_INVOCATION_BYTES {
                    let text =
                        format!("messages of more than {MAX_INVOCATION_BYTES} bytes in one append: commit in between");
                    return Err(state.fail(Fault::LimitExceeded(text)));
                }
                state.unwritten_in(&self.scope).publish(Publication {
                    event,
                    topic,
                    key,
                    content_type,
                    payload,
                    component,
                    published_ms,
                    expires_ms: published_ms.saturating_add(retention_ms),
                    trace_parent,
                });
                let answer = Bytes::copy_from_slice(event.0.as_bytes());
                let noted = state
                    .machine
                    .complete(&position, CommandKind::Message, PUBLISH, arguments, answer);
                noted.map_err(|fault| state.fail(fault))?;
                Ok(event)
            }
        }
    }
}

/// An event's payload is sealed as the entry of an invocation with the event's id would be: there is none.
pub fn event_seal(event: EventId) -> InvocationId {
    InvocationId(event.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::test_support::MemoryJournal;
    use crate::{Attempt, TransactionStep};

    fn publishing(key: &str) -> Publishing {
        Publishing {
            component: ComponentId::from("cart"),
            topic: "cart.filled".into(),
            key: key.into(),
            content_type: "text/plain".into(),
            payload: b"apples".to_vec(),
            retention_ms: 1_000,
        }
    }

    fn unwritten(attempt: &Attempt) -> Vec<String> {
        let state = attempt.state.lock();
        let within = state.transactions.iter().map(|(_, unwritten)| unwritten);
        let keys = std::iter::once(&state.unwritten)
            .chain(within)
            .flat_map(|unwritten| &unwritten.publications);
        keys.map(|publication| publication.key.clone()).collect()
    }

    #[tokio::test]
    async fn what_is_published_goes_with_the_next_append_and_is_answered_from_the_record() {
        let journal = Arc::new(MemoryJournal::default());
        let its_publishers = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        journal.trace(its_publishers);
        let first = journal.attempt();
        let event = first.recorder().publish(publishing("a")).unwrap();
        assert_eq!(unwritten(&first), ["a"]);
        let its_trace = first.state.lock().unwritten.publications[0].trace_parent.clone();
        assert_eq!(its_trace, its_publishers, "without spans");
        // Nothing of this invocation is durable yet: its answer waits for what it says to others.
        first.finish(Bytes::from_static(b"done"), false).await.unwrap();
        assert_eq!(journal.shape(), "SCO");
        assert!(unwritten(&first).is_empty());

        let second = journal.attempt();
        assert_eq!(second.recorder().publish(publishing("a")), Ok(event));
        assert!(unwritten(&second).is_empty(), "it is published");
        let other = journal.attempt();
        let mismatch = other.recorder().publish(publishing("b"));
        assert!(matches!(mismatch, Err(Fault::Mismatch { .. })), "{mismatch:?}");
    }

    #[test]
    fn what_is_published_in_a_transaction_goes_with_it() {
        let attempt = Arc::new(MemoryJournal::default()).attempt();
        attempt.recorder().publish(publishing("before")).unwrap();
        let TransactionStep::Perform(transaction) = attempt.recorder().transaction(b"").unwrap() else {
            panic!("nothing was committed");
        };
        attempt.recorder().publish(publishing("within")).unwrap();
        assert_eq!(unwritten(&attempt), ["before", "within"]);
        transaction.rolled_back(Bytes::new()).unwrap();
        assert_eq!(unwritten(&attempt), ["before"]);
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let recorder = Arc::new(MemoryJournal::default()).attempt().recorder();
        let payload = vec![0; MAX_EVENT_BYTES + 1];
        let refused = recorder.publish(Publishing {
            payload,
            ..publishing("long")
        });
        assert!(matches!(refused, Err(Fault::LimitExceeded(_))), "{refused:?}");
    }
}
