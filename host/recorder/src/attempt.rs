//! One physical run of an invocation: its machine, and the appends it makes, one at a time: what is noted while one is under way is
//! not written by it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_journal::{
    Append, AppendError, AppendJournal, ArgumentHash, Body, CommandKind, Completion, Entry, Finish, InvocationStatus,
    KeyId, Likeness, Machine, OUTPUT_PROMISE, Payload, RequestHashes, Seal, Step, Suspension, WorkflowEnd, encode,
    open_places, workflow_promise,
};
use host_traces::{Parent, Trace};
use host_types::{Clock, Fault, InvocationId, NodeId, Position, PromiseId, Scope};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::branch::{BranchId, BranchNews, Branches};
use crate::exclusive::Asked;
use crate::tally::Tally;
use crate::unwritten::UnwrittenMark;
use crate::waiting::promise_seal;
use crate::{Arguments, Promises, Recorder, Tallied, Unwritten, crash, key_values};

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

/// An append under way. Until it is settled, no other one begins.
pub(crate) struct Appending {
    /// One past the last entry in it.
    until: u32,
    mark: UnwrittenMark,
    _turn: Turn,
}

/// The right to do what only so many of an attempt's branches may do at once. Given back when dropped.
pub struct Turn {
    attempt: Arc<Attempt>,
    of: fn(&Attempt) -> &Semaphore,
}

impl Drop for Turn {
    fn drop(&mut self) {
        (self.of)(&self.attempt).add_permits(1);
    }
}

/// Sessions of the database that concurrent branches of one invocation use at most, so that it leaves others theirs. The rest wait.
pub const MAX_SESSIONS: usize = 8;

/// One physical run. Shared by every instance of the call tree.
pub struct Attempt {
    pub(crate) invocation: InvocationId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Arc<dyn AppendJournal>,
    pub(crate) promises: Arc<dyn Promises>,
    pub(crate) wait_hold: Duration,
    pub(crate) trace: Trace,
    node: NodeId,
    seal: Arc<dyn Seal>,
    /// A first append was handed over; whether it is durable is for its answer to say.
    pub(crate) writing: AtomicBool,
    pub(crate) tally: Tally,
    /// Something went on beside the instance that began it.
    pub(crate) is_branched: AtomicBool,
    pub(crate) branch_news: BranchNews,
    /// One append at a time.
    appending: Semaphore,
    /// One who may write the claim. Taken before a session and before `appending`.
    claiming: Semaphore,
    /// Taken before `appending`.
    sessions: Semaphore,
    pub(crate) state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) machine: Machine,
    pub(crate) unwritten: Unwritten,
    /// What goes with the commit of each transaction that is open, by where it was begun.
    pub(crate) transactions: Vec<(Position, Unwritten)>,
    /// Scopes in which a transaction is answered from its record, which was written at its end.
    pub(crate) replayed_transactions: Vec<Scope>,
    /// Exclusive keys, by the scopes whose calls asked for them, and what that came to.
    pub(crate) held: BTreeMap<Scope, (KeyId, Asked)>,
    /// Calls that have asked for one in an earlier attempt, and have neither returned nor come to it in this one.
    pub(crate) to_ask: Vec<(Scope, ArgumentHash)>,
    pub(crate) branches: Branches,
    /// An append was handed over, and nobody has been told what became of it.
    is_appending: bool,
    /// The first fault; what the guest makes of it afterwards does not count.
    fault: Option<Fault>,
    /// Where the instance was that the fault ended.
    blamed: Option<Position>,
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
            trace,
        } = options;
        let to_ask = open_places(machine.entries());
        let state = Mutex::new(State {
            machine,
            unwritten,
            transactions: Vec::new(),
            replayed_transactions: Vec::new(),
            held: BTreeMap::new(),
            to_ask,
            branches: Branches::default(),
            is_appending: false,
            fault: None,
            blamed: None,
        });
        Arc::new(Self {
            invocation,
            clock,
            journal,
            promises,
            wait_hold,
            trace,
            node,
            seal,
            writing: AtomicBool::new(false),
            tally: Tally::default(),
            is_branched: AtomicBool::new(false),
            branch_news: BranchNews::default(),
            appending: Semaphore::new(1),
            claiming: Semaphore::new(1),
            sessions: Semaphore::new(MAX_SESSIONS),
            state,
        })
    }

    /// What the root instance is given.
    pub fn recorder(self: &Arc<Self>) -> Recorder {
        let deadline_ms = self.state.lock().machine.header().deadline_ms;
        Recorder::new(
            Arc::clone(self),
            Scope::root(),
            BranchId::ROOT,
            deadline_ms,
            self.span(),
        )
    }

    /// What its spans belong to.
    pub(crate) fn span(&self) -> Parent {
        self.trace.within.clone()
    }

    /// Which invocation.
    pub fn invocation(&self) -> InvocationId {
        self.invocation
    }

    /// Whose attempt.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Whether it was started under an id: then others may wait for its output.
    pub(crate) fn is_workflow(&self) -> bool {
        self.state.lock().machine.header().workflow.is_some()
    }

    /// Something of this invocation is in the database: from here on it outlives its caller.
    pub fn is_durable(&self) -> bool {
        self.state.lock().machine.is_durable()
    }

    /// Something is in the database, or on its way there: the attempt can no longer be dropped as if it had not been.
    pub fn may_be_durable(&self) -> bool {
        self.writing.load(Ordering::SeqCst) || self.is_durable()
    }

    /// The last command issued by the instance that the fault ended; without one, by any.
    pub fn last_position(&self) -> Option<Position> {
        let state = self.state.lock();
        state.blamed.clone().or_else(|| state.machine.last_position().cloned())
    }

    /// An append was handed over that nobody has seen settled: its instance was dropped meanwhile. Only what is durable counts.
    pub fn is_appending(&self) -> bool {
        self.state.lock().is_appending
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
    pub async fn finish(self: &Arc<Self>, output: Payload, keep: bool) -> Result<(), Fault> {
        let finish = self.returned(output, keep)?;
        let gives_up = self.release_all();
        match finish {
            Finish::Nothing => Ok(()),
            // What others wait for does not wait itself.
            Finish::Lazily if gives_up || !self.state.lock().unwritten.completions.is_empty() => {
                self.flush(Some(InvocationStatus::Completed)).await
            }
            Finish::Lazily => {
                let status = Some(InvocationStatus::Completed);
                let append = self.state.lock().pending_append(self, status, None);
                self.writing.store(true, Ordering::SeqCst);
                self.journal.append_lazily(append);
                self.tally.written();
                Ok(())
            }
            Finish::Eagerly => self.flush(Some(InvocationStatus::Completed)).await,
        }
    }

    /// The handler returned, and something waits for the end of the invocation: it is durable when this returns.
    pub async fn finish_at_once(self: &Arc<Self>, output: Payload) -> Result<(), Fault> {
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
        state.unwritten.complete(Completion { promise, value });
    }

    /// Makes everything noted durable, in a commit of its own, unless somebody's append has done so meanwhile.
    pub(crate) async fn flush(self: &Arc<Self>, status: Option<InvocationStatus>) -> Result<(), Fault> {
        let _claiming = self.claim_turn().await;
        let turn = self.append_turn().await;
        let (append, appending) = {
            let mut state = self.state.lock();
            state.check()?;
            if state.machine.pending().is_empty() {
                return Ok(());
            }
            (state.pending_append(self, status, None), state.begin_append(turn))
        };
        crash::reached(crash::Point::BeforeAppend);
        let written = self.write(append, appending).await;
        crash::reached(crash::Point::AfterAppend);
        written
    }

    async fn turn(self: &Arc<Self>, of: fn(&Self) -> &Semaphore) -> Turn {
        if let Ok(permit) = of(self).acquire().await {
            permit.forget();
        }
        let attempt = Arc::clone(self);
        Turn { attempt, of }
    }

    /// Waits until no other append of this invocation is under way.
    pub(crate) async fn append_turn(self: &Arc<Self>) -> Turn {
        self.turn(|attempt| &attempt.appending).await
    }

    /// While there is a claim to be written: waits until nobody else is about to. A transaction has claimed the key in the database
    /// from its first statement on, so that a second claim, of the same invocation, would wait for its end there, and find the key taken.
    pub(crate) async fn claim_turn(self: &Arc<Self>) -> Option<Turn> {
        if !self.has_claim() {
            return None;
        }
        let turn = self.turn(|attempt| &attempt.claiming).await;
        self.has_claim().then_some(turn)
    }

    fn has_claim(&self) -> bool {
        self.state.lock().unwritten.claim.is_some()
    }

    /// Waits until this invocation may use another session of the database: concurrent branches use [`MAX_SESSIONS`] at most.
    pub async fn session_turn(self: &Arc<Self>) -> Option<Turn> {
        if !self.is_branched.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.turn(|attempt| &attempt.sessions).await)
    }

    /// Writes an append in a commit of its own.
    pub(crate) async fn write(&self, append: Append, appending: Appending) -> Result<(), Fault> {
        self.writing.store(true, Ordering::SeqCst);
        let written = self.journal.append(append).await;
        self.settle(appending, Unwritten::default(), written)
    }

    /// Takes note of what became of an append. `within` is what went with it of a transaction.
    pub(crate) fn settle(
        &self,
        appending: Appending,
        within: Unwritten,
        written: Result<(), AppendError>,
    ) -> Result<(), Fault> {
        let Appending { until, mark, _turn } = appending;
        let mut state = self.state.lock();
        state.is_appending = false;
        match written {
            Ok(()) => {
                self.tally.written();
                state.machine.appended(until);
                let before = state.unwritten.take_until(mark);
                drop(state);
                let completions = before.completions.iter().chain(&within.completions);
                let completed: Vec<_> = completions.map(|completion| completion.promise).collect();
                // Nothing is acquired or released within a transaction.
                let due = before.releases_all || !before.messages.is_empty() || !within.messages.is_empty();
                if due || !completed.is_empty() || !before.releases.is_empty() {
                    self.promises.announce(&completed, &before.releases, due);
                }
                if !before.publications.is_empty() || !within.publications.is_empty() {
                    self.promises.published();
                }
                Ok(())
            }
            Err(error) => Err(state.fail(append_fault(error))),
        }
    }

    /// Nothing of this append was written, and it is known.
    pub(crate) fn unwritten(&self, appending: Appending) {
        self.state.lock().is_appending = false;
        // Only now may another one begin.
        drop(appending);
    }
}

impl State {
    /// Everything noted, with what must commit with it; of a transaction that commits, also `within`.
    pub(crate) fn pending_append(
        &self,
        attempt: &Attempt,
        status: Option<InvocationStatus>,
        within: Option<&Unwritten>,
    ) -> Append {
        let pending = self.machine.pending();
        let first_index = pending.first().map_or(0, |entry| entry.index);
        let bodies: Vec<_> = pending.iter().map(|entry| encode(entry, &*attempt.seal)).collect();
        attempt.tally.hand_over(bodies.iter().map(Vec::len).sum());
        let mut unwritten = self.unwritten.clone();
        if let Some(within) = within {
            unwritten.messages.extend_from_slice(&within.messages);
            unwritten.promises.extend_from_slice(&within.promises);
            unwritten.completions.extend_from_slice(&within.completions);
            unwritten.key_values.extend_from_slice(&within.key_values);
            unwritten.publications.extend_from_slice(&within.publications);
        }
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
            ..self.pending_append(attempt, Some(InvocationStatus::Suspended), None)
        }
    }

    /// What is noted up to now is being written.
    pub(crate) fn begin_append(&mut self, turn: Turn) -> Appending {
        self.is_appending = true;
        Appending {
            until: self.machine.entries().len() as u32,
            mark: self.unwritten.mark(),
            _turn: turn,
        }
    }

    /// Where a message issued in this scope waits for its append: that of the scope's transaction, if one is open.
    pub(crate) fn unwritten_in(&mut self, scope: &Scope) -> &mut Unwritten {
        let mut transactions = self.transactions.iter_mut();
        match transactions.find(|(begun, _)| begun.scope == *scope) {
            Some((_, unwritten)) => unwritten,
            None => &mut self.unwritten,
        }
    }

    /// Whether this promise will be there, and whether it will be completed, as far as a scope can know.
    pub(crate) fn knows(&mut self, scope: &Scope, promise: PromiseId) -> (bool, bool) {
        let before = self.unwritten.knows(promise);
        let within = self.unwritten_in(scope).knows(promise);
        (before.0 || within.0, before.1 || within.1)
    }

    /// Of the transaction begun here, which ends.
    pub(crate) fn take_transaction(&mut self, begun: &Position) -> Unwritten {
        let at = self.transactions.iter().position(|(position, _)| position == begun);
        at.map(|at| self.transactions.swap_remove(at).1).unwrap_or_default()
    }

    /// Bytes of all messages that wait for an append.
    pub(crate) fn message_bytes(&self) -> usize {
        let within = self.transactions.iter().map(|(_, unwritten)| unwritten.message_bytes);
        self.unwritten.message_bytes + within.sum::<usize>()
    }

    /// The fault that ended the attempt, if one did.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// The instance of this scope asks for something, and waits for the answer: what to do, and the hash of its arguments.
    pub(crate) fn command(
        &mut self,
        scope: &Scope,
        kind: CommandKind,
        target: &str,
        arguments: Arguments<'_>,
    ) -> Result<(Step, ArgumentHash), Fault> {
        self.issue(scope, target, arguments, |machine, hash| {
            machine.command(scope, kind, target, hash)
        })
    }

    /// A command of this scope, given to the machine with the hash of its arguments.
    pub(crate) fn issue(
        &mut self,
        scope: &Scope,
        target: &str,
        arguments: Arguments<'_>,
        issue: impl FnOnce(&mut Machine, ArgumentHash) -> Result<Step, Fault>,
    ) -> Result<(Step, ArgumentHash), Fault> {
        self.check()?;
        let arguments = self.hash(scope, target, arguments);
        let step = issue(&mut self.machine, arguments).map_err(|fault| self.fail(fault))?;
        Ok((self.interposed(step, target)?, arguments))
    }

    fn hash(&mut self, scope: &Scope, target: &str, arguments: Arguments<'_>) -> ArgumentHash {
        let seed = &self.machine.header().seed;
        let whole = seed.hash(arguments.whole);
        let Some(peer) = arguments.peer.map(|peer| seed.hash(peer)) else {
            return whole;
        };
        match self.machine.request(scope, RequestHashes { whole, peer }) {
            Likeness::Told(hash) => hash,
            Likeness::OtherSecret(recorded) => {
                tracing::info!(
                    command.target = target,
                    command.scope = %scope,
                    "a request differs from the recorded one: its component has another secret than it had then",
                );
                recorded
            }
        }
    }

    pub(crate) fn fail(&mut self, fault: Fault) -> Fault {
        self.fault.get_or_insert(fault).clone()
    }

    /// Notes the fault that ended the instance of this scope. The first to know of it is the instance in which it happened.
    pub(crate) fn fail_in(&mut self, scope: &Scope, fault: Fault) -> Fault {
        let first = self.fault.get_or_insert_with(|| fault.clone()).clone();
        if self.blamed.is_none() && first == fault {
            self.blamed = self.machine.last_position_in(scope);
        }
        first
    }
}

/// What an append that did not happen, as far as anybody knows, is to its attempt.
pub(crate) fn append_fault(error: AppendError) -> Fault {
    match error {
        AppendError::Fenced => Fault::Fenced,
        AppendError::KeyTaken => Fault::KeyTaken,
        AppendError::Refused(text) => Fault::AppendRefused(text),
        AppendError::Unknown(text) => Fault::CommitUnknown(text),
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
