//! One physical run of an invocation: its machine, and the appends it makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_journal::{
    Append, AppendError, AppendJournal, Body, Claim, Completion, Entry, Finish, InvocationStatus, KeyValueWrite,
    Machine, Message, Payload, Seal, Start, Suspension, encode,
};
use host_traces::{Parent, Trace, Traces};
use host_types::{Clock, Fault, InvocationId, NodeId, Position, PromiseId, Scope};
use parking_lot::Mutex;

use crate::tally::Tally;
use crate::{Promises, Recorder, Tallied, crash, key_values};

/// What an attempt needs.
pub struct AttemptOptions {
    /// Which invocation.
    pub invocation: InvocationId,
    /// Whose attempt.
    pub node: NodeId,
    /// Its record so far.
    pub machine: Machine,
    /// What the next append takes along.
    pub unwritten: Unwritten,
    /// Where appends go.
    pub journal: Arc<dyn AppendJournal>,
    /// Seals this invocation's payloads.
    pub seal: Arc<dyn Seal>,
    /// What `now` observes.
    pub clock: Arc<dyn Clock>,
    /// Promises of all invocations.
    pub promises: Arc<dyn Promises>,
    /// How long a wait keeps its instance.
    pub wait_hold: Duration,
    /// What the spans of what it does belong to.
    pub trace: Trace,
}

/// What is written beside the entries of the next append. An attempt that ends before it leaves this to the one that follows.
#[derive(Debug, Clone, Default)]
pub struct Unwritten {
    /// For an invocation without a row: what its row will say.
    pub start: Option<Start>,
    /// For a request with a key: the claim that goes with the first append.
    pub claim: Option<Claim>,
    /// Invocations to begin. Their commands are noted, so that nothing but this remembers to write them.
    pub(crate) messages: Vec<Message>,
    /// Of all messages and writes together.
    pub(crate) message_bytes: usize,
    /// Promises to come.
    pub(crate) promises: Vec<PromiseId>,
    /// Promises of anybody's to be completed.
    pub(crate) completions: Vec<Completion>,
    /// Writes to key-value stores, in the guest's order.
    pub(crate) key_values: Vec<KeyValueWrite>,
}

/// How much was unwritten at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnwrittenMark {
    messages: usize,
    promises: usize,
    completions: usize,
    key_values: usize,
}

impl Unwritten {
    /// No message yet.
    pub fn new(start: Option<Start>, claim: Option<Claim>) -> Self {
        Self {
            start,
            claim,
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.message_bytes += message.started.len();
        self.messages.push(message);
    }

    pub(crate) fn has_promises(&self) -> bool {
        !self.promises.is_empty() || !self.completions.is_empty()
    }

    pub(crate) fn mark(&self) -> UnwrittenMark {
        UnwrittenMark {
            messages: self.messages.len(),
            promises: self.promises.len(),
            completions: self.completions.len(),
            key_values: self.key_values.len(),
        }
    }

    /// Gives up what came after the mark.
    pub(crate) fn truncate(&mut self, mark: UnwrittenMark) {
        self.messages.truncate(mark.messages);
        self.key_values.truncate(mark.key_values);
        let messages = self.messages.iter().map(|message| message.started.len());
        self.message_bytes = messages.sum::<usize>() + self.key_values.iter().map(key_values::size).sum::<usize>();
        self.promises.truncate(mark.promises);
        self.completions.truncate(mark.completions);
    }
}

/// One physical run. Shared by every instance of the call tree.
pub struct Attempt {
    pub(crate) invocation: InvocationId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Arc<dyn AppendJournal>,
    pub(crate) promises: Arc<dyn Promises>,
    pub(crate) wait_hold: Duration,
    pub(crate) traces: Traces,
    span: Parent,
    node: NodeId,
    seal: Arc<dyn Seal>,
    /// A first append was handed over; whether it is durable is for its answer to say.
    pub(crate) writing: AtomicBool,
    pub(crate) tally: Tally,
    pub(crate) state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) machine: Machine,
    pub(crate) unwritten: Unwritten,
    /// A transaction is answered from its record, which was written at its end.
    pub(crate) replays_transaction: bool,
    /// The first fault; what the guest makes of it afterwards does not count.
    fault: Option<Fault>,
}

impl Attempt {
    /// Begins an attempt.
    pub fn new(options: AttemptOptions) -> Arc<Self> {
        let AttemptOptions {
            invocation,
            node,
            machine,
            unwritten,
            journal,
            seal,
            clock,
            promises,
            wait_hold,
            trace: Trace { traces, within: span },
        } = options;
        let state = Mutex::new(State {
            machine,
            unwritten,
            replays_transaction: false,
            fault: None,
        });
        Arc::new(Self {
            invocation,
            clock,
            journal,
            promises,
            wait_hold,
            traces,
            span,
            node,
            seal,
            writing: AtomicBool::new(false),
            tally: Tally::default(),
            state,
        })
    }

    /// What the root instance is given.
    pub fn recorder(self: &Arc<Self>) -> Recorder {
        Recorder::new(Arc::clone(self), Scope::root(), self.span.clone())
    }

    /// What its spans belong to.
    pub(crate) fn span(&self) -> Parent {
        self.span.clone()
    }

    /// Which invocation.
    pub fn invocation(&self) -> InvocationId {
        self.invocation
    }

    /// Whose attempt.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Something of this invocation is in the database: from here on it outlives its caller.
    pub fn is_durable(&self) -> bool {
        self.state.lock().machine.is_durable()
    }

    /// Something is in the database, or on its way there: the attempt can no longer be dropped as if it had not been.
    pub fn may_be_durable(&self) -> bool {
        self.writing.load(Ordering::SeqCst) || self.is_durable()
    }

    /// The last command the guest issued.
    pub fn last_position(&self) -> Option<Position> {
        self.state.lock().machine.last_position().cloned()
    }

    /// The fault that ended the attempt, if one did.
    pub fn fault(&self) -> Option<Fault> {
        self.state.lock().fault.clone()
    }

    /// A transaction committed whose statements wrote so many bytes.
    pub fn wrote_beside(&self, business_bytes: u64) {
        self.tally.business(business_bytes);
    }

    /// What it has made durable so far.
    pub fn tallied(&self) -> Tallied {
        self.tally.read()
    }

    /// Notes the fault that ends this attempt, unless one did already.
    pub fn fail(&self, fault: Fault) -> Fault {
        self.state.lock().fault.get_or_insert(fault).clone()
    }

    /// Takes the machine back for another attempt in this process. What the attempt noted is in it.
    ///
    /// `None` while an instance of this attempt is still alive.
    pub fn into_machine(self: Arc<Self>) -> Option<(Machine, Unwritten)> {
        let state = Arc::into_inner(self)?.state.into_inner();
        Some((state.machine, state.unwritten))
    }

    /// The handler returned. `keep` says that the output must be found again (a request with a key, below 400).
    pub async fn finish(&self, output: Payload, keep: bool) -> Result<(), Fault> {
        let finish = {
            let mut state = self.state.lock();
            if let Some(fault) = &state.fault {
                return Err(fault.clone());
            }
            let keep = keep && state.unwritten.claim.is_some();
            state
                .machine
                .finish(output, keep)
                .map_err(|fault| state.fault.get_or_insert(fault).clone())?
        };
        match finish {
            Finish::Nothing => Ok(()),
            Finish::Lazily => {
                let append = self
                    .state
                    .lock()
                    .pending_append(self, Some(InvocationStatus::Completed));
                self.writing.store(true, Ordering::SeqCst);
                self.journal.append_lazily(append);
                self.tally.written();
                Ok(())
            }
            Finish::Eagerly => self.flush(Some(InvocationStatus::Completed)).await,
        }
    }

    /// Makes everything noted durable, in a commit of its own.
    pub(crate) async fn flush(&self, status: Option<InvocationStatus>) -> Result<(), Fault> {
        let append = {
            let state = self.state.lock();
            if state.machine.pending().is_empty() {
                return Ok(());
            }
            state.pending_append(self, status)
        };
        crash::reached(crash::Point::BeforeAppend);
        let written = self.write(append).await;
        crash::reached(crash::Point::AfterAppend);
        written
    }

    /// Writes an append in a commit of its own.
    pub(crate) async fn write(&self, append: Append) -> Result<(), Fault> {
        self.writing.store(true, Ordering::SeqCst);
        let written = self.journal.append(append).await;
        self.settle(written)
    }

    /// Takes note of what became of an append.
    pub(crate) fn settle(&self, written: Result<(), AppendError>) -> Result<(), Fault> {
        match written {
            Ok(()) => {
                self.tally.written();
                let written = {
                    let mut state = self.state.lock();
                    state.machine.appended();
                    std::mem::take(&mut state.unwritten)
                };
                if !written.completions.is_empty() || !written.messages.is_empty() {
                    let completed: Vec<_> = written.completions.iter().map(|it| it.promise).collect();
                    self.promises.announce(&completed, !written.messages.is_empty());
                }
                Ok(())
            }
            Err(AppendError::Fenced) => Err(self.fail(Fault::Fenced)),
            Err(AppendError::KeyTaken) => Err(self.fail(Fault::KeyTaken)),
            Err(AppendError::Unknown(text)) => Err(self.fail(Fault::CommitUnknown(text))),
        }
    }
}

impl State {
    /// Everything noted, with what must commit with it.
    pub(crate) fn pending_append(&self, attempt: &Attempt, status: Option<InvocationStatus>) -> Append {
        let pending = self.machine.pending();
        let first_index = pending.first().map_or(0, |entry| entry.index);
        let bodies: Vec<_> = pending.iter().map(|entry| encode(entry, &*attempt.seal)).collect();
        attempt.tally.hand_over(bodies.iter().map(Vec::len).sum());
        let unwritten = self.unwritten.clone();
        Append {
            start: unwritten.start,
            claim: unwritten.claim,
            messages: unwritten.messages,
            promises: unwritten.promises,
            completions: unwritten.completions,
            key_values: key_values::last_of_each(unwritten.key_values),
            status,
            ..Append::new(attempt.invocation, first_index, bodies)
        }
    }

    /// Everything noted, with what will wake the invocation.
    pub(crate) fn suspending_append(&self, attempt: &Attempt, suspension: Suspension) -> Append {
        Append {
            suspension: Some(suspension),
            ..self.pending_append(attempt, Some(InvocationStatus::Suspended))
        }
    }

    /// The claim that must be the first statement of the first append's transaction.
    pub(crate) fn claim(&self) -> Option<&Claim> {
        self.unwritten.claim.as_ref()
    }

    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    pub(crate) fn fail(&mut self, fault: Fault) -> Fault {
        self.fault.get_or_insert(fault).clone()
    }
}

/// A message's first entry.
pub(crate) fn started(header: host_journal::Header, seal: &dyn Seal) -> Vec<u8> {
    encode(
        &Entry {
            index: 0,
            body: Body::Started(Box::new(header)),
        },
        seal,
    )
}
