//! What an operator may do to an invocation. Each word is an entry in its journal, safe at any moment and harmless when repeated.

use host_journal::{Cause, FenceReason, InvocationStatus};
use host_types::InvocationId;

use crate::invoker::Invoker;
use crate::recovery::run_here;

/// Why an operator's word had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// No such invocation, or nothing of it is durable.
    #[error("there is no invocation {0}")]
    NotFound(InvocationId),
    /// It is not in a state for that.
    #[error("the invocation is {status}; only a {expected} one can be {verb}")]
    State {
        /// Where it stands.
        status: InvocationStatus,
        /// Where it should stand.
        expected: InvocationStatus,
        /// What was asked.
        verb: &'static str,
    },
    /// The database did not answer.
    #[error("{0}")]
    Store(String),
}

impl Invoker {
    /// Sets a paused invocation going again, here. One that runs or has ended is left alone.
    pub async fn resume(&self, invocation: InvocationId) -> Result<(), OperateError> {
        match self.status(invocation).await? {
            InvocationStatus::Paused => {
                run_here(&self.inner, invocation, FenceReason::Resume).await;
                Ok(())
            }
            InvocationStatus::Running | InvocationStatus::Suspended => Ok(()),
            status => Err(OperateError::State {
                status,
                expected: InvocationStatus::Paused,
                verb: "resumed",
            }),
        }
    }

    /// Stops an open invocation at its next entry, until it is resumed.
    pub async fn pause(&self, invocation: InvocationId) -> Result<(), OperateError> {
        match self.status(invocation).await? {
            InvocationStatus::Running | InvocationStatus::Suspended => {
                let cause = Cause {
                    position: None,
                    text: "paused by an operator".into(),
                    trap: false,
                };
                self.inner.pause(invocation, cause).await.map_err(OperateError::Store)
            }
            InvocationStatus::Paused => Ok(()),
            status => Err(OperateError::State {
                status,
                expected: InvocationStatus::Running,
                verb: "paused",
            }),
        }
    }

    async fn status(&self, invocation: InvocationId) -> Result<InvocationStatus, OperateError> {
        match self.inner.store.load(invocation).await {
            Ok(Some(loaded)) => Ok(loaded.row.status),
            Ok(None) => Err(OperateError::NotFound(invocation)),
            Err(error) => Err(OperateError::Store(error.to_string())),
        }
    }
}
