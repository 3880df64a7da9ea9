//! An invocation whose journal is in memory, and can be ended and begun again. For the tests of capabilities, under the feature
//! `test-support`.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use host_journal::{
    Append, AppendError, AppendJournal, Body, Claim, CommandKind, Entry, Header, HostStatement, KeyValueWrite, Machine,
    Payload, Seal, SealError, Seed, Suspension, decode,
};
use host_traces::Trace;
use host_types::{Clock, ComponentId, DeploymentNumber, Fault, InvocationId, NodeId, PromiseId};
use parking_lot::Mutex;

use crate::{Answer, Attempt, AttemptOptions, Hold, PromiseState, Promises, Unwritten};

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

/// One invocation's entries, as a store would hold them.
#[derive(Default)]
pub struct MemoryJournal {
    entries: Mutex<Vec<Vec<u8>>>,
    promises: Mutex<HashMap<PromiseId, Option<Vec<u8>>>>,
    key_values: Mutex<Vec<KeyValueWrite>>,
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

    /// Completes a promise, or makes one that is completed.
    pub fn complete(&self, promise: PromiseId, value: &[u8]) {
        self.promises.lock().insert(promise, Some(value.to_vec()));
    }

    /// Begins an attempt on what is durable.
    pub fn attempt(self: &Arc<Self>) -> Arc<Attempt> {
        let history = self.history();
        let machine = match history.is_empty() {
            true => Machine::start(Header {
                component: ComponentId::from("cart"),
                function: "nexus:http/handler.handle".into(),
                deployment: DeploymentNumber(1),
                input: Payload::new(),
                seed: Seed::new([7; 32]),
                subject: String::new(),
                trace_parent: String::new(),
                memory_limit_bytes: 64 << 20,
                started_ms: 1_000,
            }),
            false => Machine::replay(history).expect("what was appended is a history"),
        };
        self.begin(machine, Unwritten::default())
    }

    /// Begins another attempt, in the same process, on what the last one noted.
    pub fn attempt_again(self: &Arc<Self>, ended: Arc<Attempt>) -> Arc<Attempt> {
        let (mut machine, unwritten) = ended.into_machine().expect("the instance is gone");
        machine.rewind();
        self.begin(machine, unwritten)
    }

    fn begin(self: &Arc<Self>, machine: Machine, unwritten: Unwritten) -> Arc<Attempt> {
        Attempt::new(AttemptOptions {
            invocation: InvocationId::new(1, [1; 10]),
            node: NodeId::new(1, [2; 10]),
            machine,
            unwritten,
            journal: self.clone(),
            seal: Arc::new(Plain),
            clock: Arc::new(Noon),
            promises: self.clone(),
            wait_hold: Duration::ZERO,
            trace: Trace::default(),
        })
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
            let completed = append.completions.into_iter().map(|it| (it.promise, Some(it.value)));
            promises.extend(completed);
            self.key_values.lock().extend(append.key_values);
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

    fn changed(&self, _: Option<PromiseId>) -> Answer<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn hold(&self) -> Option<Hold> {
        None
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn announce(&self, _: &[PromiseId], _: bool) {}
}
