//! What an operator may do to a dead letter: an event whose delivery was given up, so that its invocation is paused.

use std::sync::Arc;

use host_journal::{Body, FenceReason, InvocationStatus, Payload, Undone, compensations, standing_effects};
use host_store::{AuditFilter, DeadFilter, DeadLetter, Loaded};
use host_types::InvocationId;

use crate::database::DeliverEvents;
use crate::invoker::Invoker;
use crate::operate::{Asked, OperateError, Spoken, unavailable};
use crate::recovery::begin;
use crate::run::{Output, encode};

/// What became of a dead letter that was replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// Nothing it did stands: it is delivered anew, by the current deployment.
    Anew,
    /// It goes on where it stopped, on the revisions it began with: what it did is not done again.
    Resumed,
}

/// What the audit log says of one that is delivered anew.
const ANEW: &str = "delivered anew";

/// What a word is said to.
enum Found {
    Dead(Box<Loaded>),
    /// It is none any more, and this word was said of it last; what it came to.
    Said(String),
}

/// The dead letters of all nodes.
pub struct DeadLetters {
    invoker: Invoker,
    store: Arc<dyn DeliverEvents>,
}

impl DeadLetters {
    /// As this invoker's node sees them.
    pub fn new(invoker: Invoker, store: Arc<impl DeliverEvents>) -> Self {
        Self { invoker, store }
    }

    /// Some of them, newest first.
    pub async fn list(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>, OperateError> {
        self.store.dead_letters(filter).await.map_err(unavailable)
    }

    /// Delivers one once more. Saying it again changes nothing, unless that has become a dead letter, too.
    pub async fn replay(&self, invocation: InvocationId, asked: &Asked) -> Result<Replayed, OperateError> {
        let inner = &self.invoker.inner;
        loop {
            let loaded = match self.find("replay", invocation).await? {
                Found::Dead(loaded) => *loaded,
                Found::Said(outcome) if outcome == ANEW => return Ok(Replayed::Anew),
                Found::Said(_) => return Ok(Replayed::Resumed),
            };
            let replayed = match self.is_untouched(&loaded)? {
                true => Replayed::Anew,
                false => Replayed::Resumed,
            };
            let said = match replayed {
                Replayed::Anew => {
                    let spoken = Spoken {
                        verb: "replay",
                        outcome: ANEW.into(),
                        reason: FenceReason::Cancel("its event is delivered anew".into()),
                        more: vec![Body::Output(encode(&Output::Cancelled))],
                        status: InvocationStatus::Cancelled,
                        deployment: None,
                    };
                    let prepared = inner.prepare(loaded, spoken, asked);
                    let written = self.store.renew_delivery(&prepared.fence, &prepared.word).await;
                    inner.said(prepared, written)?
                }
                Replayed::Resumed => {
                    let spoken = Spoken {
                        verb: "replay",
                        outcome: "goes on where it stopped".into(),
                        reason: FenceReason::Resume,
                        more: Vec::new(),
                        status: InvocationStatus::Running,
                        deployment: None,
                    };
                    inner.say(loaded, spoken, asked).await?
                }
            };
            if let Some(recovered) = said {
                match replayed {
                    Replayed::Anew => inner.deliver(),
                    Replayed::Resumed if inner.is_draining() => {}
                    Replayed::Resumed => {
                        begin(inner, recovered).await;
                    }
                }
                return Ok(replayed);
            }
        }
    }

    /// Gives one up: what its delivery did is undone as far as that was foreseen, and the events that wait for it go on. Saying it again
    /// changes nothing.
    pub async fn give_up(&self, invocation: InvocationId, asked: &Asked) -> Result<(), OperateError> {
        if matches!(self.find("drop", invocation).await?, Found::Said(_)) {
            return Ok(());
        }
        self.invoker.cancel_as("drop", invocation, asked).await?;
        self.invoker.inner.deliver();
        Ok(())
    }

    async fn find(&self, verb: &str, invocation: InvocationId) -> Result<Found, OperateError> {
        let filter = DeadFilter {
            invocation: Some(invocation),
            limit: 1,
            ..DeadFilter::default()
        };
        if !self.list(&filter).await?.is_empty() {
            let loaded = self.invoker.inner.store.load(invocation).await.map_err(unavailable)?;
            let loaded = loaded.ok_or(OperateError::NotFound(invocation))?;
            // Somebody else may have set it going since: then it is none any more.
            if loaded.row.status == InvocationStatus::Paused {
                return Ok(Found::Dead(Box::new(loaded)));
            }
        }
        let filter = AuditFilter {
            invocation: Some(invocation),
            limit: 1,
            ..AuditFilter::default()
        };
        let said = self.store.audit(&filter).await.map_err(unavailable)?.pop();
        if let Some(said) = said.filter(|said| said.verb == verb) {
            return Ok(Found::Said(said.outcome));
        }
        let text = format!("{invocation} is no dead letter: `nexus events dead-letters` lists those there are");
        Err(OperateError::Refused(text))
    }

    /// Nothing that it did stands, and nothing is to be undone.
    fn is_untouched(&self, loaded: &Loaded) -> Result<bool, OperateError> {
        let untold = |error: String| OperateError::Refused(format!("what it did cannot be told: {error}"));
        let handlers = self.invoker.inner.current();
        let is_committed = |record: &Payload| handlers.is_committed(record);
        let standing = standing_effects(&loaded.entries, is_committed, Undone::AsRecorded).map_err(untold)?;
        let open = compensations(&loaded.entries).map_err(untold)?;
        Ok(standing.is_empty() && open.is_empty())
    }
}
