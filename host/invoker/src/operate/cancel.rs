//! `cancel`: the guest is stopped, what it pushed as compensations is run, and then the invocation is over.

use host_journal::{Body, FenceReason, InvocationStatus, cancelled, compensations};
use host_types::InvocationId;

use super::{Asked, OperateError, Spoken};
use crate::invoker::Invoker;
use crate::recovery::begin;
use crate::run::{Output, encode};

impl Invoker {
    /// Ends an open invocation. One that has nothing to undo has ended when this returns; of another one the compensations run from
    /// here on, whatever happens to this node, and it has ended after the last. Saying it again changes nothing.
    pub async fn cancel(&self, invocation: InvocationId, asked: &Asked) -> Result<(), OperateError> {
        self.cancel_as("cancel", invocation, asked).await
    }

    /// The same under another word.
    pub(crate) async fn cancel_as(
        &self,
        verb: &'static str,
        invocation: InvocationId,
        asked: &Asked,
    ) -> Result<(), OperateError> {
        loop {
            let loaded = match self.open(invocation, "an open one", "cancelled").await {
                Ok(loaded) => loaded,
                Err(OperateError::State {
                    status: InvocationStatus::Cancelled,
                    ..
                }) => return Ok(()),
                Err(error) => return Err(error),
            };
            if cancelled(&loaded.entries).is_some() {
                return Ok(());
            }
            let open = compensations(&loaded.entries)
                .map_err(|error| OperateError::Refused(format!("what is to be undone cannot be told: {error}")))?;
            let (more, status, outcome) = match open.len() {
                0 => (
                    vec![Body::Output(encode(&Output::Cancelled))],
                    InvocationStatus::Cancelled,
                    "cancelled, with nothing to undo".to_owned(),
                ),
                count => (
                    Vec::new(),
                    InvocationStatus::Running,
                    format!("running {count} compensations"),
                ),
            };
            let spoken = Spoken {
                verb,
                outcome,
                reason: FenceReason::Cancel(asked.reason.clone()),
                more,
                status,
                deployment: None,
            };
            if let Some(recovered) = self.inner.say(loaded, spoken, asked).await? {
                if status == InvocationStatus::Running && !self.inner.is_draining() {
                    // When it runs here already, it goes on by itself: it was halted, and looks again.
                    begin(&self.inner, recovered).await;
                }
                return Ok(());
            }
        }
    }
}
