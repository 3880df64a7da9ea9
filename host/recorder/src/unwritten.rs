//! What waits for the next append, besides entries.

use host_journal::{Claim, Completion, ExclusiveKey, KeyId, KeyValueWrite, Message, Publication, Start, WorkflowKey};
use host_types::{InvocationId, PromiseId};

use crate::key_values;

/// What is written beside the entries of the next append. An attempt that ends before it leaves this to the one that follows.
#[derive(Debug, Clone, Default)]
pub struct Unwritten {
    /// For an invocation without a row: what its row will say.
    pub start: Option<Start>,
    /// For a request with a key: the claim that goes with the first append.
    pub claim: Option<Claim>,
    /// Invocations to begin. Their commands are noted, so that nothing but this remembers to write them.
    pub(crate) messages: Vec<Message>,
    /// Of all messages, completions, writes and publications together.
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

/// How much of what is unwritten an append took along.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnwrittenMark {
    messages: usize,
    promises: usize,
    completions: usize,
    key_values: usize,
    publications: usize,
    acquires: usize,
    releases: usize,
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

    pub(crate) fn complete(&mut self, completion: Completion) {
        self.message_bytes += completion.value.len();
        self.completions.push(completion);
    }

    /// What others can wait for is to come: a wait that is for it must not begin before.
    pub(crate) fn has_promises(&self) -> bool {
        !self.promises.is_empty() || self.is_contested()
    }

    /// Something of it has an id that the guest may tell others, who can then ask for it.
    pub(crate) fn has_handles(&self) -> bool {
        !self.promises.is_empty() || !self.messages.is_empty() || !self.publications.is_empty()
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

    /// Whether this promise will be there, and whether it will be completed.
    pub(crate) fn knows(&self, promise: PromiseId) -> (bool, bool) {
        let mut completions = self.completions.iter();
        (
            self.promises.contains(&promise),
            completions.any(|completion| completion.promise == promise),
        )
    }

    pub(crate) fn mark(&self) -> UnwrittenMark {
        UnwrittenMark {
            messages: self.messages.len(),
            promises: self.promises.len(),
            completions: self.completions.len(),
            key_values: self.key_values.len(),
            publications: self.publications.len(),
            acquires: self.acquires.len(),
            releases: self.releases.len(),
        }
    }

    /// What was there at the mark is written: takes it out. What came since stays.
    pub(crate) fn take_until(&mut self, mark: UnwrittenMark) -> Self {
        let mut written = Self {
            start: self.start.take(),
            claim: self.claim.take(),
            messages: self.messages.drain(..mark.messages).collect(),
            message_bytes: 0,
            promises: self.promises.drain(..mark.promises).collect(),
            completions: self.completions.drain(..mark.completions).collect(),
            key_values: self.key_values.drain(..mark.key_values).collect(),
            publications: self.publications.drain(..mark.publications).collect(),
            acquires: self.acquires.drain(..mark.acquires).collect(),
            releases: self.releases.drain(..mark.releases).collect(),
            // Said right before the last append.
            releases_all: std::mem::take(&mut self.releases_all),
        };
        let messages = written.messages.iter().map(|message| message.started.len());
        let completions = written.completions.iter().map(|completion| completion.value.len());
        let publications = written.publications.iter().map(|publication| publication.payload.len());
        let writes = written.key_values.iter().map(key_values::size);
        written.message_bytes = messages.chain(completions).chain(publications).chain(writes).sum();
        self.message_bytes -= written.message_bytes;
        written
    }
}
