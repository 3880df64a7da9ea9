//! Messages: new invocations, written in the sender's own append and begun after it.

use bytes::Bytes;
use host_journal::{
    CommandKind, Header, MAX_ENTRY_BYTES, MAX_INVOCATION_BYTES, Message, Payload, Seed, Start, Step, WorkflowStart,
};
use host_traces::{Span, SpanKind};
use host_types::{ComponentId, Fault, InvocationId, Position};
use minicbor::{Decode, Encode};
use uuid::Uuid;

use crate::Recorder;
use crate::attempt::{Attempt, State, started};
use crate::workflow::Workflow;

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
    /// How long after its begin what it awaits may come, milliseconds.
    pub within_ms: Option<u64>,
}

/// What bounds an invocation of a function, whoever begins it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// What its guest's memory may grow to, bytes.
    pub memory_limit_bytes: u64,
    /// How long after its begin what it awaits may come, milliseconds.
    pub within_ms: Option<u64>,
}

impl Recorder {
    /// A new invocation of `scheduled.run` of this component, that of the instance that asks and not of the one the invocation began
    /// in, begun `delay_ms` after now, once this one's effects are durable.
    pub fn schedule(
        &self,
        component: &ComponentId,
        bounds: Bounds,
        name: String,
        argument: Vec<u8>,
        delay_ms: u64,
    ) -> Result<InvocationId, Fault> {
        let size = name.len() + argument.len();
        self.check_size(size)?;
        let outgoing = Outgoing {
            component: component.clone(),
            function: SCHEDULED_FUNCTION.into(),
            input: encode_scheduled(ScheduledInput { name, argument }),
            memory_limit_bytes: bounds.memory_limit_bytes,
            within_ms: bounds.within_ms,
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
                let mut span = self.begin_span(SpanKind::Producer, target, &position);
                let mut state = self.attempt.state.lock();
                let invocation = state.begin(&self.attempt, &position, outgoing, delay_ms, None, &span)?;
                span.set_text("nexus.message.invocation.id", invocation);
                let answer = Bytes::copy_from_slice(invocation.0.as_bytes());
                let noted = state
                    .machine
                    .complete(&position, CommandKind::Message, target, arguments, answer);
                noted.map_err(|fault| state.fail(fault))?;
                Ok(invocation)
            }
        }
    }

    pub(crate) fn check_size(&self, size: usize) -> Result<(), Fault> {
        if size <= MAX_ENTRY_BYTES {
            return Ok(());
        }
        let text = format!("a message of {size} bytes: one holds at most {MAX_ENTRY_BYTES}; send a reference instead");
        Err(self.attempt.fail(Fault::LimitExceeded(text)))
    }
}

impl State {
    /// The trace that what is sent belongs to: that of `span`, and without spans that of its sender.
    pub(crate) fn trace_parent(&self, span: &Span) -> String {
        let sender = || self.machine.header().trace_parent.clone();
        span.as_parent().trace_parent().unwrap_or_else(sender)
    }

    /// An invocation that begins with the next append; its id and its seed belong to the position of the command that sends it. What it
    /// does belongs to the trace of `span`, and without spans to that of its sender.
    pub(crate) fn begin(
        &mut self,
        attempt: &Attempt,
        position: &Position,
        outgoing: Outgoing,
        delay_ms: u64,
        workflow: Option<Workflow>,
        span: &Span,
    ) -> Result<InvocationId, Fault> {
        let now_ms = attempt.clock.unix_ms();
        let sender = self.machine.header();
        let invocation = InvocationId(sender.seed.uuid(position, now_ms));
        let mut seed = [0; 32];
        sender.seed.fill(position, &mut seed);
        let Outgoing {
            component,
            function,
            input,
            memory_limit_bytes,
            within_ms,
        } = outgoing;
        let started_ms = now_ms.saturating_add(delay_ms);
        let header = Header {
            component,
            function,
            input,
            seed: Seed::new(seed),
            memory_limit_bytes,
            started_ms,
            workflow: workflow.as_ref().map(|workflow| workflow.key.id.clone()),
            // The time that its sender has is not its own.
            deadline_ms: within_ms.map(|within_ms| started_ms.saturating_add(within_ms)),
            trace_parent: self.trace_parent(span),
            ..sender.clone()
        };
        let start = Start {
            component: header.component.clone(),
            function: header.function.clone(),
            deployment: header.deployment,
            erasure_salt: None,
            parent: Some(attempt.invocation),
        };
        let workflow = workflow.map(|Workflow { key, retention_ms }| WorkflowStart {
            key,
            promise_key: header.seed.promise_key(),
            retention_ms,
        });
        let due_ms = header.started_ms;
        let seal = attempt.journal.seal(invocation, None);
        let started = started(header, &*seal);
        // They wait in memory for the append that carries them.
        let waiting = self.message_bytes() + started.len();
        if waiting > MAX_INVOCATION_BYTES {
            let text = format!("messages of more than {MAX_INVOCATION_BYTES} bytes in one append: commit in between");
            return Err(self.fail(Fault::LimitExceeded(text)));
        }
        self.unwritten_in(&position.scope).push(Message {
            invocation,
            started,
            start,
            due_ms,
            workflow,
        });
        Ok(invocation)
    }
}

fn encode_scheduled(input: ScheduledInput) -> Payload {
    // Two plain fields into a vector: there is nothing that could fail.
    minicbor::to_vec(input)
        .expect("a scheduled input has an encoding")
        .into()
}
