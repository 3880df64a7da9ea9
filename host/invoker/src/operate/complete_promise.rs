//! `complete-promise`: a value that would have come from outside, brought by a person.

use host_recorder::{MAX_PROMISE_BYTES, Promises};
use host_store::{PromiseOutcome, PromiseOwner, PromiseWord};
use host_types::PromiseId;

use super::{Asked, OperateError, unavailable};
use crate::invoker::Invoker;

impl Invoker {
    /// Completes a promise, and wakes those who wait for it. `false`: it had a value before, and keeps it.
    pub async fn complete_promise(
        &self,
        promise: PromiseId,
        value: &[u8],
        asked: &Asked,
    ) -> Result<(PromiseOwner, bool), OperateError> {
        if value.len() > MAX_PROMISE_BYTES {
            let text = format!(
                "a value of {} bytes: a promise holds at most {MAX_PROMISE_BYTES}",
                value.len()
            );
            return Err(OperateError::Refused(text));
        }
        let said = PromiseWord {
            operator: asked.by.clone(),
            reason: asked.reason.clone(),
        };
        match self
            .inner
            .store
            .complete_promise(promise, value, &said)
            .await
            .map_err(unavailable)?
        {
            PromiseOutcome::Now(owner) => {
                self.inner.waits.announce(&[promise], &[], true);
                Ok((owner, true))
            }
            PromiseOutcome::Before(owner) => Ok((owner, false)),
            PromiseOutcome::Output(owner) => Err(OperateError::Refused(format!(
                "it is the output of the workflow {}: it comes when that ends; cancel that if it will not",
                owner.invocation
            ))),
            PromiseOutcome::Unknown => Err(OperateError::NoPromise(promise)),
        }
    }
}
