//! What an operator may do to an invocation. Each word is a fence in its journal, written in one commit with what the audit log says of
//! it; safe at any moment and harmless when repeated.

mod cancel;
mod complete_entry;
mod complete_promise;
mod move_to;
mod restart;
mod word;

use host_journal::{Cause, Effect, FenceReason, InvocationStatus};
use host_store::Loaded;
use host_types::{DeploymentNumber, InvocationId, Position, PromiseId};

use crate::dry_run::Outcome;
use crate::invoker::Invoker;
pub(crate) use crate::operate::word::Spoken;
use crate::recovery::begin;

/// Who wants something done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The name given, or what the name of one without is.
    pub by: String,
    /// In that person's words; may be empty.
    pub reason: String,
}

/// Why an operator's word had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// No such invocation, or nothing of it is durable.
    #[error("there is no invocation {0}")]
    NotFound(InvocationId),
    /// No such promise, or nothing of the invocation that made it is durable.
    #[error("there is no promise {0}")]
    NoPromise(PromiseId),
    /// No such component.
    #[error("{0}")]
    NoComponent(String),
    /// No such revision, or none of that component.
    #[error("{0}")]
    NoRevision(String),
    /// It is active, and some nodes do not run it yet. The text names them.
    #[error("{0}")]
    Unacknowledged(String),
    /// On another revision the invocation does otherwise than is recorded.
    #[error("on deployment {number} the invocation does otherwise than is recorded, and stays where it is: {outcome}")]
    Differs {
        /// Where it was to be moved.
        number: DeploymentNumber,
        /// What its dry run came to there.
        outcome: Box<Outcome>,
    },
    /// It is not in a state for that.
    #[error("the invocation is {status}; only {expected} can be {verb}")]
    State {
        /// Where it stands.
        status: InvocationStatus,
        /// Where it should stand.
        expected: &'static str,
        /// What was asked.
        verb: &'static str,
    },
    /// A restart would do again what stands. In order.
    #[error("{}", repeats(.0))]
    Repeats(Vec<Effect>),
    /// There is nothing at this position that a person could answer.
    #[error("the command at {position} cannot be answered: {reason}")]
    Unanswerable {
        /// Which.
        position: Position,
        /// Why not.
        reason: String,
    },
    /// What it began with is gone.
    #[error(
        "the payloads of the invocation were erased when it ended: there is nothing to begin again with; the client has to ask again"
    )]
    Erased,
    /// What came with the word is not right; the text says what would be.
    #[error("{0}")]
    Malformed(String),
    /// Something else stands in the way; the text says what, and the way out.
    #[error("{0}")]
    Refused(String),
    /// The database did not answer. Whether the word had its effect is for another look to say; it can be said again.
    #[error("{0}")]
    Store(String),
}

fn repeats(effects: &[Effect]) -> String {
    let listed = effects
        .iter()
        .map(|effect| format!("{} {} at {}", effect.kind, effect.target, effect.position));
    format!(
        "a restart would do again what stands: {}; restart with force if it may be done twice",
        listed.collect::<Vec<_>>().join(", ")
    )
}

impl Invoker {
    /// Sets a paused invocation going again, here, or when its time has come if it was to begin later. One that runs is left alone.
    pub async fn resume(&self, invocation: InvocationId, asked: &Asked) -> Result<(), OperateError> {
        loop {
            let loaded = self.open(invocation, "an open one", "resumed").await?;
            if loaded.row.status != InvocationStatus::Paused {
                return Ok(());
            }
            let begins_later = word::not_before(&loaded.entries, self.inner.clock.unix_ms()).is_some();
            let spoken = Spoken {
                verb: "resume",
                outcome: "running".into(),
                reason: FenceReason::Resume,
                more: Vec::new(),
                status: InvocationStatus::Running,
                deployment: None,
            };
            if let Some(recovered) = self.inner.say(loaded, spoken, asked).await? {
                if !begins_later && !self.inner.is_draining() {
                    begin(&self.inner, recovered).await;
                }
                return Ok(());
            }
        }
    }

    /// Stops an open invocation until it is resumed. What it is doing comes to nothing; what is recorded stays.
    pub async fn pause(&self, invocation: InvocationId, asked: &Asked) -> Result<(), OperateError> {
        loop {
            let loaded = self.open(invocation, "an open one", "paused").await?;
            if loaded.row.status == InvocationStatus::Paused {
                return Ok(());
            }
            let cause = Cause::new(None, &word::text("paused by an operator", &asked.reason), false);
            let spoken = Spoken {
                verb: "pause",
                outcome: "paused".into(),
                reason: FenceReason::Pause(cause),
                more: Vec::new(),
                status: InvocationStatus::Paused,
                deployment: None,
            };
            if self.inner.say(loaded, spoken, asked).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// An invocation that has not ended, with its record.
    async fn open(
        &self,
        invocation: InvocationId,
        expected: &'static str,
        verb: &'static str,
    ) -> Result<Loaded, OperateError> {
        // The row first: an ended one may have no payloads left to load.
        let row = self.inner.store.row(invocation).await.map_err(unavailable)?;
        let status = row.ok_or(OperateError::NotFound(invocation))?.status;
        if status.is_final() {
            return Err(OperateError::State { status, expected, verb });
        }
        match self.inner.store.load(invocation).await {
            Ok(Some(loaded)) if !loaded.row.status.is_final() => Ok(loaded),
            Ok(Some(loaded)) => Err(OperateError::State {
                status: loaded.row.status,
                expected,
                verb,
            }),
            Ok(None) => Err(OperateError::NotFound(invocation)),
            Err(error) => Err(unavailable(error)),
        }
    }
}

pub(crate) fn unavailable(error: host_store::Error) -> OperateError {
    OperateError::Store(error.to_string())
}
