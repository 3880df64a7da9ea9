//! Messages: new invocations, written in the sender's own append and begun after it.

use bytes::Bytes;
use host_journal::{CommandKind, Header, MAX_ENTRY_BYTES, MAX_INVOCATION_BYTES, Message, Payload, Seed, Start, Step};
use host_traces::SpanKind;
use host_types::{ComponentId, Fault, InvocationId};
use minicbor::{Decode, Encode};
use uuid::Uuid;

use crate::Recorder;
use crate::attempt::started;

/// The function a scheduled invocation calls.
pub const SCHEDULED_FUNCTION: &str = "nexus:durable/scheduled.run";

/// The input of an invocation begun by `nexus:durable/timer.schedule`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ScheduledInput {
    /// First argument of `scheduled.run`.
    #[n(0)]
    pub name: String,
    /// Second argument.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub argument: Vec<u8>,
}

/// An invocation to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The component called.
    pub component: ComponentId,
    /// The exported function, interface and name.
    pub function: String,
    /// What it is called with.
    pub input: Payload,
    /// What its guest's memory may grow to, bytes.
    pub memory_limit_bytes: u64,
}

impl Recorder {
    /// A new invocation of `scheduled.run` of this component, that of the instance that asks and not of the one the invocation began
    /// in, begun `delay_ms` after now, once this one's effects are durable.
    pub fn schedule(
        &self,
        component: &ComponentId,
        name: String,
        argument: Vec<u8>,
        delay_ms: u64,
    ) -> Result<InvocationId, Fault> {
        let size = name.len() + argument.len();
        self.check_size(size)?;
        let outgoing = {
            let state = self.attempt.state.lock();
            let sender = state.machine.header();
            Outgoing {
                component: component.clone(),
                function: SCHEDULED_FUNCTION.into(),
                input: encode_scheduled(ScheduledInput { name, argument }),
                memory_limit_bytes: sender.memory_limit_bytes,
            }
        };
        self.send("nexus:durable/timer.schedule", outgoing, delay_ms)
    }

    /// A new invocation, begun `delay_ms` after now, once this one's effects are durable. `target` names it in the journal.
    pub fn send(&self, target: &str, outgoing: Outgoing, delay_ms: u64) -> Result<InvocationId, Fault> {
        self.check_size(outgoing.input.len())?;
        let arguments = [&delay_ms.to_be_bytes(), outgoing.input.as_ref()].concat();
        match self.step(CommandKind::Message, target, &arguments)? {
            (Step::Recorded(answer), _) => {
                let id = answer.as_ref().try_into().map(Uuid::from_bytes);
                id.map(InvocationId)
                    .map_err(|_| self.attempt.fail(Fault::Guest("a recorded id is malformed".into())))
            }
            (Step::Perform(position) | Step::InDoubt(position), arguments) => {
                let now_ms = self.attempt.clock.unix_ms();
                let mut state = self.attempt.state.lock();
                let sender = state.machine.header();
                let invocation = InvocationId(sender.seed.uuid(&position, now_ms));
                let mut seed = [0; 32];
                sender.seed.fill(&position, &mut seed);
                let Outgoing {
                    component,
                    function,
                    input,
                    memory_limit_bytes,
                } = outgoing;
                let header = Header {
                    component,
                    function,
                    input,
                    seed: Seed::new(seed),
                    memory_limit_bytes,
                    started_ms: now_ms.saturating_add(delay_ms),
                    ..sender.clone()
                };
                let start = Start {
                    component: header.component.clone(),
                    function: header.function.clone(),
                    deployment: header.deployment,
                    erasure_salt: None,
                    parent: Some(self.attempt.invocation),
                };
                let due_ms = header.started_ms;
                let seal = self.attempt.journal.seal(invocation, None);
                let started = started(header, &*seal);
                // They wait in memory for the append that carries them.
                let waiting = state.unwritten.message_bytes + started.len();
                if waiting > MAX_INVOCATION_BYTES {
                    let text =
                        format!("messages of more than {MAX_INVOCATION_BYTES} bytes in one append: commit in between");
                    return Err(state.fail(Fault::LimitExceeded(text)));
                }
                state.unwritten.push(Message {
                    invocation,
                    started,
                    start,
                    due_ms,
                });
                let answer = Bytes::copy_from_slice(invocation.0.as_bytes());
                let noted = state
                    .machine
                    .complete(&position, CommandKind::Message, target, arguments, answer);
                noted.map_err(|fault| state.fail(fault))?;
                drop(state);
                let mut span = self.begin_span(SpanKind::Producer, target, &position);
                span.set_text("nexus.message.invocation.id", invocation);
                Ok(invocation)
            }
        }
    }

    fn check_size(&self, size: usize) -> Result<(), Fault> {
        if size <= MAX_ENTRY_BYTES {
            return Ok(());
        }
        let text = format!("a message of {size} bytes: one holds at most {MAX_ENTRY_BYTES}; send a reference instead");
        Err(self.attempt.fail(Fault::LimitExceeded(text)))
    }
}

fn encode_scheduled(input: ScheduledInput) -> Payload {
    // Two plain fields into a vector: there is nothing that could fail.
    minicbor::to_vec(input)
        .expect("a scheduled input has an encoding")
        .into()
}
