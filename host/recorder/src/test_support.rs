//! An invocation whose journal is in memory, and can be ended and begun again. For the tests of capabilities, under the feature
//! `test-support`.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use host_journal::{
    Append, AppendError, AppendJournal, Body, Claim, CommandKind, Entry, Header, HostStatement, KeyId, KeyValueWrite,
    Machine, Payload, Seal, SealError, Seed, Suspension, WorkflowKey, decode, workflow_promise,
};
use host_traces::Trace;
use host_types::{Clock, ComponentId, DeploymentNumber, Fault, InvocationId, NodeId, PromiseId};
use parking_lot::Mutex;

use crate::{
    Answer, Attempt, AttemptOptions, Beside, CallStep, Hold, Place, PromiseState, Promises, Recorder, Unwritten,
    Watched,
};

struct Plain;

impl Seal for Plain {
    fn seal(&self, _: u32, payload: &[u8]) -> Vec<u8> {
        payload.to_vec()
    }

    fn open(&self, _: u32, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(sealed.to_vec())
    }
}

struct Noon;

impl Clock for Noon {
    fn unix_ms(&self) -> u64 {
        1_000
    }

    fn boot_ns(&self) -> u64 {
        0
    }
}

/// Calls, beside the caller, a callee that does this. A call that is recorded is not made.
pub fn call_beside<T, F>(caller: &Recorder, callee: impl FnOnce(Recorder) -> F + Send + 'static) -> Beside<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Fault>> + Send + 'static,
{
    let CallStep::Enter(entered) = caller.call("stock:a.b", b"").expect("it may be called") else {
        panic!("the call is recorded");
    };
    caller.beside(Box::new(move |branch| {
        let callee = callee(entered.callee_beside(&branch));
        Box::pin(async move {
            let outcome = callee.await?;
            // Not recorded as returned: the next attempt makes it again, from what it recorded itself.
            drop(entered);
            Ok(outcome)
        })
    }))
}

/// One invocation's entries, as a store would hold them.
#[derive(Default)]
pub struct MemoryJournal {
    entries: Mutex<Vec<Vec<u8>>>,
    promises: Mutex<HashMap<PromiseId, Option<Vec<u8>>>>,
    key_values: Mutex<Vec<KeyValueWrite>>,
    workflows: Mutex<HashMap<WorkflowKey, (InvocationId, [u8; 32])>>,
    /// The queues of exclusive keys.
    places: Mutex<HashMap<KeyId, Vec<InvocationId>>>,
    /// The outputs of workflows that wait for this invocation.
    circles: Mutex<HashSet<PromiseId>>,
    /// Of the invocation, from its start on.
    deadline_ms: Mutex<Option<u64>>,
    /// The same.
    workflow: Mutex<Option<String>>,
    /// The same.
    trace_parent: Mutex<String>,
    /// What the last append said would wake the invocation.
    suspension: Mutex<Option<Suspension>>,
}

impl MemoryJournal {
    /// The durable entries.
    pub fn history(&self) -> Vec<Entry> {
        let entries = self.entries.lock();
        let decoded = entries
            .iter()
            .enumerate()
            .map(|(index, body)| decode(index as u32, body, &Plain));
        decoded.collect::<Result<_, _>>().expect("what was encoded is decoded")
    }

    /// What the guest did, in order: a letter per durable entry.
    pub fn shape(&self) -> String {
        let shape = |entry: &Entry| match &entry.body {
            Body::Started(_) => 'S',
            Body::Command {
                kind: CommandKind::External,
                answer: None,
                ..
            } => 'I',
            Body::Command {
                kind: CommandKind::Observation,
                ..
            } => 'R',
            Body::Command { .. } => 'C',
            Body::Completion { .. } => 'D',
            Body::Fence { .. } => 'F',
            Body::Output(_) => 'O',
        };
        self.history().iter().map(shape).collect()
    }

    /// Forgets everything after the first `count` entries: a process that ended there.
    pub fn cut(&self, count: usize) {
        self.entries.lock().truncate(count);
    }

    /// What the invocation waits for, when it is suspended.
    pub fn suspension(&self) -> Option<Suspension> {
        self.suspension.lock().clone()
    }

    /// The writes to key-value stores that appends carried.
    pub fn key_values(&self) -> Vec<KeyValueWrite> {
        self.key_values.lock().clone()
    }

    /// What was carried so far does not count.
    pub fn forget_key_values(&self) {
        self.key_values.lock().clear();
    }

    /// Who holds a key, and who waits for it.
    pub fn queue(&self, key: KeyId) -> Vec<InvocationId> {
        self.places.lock().get(&key).cloned().unwrap_or_default()
    }

    /// Somebody else takes a place.
    pub fn enqueue(&self, key: KeyId, invocation: InvocationId) {
        let mut places = self.places.lock();
        let queue = places.entry(key).or_default();
        if !queue.contains(&invocation) {
            queue.push(invocation);
        }
    }

    /// Somebody gives a place up.
    pub fn dequeue(&self, key: KeyId, invocation: InvocationId) {
        if let Some(queue) = self.places.lock().get_mut(&key) {
            queue.retain(|waiting| *waiting != invocation);
        }
    }

    /// The promise of this name, which is there as soon as its workflow is.
    pub fn named(&self, key: &WorkflowKey, name: &str) -> Option<PromiseId> {
        let (_, promise_key) = *self.workflows.lock().get(key)?;
        let promise = workflow_promise(&promise_key, name);
        self.promises.lock().entry(promise).or_insert(None);
        Some(promise)
    }

    /// The workflow is restarted: its promises go, and those of its successor are others.
    pub fn restart(&self, key: &WorkflowKey) {
        if let Some((_, promise_key)) = self.workflows.lock().get_mut(key) {
            promise_key[0] ^= 1;
        }
        self.promises.lock().retain(|_, value| value.is_some());
    }

    /// An invocation that begins after this has a deadline; it is always 1,000 here.
    pub fn hurry(&self, deadline_ms: u64) {
        *self.deadline_ms.lock() = Some(deadline_ms);
    }

    /// An invocation that begins after this is a workflow.
    pub fn name(&self, workflow: &str) {
        *self.workflow.lock() = Some(workflow.to_owned());
    }

    /// An invocation that begins after this belongs to a trace.
    pub fn trace(&self, trace_parent: &str) {
        *self.trace_parent.lock() = trace_parent.to_owned();
    }

    /// The workflow whose output this is waits for the invocation from here on.
    pub fn close_circle(&self, output: PromiseId) {
        self.circles.lock().insert(output);
    }

    /// Completes a promise, or makes one that is completed.
    pub fn complete(&self, promise: PromiseId, value: &[u8]) {
        self.promises.lock().insert(promise, Some(value.to_vec()));
    }

    /// Begins an attempt on what is durable.
    pub fn attempt(self: &Arc<Self>) -> Arc<Attempt> {
        self.attempt_through(self.clone())
    }

    /// Begins an attempt on what is durable whose spans go there.
    pub fn attempt_in(self: &Arc<Self>, trace: Trace) -> Arc<Attempt> {
        self.begin(self.machine(), Unwritten::default(), self.clone(), trace)
    }

    /// Begins an attempt on what is durable whose appends go another way to this journal.
    pub fn attempt_through(self: &Arc<Self>, journal: Arc<dyn AppendJournal>) -> Arc<Attempt> {
        self.begin(self.machine(), Unwritten::default(), journal, Trace::default())
    }

    fn machine(&self) -> Machine {
        let history = self.history();
        match history.is_empty() {
            true => Machine::start(Header {
                deadline_ms: *self.deadline_ms.lock(),
                workflow: self.workflow.lock().clone(),
                trace_parent: self.trace_parent.lock().clone(),
                ..header()
            }),
            false => Machine::replay(history).expect("what was appended is a history"),
        }
    }

    /// Begins another attempt, in the same process, on what the last one noted.
    pub fn attempt_again(self: &Arc<Self>, ended: Arc<Attempt>) -> Arc<Attempt> {
        let (mut machine, unwritten) = ended.into_machine().expect("the instance is gone");
        machine.rewind();
        self.begin(machine, unwritten, self.clone(), Trace::default())
    }

    fn begin(
        self: &Arc<Self>,
        machine: Machine,
        unwritten: Unwritten,
        journal: Arc<dyn AppendJournal>,
        trace: Trace,
    ) -> Arc<Attempt> {
        Attempt::new(AttemptOptions {
            invocation: InvocationId::new(1, [1; 10]),
            node: NodeId::new(1, [2; 10]),
            machine,
            unwritten,
            journal,
            seal: Arc::new(Plain),
            clock: Arc::new(Noon),
            promises: self.clone(),
            wait_hold: Duration::ZERO,
            trace,
        })
    }
}

fn header() -> Header {
    Header {
        component: ComponentId::from("cart"),
        function: "nexus:http/handler.handle".into(),
        deployment: DeploymentNumber(1),
        input: Payload::new(),
        seed: Seed::new([7; 32]),
        subject: String::new(),
        trace_parent: String::new(),
        memory_limit_bytes: 64 << 20,
        started_ms: 1_000,
        workflow: None,
        deadline_ms: None,
    }
}

impl AppendJournal for MemoryJournal {
    fn seal(&self, _: InvocationId, _: Option<[u8; 32]>) -> Arc<dyn Seal> {
        Arc::new(Plain)
    }

    fn claim_statement(&self, _: InvocationId, _: &Claim) -> HostStatement {
        unreachable!("no transaction is opened here")
    }

    fn append_statements(&self, _: &Append) -> Vec<HostStatement> {
        unreachable!("no transaction is opened here")
    }

    fn append(&self, append: Append) -> Pin<Box<dyn Future<Output = Result<(), AppendError>> + Send + '_>> {
        Box::pin(async move {
            let mut entries = self.entries.lock();
            if append.first_index as usize != entries.len() {
                return Err(AppendError::Fenced);
            }
            entries.extend(append.bodies);
            let mut promises = self.promises.lock();
            append
                .promises
                .into_iter()
                .for_each(|promise| drop(promises.insert(promise, None)));
            let workflows = append.messages.into_iter().filter_map(|message| {
                let start = message.workflow?;
                Some((start.key, (message.invocation, start.promise_key)))
            });
            self.workflows.lock().extend(workflows);
            let completed = append.completions.into_iter().map(|it| (it.promise, Some(it.value)));
            promises.extend(completed);
            self.key_values.lock().extend(append.key_values);
            drop(promises);
            let invocation = append.invocation;
            let all: Vec<_> = self
                .places
                .lock()
                .keys()
                .copied()
                .filter(|_| append.releases_all)
                .collect();
            append
                .releases
                .into_iter()
                .chain(all)
                .for_each(|key| self.dequeue(key, invocation));
            append.acquires.iter().for_each(|key| self.enqueue(key.id, invocation));
            *self.suspension.lock() = append.suspension;
            Ok(())
        })
    }

    fn append_lazily(&self, append: Append) {
        self.entries.lock().extend(append.bodies);
    }
}

/// No instance is kept: every wait that is not over suspends.
impl Promises for MemoryJournal {
    fn look(&self, promise: PromiseId) -> Answer<'_, Result<PromiseState, Fault>> {
        let state = match self.promises.lock().get(&promise) {
            None => PromiseState::Unknown,
            Some(None) => PromiseState::Open,
            Some(Some(value)) => PromiseState::Completed(value.clone().into()),
        };
        Box::pin(std::future::ready(Ok(state)))
    }

    fn workflow<'a>(&'a self, key: &'a WorkflowKey) -> Answer<'a, Result<Option<InvocationId>, Fault>> {
        let found = self.workflows.lock().get(key).map(|(invocation, _)| *invocation);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn workflow_promise<'a>(
        &'a self,
        key: &'a WorkflowKey,
        name: &'a str,
    ) -> Answer<'a, Result<Option<PromiseId>, Fault>> {
        Box::pin(std::future::ready(Ok(self.named(key, name))))
    }

    fn closes_circle(&self, _: InvocationId, promise: PromiseId) -> Answer<'_, Result<bool, Fault>> {
        let closes = self.circles.lock().contains(&promise);
        Box::pin(std::future::ready(Ok(closes)))
    }

    fn place(&self, key: KeyId, invocation: InvocationId) -> Answer<'_, Result<Place, Fault>> {
        let place = match self.queue(key).first() {
            Some(first) if *first == invocation => Place::Holds,
            _ => Place::Waits,
        };
        Box::pin(std::future::ready(Ok(place)))
    }

    fn changed(&self, _: Watched) -> Answer<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn hold(&self) -> Option<Hold> {
        None
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn announce(&self, _: &[PromiseId], _: &[KeyId], _: bool) {}
}
