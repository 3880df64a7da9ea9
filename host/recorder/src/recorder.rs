//! What an instance of the call tree is given. Each function is one kind of command; its callers say what they do to the world,
//! and this file says what that means for the record.

use std::future::Future;
use std::sync::Arc;

use host_journal::{ArgumentHash, CommandKind, Payload, Step};
use host_types::{Fault, InvocationId, Position, Scope};
use uuid::Uuid;

use crate::Attempt;

/// One instance's access to the record. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) scope: Scope,
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
    position: Position,
    target: String,
    arguments: ArgumentHash,
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
}

impl Recorder {
    pub(crate) fn new(attempt: Arc<Attempt>, scope: Scope) -> Self {
        Self { attempt, scope }
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
        state.replays_transaction || state.machine.is_replaying(&self.scope)
    }

    pub(crate) fn step(
        &self,
        kind: CommandKind,
        target: &str,
        arguments: &[u8],
    ) -> Result<(Step, ArgumentHash), Fault> {
        let mut state = self.attempt.state.lock();
        if let Some(fault) = state.fault() {
            return Err(fault.clone());
        }
        let arguments = state.machine.header().seed.hash(arguments);
        match state.machine.command(&self.scope, kind, target, arguments) {
            Ok(step) => {
                #[cfg(any(test, feature = "test-support"))]
                if matches!(step, Step::Perform(_))
                    && let Some(fault) = crate::interpose::fault(self.attempt.node(), kind, target)
                {
                    return Err(state.fail(fault));
                }
                Ok((step, arguments))
            }
            Err(fault) => Err(state.fail(fault)),
        }
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
        match self.step(CommandKind::Observation, target, arguments)? {
            (Step::Recorded(answer), _) => Ok(answer),
            (Step::Perform(position) | Step::InDoubt(position), arguments) => {
                let answer = perform.await.map_err(|fault| self.attempt.fail(fault))?;
                self.complete(&position, CommandKind::Observation, target, arguments, answer.clone())?;
                Ok(answer)
            }
        }
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
        if let Some(fault) = state.fault() {
            return Err(fault.clone());
        }
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
                if let Some(answer) = crate::interpose::answer(self.attempt.node(), target) {
                    self.complete(&position, CommandKind::Call, target, arguments, answer.clone())?;
                    return Ok(CallStep::Recorded(answer));
                }
                let target = target.to_owned();
                Ok(CallStep::Enter(Entered {
                    caller: self.clone(),
                    position,
                    target,
                    arguments,
                }))
            }
        }
    }

    /// An external effect: its intent is made durable before this returns [`ExternalStep::Perform`].
    pub async fn external<'a>(&'a self, target: &'a str, arguments: &[u8]) -> Result<ExternalStep<'a>, Fault> {
        match self.step(CommandKind::External, target, arguments)? {
            (Step::Recorded(answer), _) => Ok(ExternalStep::Recorded(answer)),
            (Step::Perform(position), arguments) => {
                self.attempt.flush(None).await?;
                Ok(ExternalStep::Perform(ExternalEffect {
                    recorder: self,
                    position,
                    target,
                    arguments,
                }))
            }
            (Step::InDoubt(position), arguments) => Ok(ExternalStep::InDoubt(ExternalEffect {
                recorder: self,
                position,
                target,
                arguments,
            })),
        }
    }
}

impl Entered {
    /// What the callee's instance is given.
    pub fn callee(&self) -> Recorder {
        Recorder::new(
            Arc::clone(&self.caller.attempt),
            self.position.scope.child(self.position.number),
        )
    }

    /// The callee returned.
    pub fn returned(self, answer: Payload) -> Result<(), Fault> {
        self.caller
            .complete(&self.position, CommandKind::Call, &self.target, self.arguments, answer)
    }
}

impl ExternalEffect<'_> {
    /// What the foreign system can recognise a repetition by.
    pub fn key(&self) -> String {
        let state = self.recorder.attempt.state.lock();
        state
            .machine
            .effect_key(self.recorder.attempt.invocation, &self.position)
    }

    /// The outcome is known: it is durable when this returns.
    pub async fn happened(self, outcome: Payload) -> Result<(), Fault> {
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
