//! Open invocations that cannot be run, whoever tries and however often: their deployment cannot be built, or their journal is none.
//! They are paused with the reason, for a person; `resume` tries again.

use std::error::Error;

use host_journal::{AppendError, Body, Cause, Entry, FenceReason, InvocationStatus, encode};
use host_store::Fence;
use host_types::InvocationId;

use crate::invoker::Inner;

/// The pause could not be written; it is for another try.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotPaused {
    #[error(transparent)]
    Store(#[from] host_store::Error),
    #[error(transparent)]
    Append(AppendError),
}

impl Inner {
    /// Pauses an open invocation of this node. Of its journal a fence needs no more than the length. One that somebody else has fenced
    /// meanwhile is left alone: perhaps what was in the way is gone with that.
    pub(crate) async fn give_up(&self, invocation: InvocationId, reason: &str) -> Result<(), NotPaused> {
        let Some((row, bodies)) = self.store.stored(invocation).await? else {
            return Ok(());
        };
        if !self.owns(&row) {
            return Ok(());
        }
        let cause = Cause::new(None, &format!("it cannot be run: {reason}"), false);
        let attempt = row.attempt + 1;
        let fence = Entry {
            index: bodies.last().map_or(0, |(index, _)| index + 1),
            body: Body::Fence {
                attempt,
                node: self.store.node(),
                reason: FenceReason::Pause(cause.clone()),
            },
        };
        // A fence has no payload: the salt does not matter.
        let seal = self.store.seal(invocation, None);
        let written = self.store.fence(Fence {
            invocation,
            next_index: fence.index,
            bodies: vec![encode(&fence, &*seal)],
            start: None,
            status: InvocationStatus::Paused,
            owner: None,
            attempt,
            failures: row.failures + 1,
            due_ms: None,
            cause: Some(cause.text),
        });
        match written.await {
            Ok(()) => {
                tracing::error!(invocation.id = %invocation, component.id = %row.component, reason, "an open invocation is paused: it cannot be run");
                self.metrics.paused(&row.component);
                Ok(())
            }
            Err(AppendError::Fenced) => Ok(()),
            Err(error) => Err(NotPaused::Append(error)),
        }
    }

    /// The same for whoever has no time to try again: one that is not paused is found again, as a stray.
    pub(crate) async fn give_up_once(&self, invocation: InvocationId, reason: &str) {
        if let Err(error) = self.give_up(invocation, reason).await {
            tracing::warn!(invocation.id = %invocation, reason, %error, "an open invocation cannot be run, and cannot be paused yet");
        }
    }
}

/// Why a journal cannot be read, with what is wrong in it.
pub(crate) fn unreadable(error: &host_store::Error) -> String {
    let mut text = format!("its journal cannot be read: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Why what is stored cannot be replayed.
pub(crate) fn no_history(error: &str) -> String {
    format!("what is stored of it is no history: {error}")
}
