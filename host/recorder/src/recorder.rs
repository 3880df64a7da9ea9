//! What an instance of the call tree is given. Each function is one kind of command; its callers say what they do to the world,
//! and this file says what that means for the record.

use std::future::Future;
use std::sync::Arc;

use host_journal::{ArgumentHash, CommandKind, Payload, Step};
use host_traces::{Parent, Span, SpanKind};
use host_types::{Fault, InvocationId, Position, Scope};
use uuid::Uuid;

use crate::attempt::State;
use crate::branch::BranchId;
use crate::deadline::Deadline;
use crate::{Arguments, Attempt};

/// One instance's access to the record. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) scope: Scope,
    /// Which of those that go on side by side this instance belongs to.
    pub(crate) branch: BranchId,
    pub(crate) deadline: Deadline,
    /// What this instance's spans belong to.
    pub(crate) span: Parent,
}

/// What to do about an observation that is begun and waited for later.
pub enum ObserveStep {
    /// It was made before; this is what was seen.
    Recorded(Payload),
    /// Look.
    Perform(Observing),
}

/// An observation under way.
pub struct Observing {
    recorder: Recorder,
    position: Position,
    target: &'static str,
    arguments: ArgumentHash,
    span: Span,
}

/// What to do about a call.
pub enum CallStep {
    /// It returned before; this is what it returned.
    Recorded(Payload),
    /// Enter the callee with this.
    Enter(Entered),
}

/// A call under way.
pub struct Entered {
    caller: Recorder,
    /// The caller's when it called: one that is begun may be entered later.
    deadline_ms: Option<u64>,
    position: Position,
    target: String,
    arguments: ArgumentHash,
    span: Span,
}

/// What to do about an external effect.
pub enum ExternalStep<'a> {
    /// It happened before; this came back.
    Recorded(Payload),
    /// The intent is durable: do it now.
    Perform(ExternalEffect<'a>),
    /// It was begun before, and what became of it is unknown.
    InDoubt(ExternalEffect<'a>),
}

/// An external effect whose intent is durable.
pub struct ExternalEffect<'a> {
    recorder: &'a Recorder,
    position: Position,
    target: &'a str,
    arguments: ArgumentHash,
    span: Span,
}

impl Recorder {
    /// `deadline_ms` is that of whoever calls.
    pub(crate) fn new(
        attempt: Arc<Attempt>,
        scope: Scope,
        branch: BranchId,
        deadline_ms: Option<u64>,
        span: Parent,
    ) -> Self {
        let deadline = Deadline::given(deadline_ms);
        Self {
            attempt,
            scope,
            branch,
            deadline,
            span,
        }
    }

    /// The invocation this instance works for.
    pub fn invocation(&self) -> InvocationId {
        self.attempt.invocation
    }

    /// The attempt this instance belongs to.
    pub fn attempt(&self) -> &Arc<Attempt> {
        &self.attempt
    }

    /// How many calls deep this instance is; 0 for the root.
    pub fn depth(&self) -> usize {
        self.scope.depth()
    }

    /// This instance does again what an earlier attempt did: it is past neither its scope's record nor the end of a recorded
    /// transaction. What it says to the log has been said.
    pub fn is_replaying(&self) -> bool {
        let state = self.attempt.state.lock();
        state.replayed_transactions.contains(&self.scope) || state.machine.is_replaying(&self.scope)
    }

    pub(crate) fn step<'a>(
        &self,
        kind: CommandKind,
        target: &str,
        arguments: impl Into<Arguments<'a>>,
    ) -> Result<(Step, ArgumentHash), Fault> {
        let mut state = self.attempt.state.lock();
        state.command(&self.scope, kind, target, arguments.into())
    }

    /// This instance is given another value of a secret than it was when its reading was recorded: what it makes of it is not what is
    /// recorded either.
    pub fn give_other_secret(&self) {
        self.attempt.state.lock().machine.give_other_secret(&self.scope);
    }

    pub(crate) fn complete(
        &self,
        position: &Position,
        kind: CommandKind,
        target: &str,
        arguments: ArgumentHash,
        answer: Payload,
    ) -> Result<(), Fault> {
        let mut state = self.attempt.state.lock();
        let noted = state.machine.complete(position, kind, target, arguments, answer);
        noted.map_err(|fault| state.fail(fault))
    }

    /// An observation: performed when it is not recorded, and noted.
    pub async fn observe(
        &self,
        target: &str,
        arguments: &[u8],
        perform: impl Future<Output = Result<Payload, Fault>>,
    ) -> Result<Payload, Fault> {
        self.observe_with(target, arguments.into(), |_| perform).await
    }

    /// The same of what another host answers; `perform` is given the W3C `traceparent` to go with the question.
    pub async fn observe_elsewhere<F>(
        &self,
        target: &str,
        arguments: Arguments<'_>,
        perform: impl FnOnce(Option<String>) -> F,
    ) -> Result<Payload, Fault>
    where
        F: Future<Output = Result<Payload, Fault>>,
    {
        let perform = |span: &Span| perform(self.trace_parent_of(span));
        self.observe_with(target, arguments, perform).await
    }

    async fn observe_with<F>(
        &self,
        target: &str,
        arguments: Arguments<'_>,
        perform: impl FnOnce(&Span) -> F,
    ) -> Result<Payload, Fault>
    where
        F: Future<Output = Result<Payload, Fault>>,
    {
        match self.step(CommandKind::Observation, target, arguments)? {
            (Step::Recorded(answer), _) => Ok(answer),
            (Step::Perform(position) | Step::InDoubt(position), arguments) => {
                let mut span = self.begin_span(SpanKind::Client, target, &position);
                let answer = perform(&span).await.map_err(|fault| {
                    span.fail(fault.word());
                    self.attempt.fail(fault)
                })?;
                self.complete(&position, CommandKind::Observation, target, arguments, answer.clone())?;
                Ok(answer)
            }
        }
    }

    /// An observation that is begun now and waited for later: see [`Recorder::beside`].
    pub fn begin_observation<'a>(
        &self,
        target: &'static str,
        arguments: impl Into<Arguments<'a>>,
    ) -> Result<ObserveStep, Fault> {
        let mut state = self.attempt.state.lock();
        let (step, arguments) = state.issue(&self.scope, target, arguments.into(), |machine, hash| {
            machine.begin(&self.scope, CommandKind::Observation, target, hash)
        })?;
        drop(state);
        Ok(match step {
            Step::Recorded(answer) => ObserveStep::Recorded(answer),
            Step::Perform(position) | Step::InDoubt(position) => {
                let mut span = self.begin_span(SpanKind::Client, target, &position);
                span.fail("it was not answered");
                ObserveStep::Perform(Observing {
                    recorder: self.clone(),
                    position,
                    target,
                    arguments,
                    span,
                })
            }
        })
    }

    /// This instance is about to wait for something that it began, which it may not while it has a transaction open: whoever holds a
    /// session waits for nobody.
    pub fn check_may_wait(&self, asked: &str) -> Result<(), Fault> {
        let mut state = self.attempt.state.lock();
        let checked = state.machine.check_no_transaction(&self.scope, asked);
        checked.map_err(|fault| state.fail(fault))
    }

    /// This instance was ended by a fault: notes it, unless an earlier one ended the attempt.
    pub fn failed(&self, fault: Fault) -> Fault {
        self.attempt.state.lock().fail_in(&self.scope, fault)
    }

    /// An observation that takes no time.
    pub fn observe_now(
        &self,
        target: &str,
        arguments: &[u8],
        perform: impl FnOnce() -> Result<Payload, Fault>,
    ) -> Result<Payload, Fault> {
        match self.step(CommandKind::Observation, target, arguments)? {
            (Step::Recorded(answer), _) => Ok(answer),
            (Step::Perform(position) | Step::InDoubt(position), arguments) => {
                let answer = perform().map_err(|fault| self.attempt.fail(fault))?;
                self.complete(&position, CommandKind::Observation, target, arguments, answer.clone())?;
                Ok(answer)
            }
        }
    }

    /// Milliseconds since 1970-01-01 UTC, recorded.
    pub fn now_ms(&self) -> Result<u64, Fault> {
        let observed_ms = self.attempt.clock.unix_ms();
        let mut state = self.attempt.state.lock();
        state.check()?;
        let now = state.machine.now(&self.scope, observed_ms);
        now.map_err(|fault| state.fail(fault))
    }

    /// Bytes derived from the seed and the position.
    pub fn derive(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        let mut state = self.attempt.state.lock();
        let drawn = state.machine.derive(&self.scope, buffer);
        drawn.map_err(|fault| state.fail(fault))
    }

    /// A version 7 UUID derived from the seed and the position.
    pub fn derive_uuid(&self) -> Result<Uuid, Fault> {
        let mut state = self.attempt.state.lock();
        let drawn = state.machine.derive_uuid(&self.scope);
        drawn.map_err(|fault| state.fail(fault))
    }

    /// The key of this instance's next command, if that is an effect on a foreign system. Nothing is issued by asking.
    pub fn next_effect_key(&self) -> String {
        let state = self.attempt.state.lock();
        state.machine.next_effect_key(self.attempt.invocation, &self.scope)
    }

    /// Two numbers for `wasi:random/insecure-seed`, the same in every attempt.
    pub fn instance_seed(&self) -> (u64, u64) {
        self.attempt
            .state
            .lock()
            .machine
            .header()
            .seed
            .instance_seed(&self.scope)
    }

    /// A call to another component. `target` names component, interface and function.
    pub fn call(&self, target: &str, arguments: &[u8]) -> Result<CallStep, Fault> {
        match self.step(CommandKind::Call, target, arguments)? {
            (Step::Recorded(answer), _) => Ok(CallStep::Recorded(answer)),
            (Step::Perform(position) | Step::InDoubt(position), arguments) => {
                #[cfg(any(test, feature = "test-support"))]
                if let Some(answer) = self.interposed_answer(&position, target) {
                    self.complete(&position, CommandKind::Call, target, arguments, answer.clone())?;
                    return Ok(CallStep::Recorded(answer));
                }
                let mut span = self.begin_span(SpanKind::Internal, target, &position);
                if span.is_recording() {
                    let inside = position.scope.child(position.number);
                    let begun_before = self.attempt.state.lock().machine.is_replaying(&inside);
                    span.set("nexus.replayed", begun_before);
                    span.fail("it did not return");
                }
                let target = target.to_owned();
                Ok(CallStep::Enter(Entered {
                    caller: self.clone(),
                    deadline_ms: self.deadline_ms(),
                    position,
                    target,
                    arguments,
                    span,
                }))
            }
        }
    }

    /// What a test has a call return. One whose callee has begun, in an earlier attempt, returns what the callee does.
    #[cfg(any(test, feature = "test-support"))]
    fn interposed_answer(&self, position: &Position, target: &str) -> Option<Payload> {
        let callee = position.scope.child(position.number);
        let state = self.attempt.state.lock();
        let scopes = [host_journal::exclusive_scope(&callee), callee];
        if scopes.iter().any(|scope| state.machine.is_replaying(scope)) {
            return None;
        }
        drop(state);
        crate::interpose::answer(target)
    }

    /// Whatever the guest has an id of is there when this returns: another host may be told of it, and ask for it at once, also with a
    /// request that changes nothing.
    pub async fn make_handles_durable(&self) -> Result<(), Fault> {
        let has_handles = self.attempt.state.lock().unwritten.has_handles();
        match has_handles {
            true => self.attempt.flush(None).await,
            false => Ok(()),
        }
    }

    /// An external effect: its intent is made durable before this returns [`ExternalStep::Perform`].
    pub async fn external<'a>(
        &'a self,
        target: &'a str,
        arguments: impl Into<Arguments<'_>>,
    ) -> Result<ExternalStep<'a>, Fault> {
        match self.step(CommandKind::External, target, arguments)? {
            (Step::Recorded(answer), _) => Ok(ExternalStep::Recorded(answer)),
            (Step::Perform(position), arguments) => {
                self.attempt.flush(None).await?;
                Ok(ExternalStep::Perform(self.effect(position, target, arguments)))
            }
            (Step::InDoubt(position), arguments) => Ok(ExternalStep::InDoubt(self.effect(position, target, arguments))),
        }
    }

    fn effect<'a>(&'a self, position: Position, target: &'a str, arguments: ArgumentHash) -> ExternalEffect<'a> {
        let mut span = self.begin_span(SpanKind::Client, target, &position);
        span.fail("its outcome is not known");
        ExternalEffect {
            recorder: self,
            position,
            target,
            arguments,
            span,
        }
    }
}

impl State {
    /// A command that is about to be performed, unless a test makes it fail.
    pub(crate) fn interposed(&mut self, step: Step, target: &str) -> Result<Step, Fault> {
        #[cfg(any(test, feature = "test-support"))]
        if matches!(step, Step::Perform(_))
            && let Some(fault) = crate::interpose::fault(target)
        {
            return Err(self.fail(fault));
        }
        let _ = target;
        Ok(step)
    }
}

impl Entered {
    /// What the callee's instance is given.
    pub fn callee(&self) -> Recorder {
        self.callee_in(self.caller.branch)
    }

    /// The same for a call that goes on beside its caller, or in its own turn, as `branch` says.
    pub fn callee_beside(&self, branch: &Recorder) -> Recorder {
        self.callee_in(branch.branch)
    }

    fn callee_in(&self, branch: BranchId) -> Recorder {
        let scope = self.position.scope.child(self.position.number);
        let span = match self.span.is_recording() {
            true => self.span.as_parent(),
            false => self.caller.span.clone(),
        };
        Recorder::new(Arc::clone(&self.caller.attempt), scope, branch, self.deadline_ms, span)
    }

    /// The callee returned: what it holds is given up in the append that carries this ([`Recorder::release`]).
    pub fn returned(mut self, answer: Payload) -> Result<(), Fault> {
        self.span.succeed();
        let mut state = self.caller.attempt.state.lock();
        let kind = CommandKind::Call;
        let noted = state.machine.check_closed(&self.position).and_then(|()| {
            state
                .machine
                .complete(&self.position, kind, &self.target, self.arguments, answer)
        });
        noted.map_err(|fault| state.fail(fault))?;
        // Under the same lock: a sibling's append takes along either both or none.
        state.give_up(&self.position.scope.child(self.position.number));
        Ok(())
    }
}

impl Observing {
    /// The W3C `traceparent` that goes with the question.
    pub fn trace_parent(&self) -> Option<String> {
        self.recorder.trace_parent_of(&self.span)
    }

    /// What was seen.
    pub fn observed(mut self, answer: Payload) -> Result<(), Fault> {
        self.span.succeed();
        let kind = CommandKind::Observation;
        self.recorder
            .complete(&self.position, kind, self.target, self.arguments, answer)
    }
}

impl ExternalEffect<'_> {
    /// The W3C `traceparent` that goes with it.
    pub fn trace_parent(&self) -> Option<String> {
        self.recorder.trace_parent_of(&self.span)
    }

    /// What the foreign system can recognise a repetition by.
    pub fn key(&self) -> String {
        let state = self.recorder.attempt.state.lock();
        state
            .machine
            .effect_key(self.recorder.attempt.invocation, &self.position)
    }

    /// The outcome is known: it is durable when this returns.
    pub async fn happened(mut self, outcome: Payload) -> Result<(), Fault> {
        self.span.succeed();
        self.recorder.complete(
            &self.position,
            CommandKind::External,
            self.target,
            self.arguments,
            outcome,
        )?;
        self.recorder.attempt.flush(None).await
    }
}
