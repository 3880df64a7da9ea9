//! One physical run of an invocation: its machine, and the appends it makes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_journal::{
    Acquired, Append, AppendError, AppendJournal, Body, Claim, Completion, Entry, ExclusiveKey, Finish,
    InvocationStatus, KeyId, KeyValueWrite, Machine, Message, OUTPUT_PROMISE, Payload, Publication, Seal, Start,
    Suspension, WorkflowEnd, WorkflowKey, encode, workflow_promise,
};
use host_types::{Clock, Fault, InvocationId, NodeId, Position, PromiseId, Scope};
use parking_lot::Mutex;

use crate::tally::Tally;
use crate::waiting::promise_seal;
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
    /// Of all messages, writes and publications together.
    pub(crate) message_bytes: usize,
    /// Promises to come.
    pub(crate) promises: Vec<PromiseId>,
    /// Promises of anybody's to be completed.
    pub(crate) completions: Vec<Completion>,
    /// Writes to key-value stores, in the guest's order.
    pub(crate) key_values: Vec<KeyValueWrite>,
    /// Events to be there.
    pub(crate) publications: Vec<Publication>,
    /// Places in the queues of exclusive keys to take.
    pub(crate) acquires: Vec<ExclusiveKey>,
    /// Places to give up.
    pub(crate) releases: Vec<KeyId>,
    /// All of them.
    pub(crate) releases_all: bool,
}

/// How much was unwritten at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnwrittenMark {
    messages: usize,
    promises: usize,
    completions: usize,
    key_values: usize,
    publications: usize,
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

    pub(crate) fn publish(&mut self, publication: Publication) {
        self.message_bytes += publication.payload.len();
        self.publications.push(publication);
    }

    /// What others can wait for is to come: a wait that is for it must not begin before.
    pub(crate) fn has_promises(&self) -> bool {
        !self.promises.is_empty() || self.is_contested()
    }

    /// Something of it can be lost to somebody who is faster, and then must be asked for again.
    pub fn is_contested(&self) -> bool {
        !self.completions.is_empty() || self.starts_workflow()
    }

    fn starts_workflow(&self) -> bool {
        self.messages.iter().any(|message| message.workflow.is_some())
    }

    /// The invocation that will be this workflow.
    pub(crate) fn workflow(&self, key: &WorkflowKey) -> Option<InvocationId> {
        let mut messages = self.messages.iter();
        let started = messages.find(|message| message.workflow.as_ref().is_some_and(|start| start.key == *key));
        started.map(|message| message.invocation)
    }

    pub(crate) fn mark(&self) -> UnwrittenMark {
        UnwrittenMark {
            messages: self.messages.len(),
            promises: self.promises.len(),
            completions: self.completions.len(),
            key_values: self.key_values.len(),
            publications: self.publications.len(),
        }
    }

    /// Gives up what came after the mark.
    pub(crate) fn truncate(&mut self, mark: UnwrittenMark) {
        self.messages.truncate(mark.messages);
        self.key_values.truncate(mark.key_values);
        self.promises.truncate(mark.promises);
        self.completions.truncate(mark.completions);
        self.publications.truncate(mark.publications);
        let messages = self.messages.iter().map(|message| message.started.len());
        let publications = self.publications.iter().map(|publication| publication.payload.len());
        let writes = self.key_values.iter().map(key_values::size);
        self.message_bytes = messages.chain(publications).chain(writes).sum();
    }
}

/// One physical run. Shared by every instance of the call tree.
pub struct Attempt {
    pub(crate) invocation: InvocationId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Arc<dyn AppendJournal>,
    pub(crate) promises: Arc<dyn Promises>,
    pub(crate) wait_hold: Duration,
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
    /// Exclusive keys, by the scopes whose calls asked for them, and what that came to.
    pub(crate) held: BTreeMap<Scope, (KeyId, Acquired)>,
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
        } = options;
        let state = Mutex::new(State {
            machine,
            unwritten,
            replays_transaction: false,
            held: BTreeMap::new(),
            fault: None,
        });
        Arc::new(Self {
            invocation,
            clock,
            journal,
            promises,
            wait_hold,
            node,
            seal,
            writing: AtomicBool::new(false),
            tally: Tally::default(),
            state,
        })
    }

    /// What the root instance is given.
    pub fn recorder(self: &Arc<Self>) -> Recorder {
        let deadline_ms = self.state.lock().machine.header().deadline_ms;
        Recorder::new(Arc::clone(self), Scope::root(), deadline_ms)
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
        let finish = self.returned(output, keep)?;
        let gives_up = self.release_all();
        match finish {
            Finish::Nothing => Ok(()),
            // What others wait for does not wait itself.
            Finish::Lazily if gives_up || !self.state.lock().unwritten.completions.is_empty() => {
                self.flush(Some(InvocationStatus::Completed)).await
            }
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

    /// The handler returned, and something waits for the end of the invocation: it is durable when this returns.
    pub async fn finish_at_once(&self, output: Payload) -> Result<(), Fault> {
        let finish = self.returned(output, true)?;
        self.release_all();
        match finish {
            Finish::Nothing => Ok(()),
            Finish::Lazily | Finish::Eagerly => self.flush(Some(InvocationStatus::Completed)).await,
        }
    }

    /// Notes the output; says what must be written.
    fn returned(&self, output: Payload, keep: bool) -> Result<Finish, Fault> {
        let mut state = self.state.lock();
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        let keep = keep && state.unwritten.claim.is_some();
        let finish = state.machine.finish(output, keep);
        finish.map_err(|fault| state.fail(fault))
    }

    /// The handler of a workflow returned, or will not: those who wait for its output are told with it.
    pub fn end_workflow(&self, end: &WorkflowEnd) {
        let mut state = self.state.lock();
        let promise = workflow_promise(&state.machine.header().seed.promise_key(), OUTPUT_PROMISE);
        let value = self
            .journal
            .seal(promise_seal(promise), None)
            .seal(0, &end.to_payload());
        state.unwritten.completions.push(Completion { promise, value });
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
                let completed: Vec<_> = written.completions.iter().map(|it| it.promise).collect();
                let has_messages = !written.messages.is_empty();
                if !completed.is_empty() || has_messages || written.releases_all || !written.releases.is_empty() {
                    let due = has_messages || written.releases_all;
                    self.promises.announce(&completed, &written.releases, due);
                }
                if !written.publications.is_empty() {
                    self.promises.published();
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
            publications: unwritten.publications,
            acquires: unwritten.acquires,
            releases: unwritten.releases,
            releases_all: unwritten.releases_all,
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
