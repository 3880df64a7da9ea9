//! What the host does for an operator. Narrow on purpose: the server needs no more, and a test can answer all of it.

use std::future::Future;
use std::pin::Pin;

use host_types::{ComponentId, Digest, InvocationId, Position, WaitingFor};

use crate::audit::{AuditFilter, AuditView};
use crate::components::{ActivatedView, ComponentView, UploadedView, Uploading};
use crate::dead_letters::{DeadLetterFilter, DeadLetterVerb, DeadLettersView, SettledView};
use crate::journal::InvocationDetail;
use crate::promise::{PromiseName, PromiseView};
use crate::replay::{ReplayView, Replaying};
use crate::steer::{Answer, Asked, Manner, Verb};
use crate::view::{InvocationView, InvocationsView, NodeView, Status};

/// Which invocations to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only those that stand here.
    pub status: Option<Status>,
    /// Only those that began in this component.
    pub component: Option<ComponentId>,
    /// Only those that began with this function.
    pub function: Option<String>,
    /// Only those that began longer ago than this, milliseconds.
    pub older_than_ms: Option<u64>,
    /// Only those whose cause holds this text, whatever its case; none that are completed.
    pub cause: Option<String>,
    /// Only suspended ones that wait for this.
    pub waiting_for: Option<WaitingFor>,
    /// Only the one that answers this idempotency key.
    pub idempotency_key: Option<String>,
    /// Whose key that is: the subject of the client's token.
    pub subject: Option<String>,
    /// How many at most, 1 to [`MAX_LIMIT`](crate::MAX_LIMIT); the server's default when none.
    pub limit: Option<u32>,
    /// Only those after this one: the `next_cursor` of the page before.
    pub cursor: Option<InvocationId>,
}

/// Why an operator's word had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// No such invocation, or nothing of it is durable.
    #[error("there is no invocation {0}")]
    NotFound(InvocationId),
    /// No such promise, or no such workflow. The text says which.
    #[error("{0}")]
    NoPromise(String),
    /// No such component. The text says which there are.
    #[error("{0}")]
    NoComponent(String),
    /// No such revision, or none of that component. The text says so.
    #[error("{0}")]
    NoRevision(String),
    /// It is done, and some nodes have not said yet that they follow. The text names them.
    #[error("{0}")]
    Unacknowledged(String),
    /// It does not stand where it could be done. The text says where it stands.
    #[error("{0}")]
    Conflict(String),
    /// What came with the word is not right; the text says what would be.
    #[error("{0}")]
    Invalid(String),
    /// The database did not answer; another try may succeed.
    #[error("{0}")]
    Unavailable(String),
}

/// An operation under way.
pub type Operation<'a, T> = Pin<Box<dyn Future<Output = Result<T, OperateError>> + Send + 'a>>;

/// Looks into the host, and steers invocations.
pub trait Operate: Send + Sync + 'static {
    /// All components of the current deployment.
    fn components(&self) -> Operation<'_, Vec<ComponentView>>;

    /// Checks a revision and keeps it; activates it if that is asked for. Said twice it is done once.
    fn upload(&self, component: ComponentId, uploading: Uploading, asked: Asked) -> Operation<'_, UploadedView>;

    /// Lets new invocations run on a revision that was uploaded. Answers when all live nodes do so. Said twice it is done once.
    fn activate(&self, component: ComponentId, revision: Digest, asked: Asked) -> Operation<'_, ActivatedView>;

    /// Activates what was active before.
    fn rollback(&self, component: ComponentId, asked: Asked) -> Operation<'_, ActivatedView>;

    /// A page of invocations, newest first. `filter.limit` is set and within its bounds.
    fn list(&self, filter: Filter) -> Operation<'_, InvocationsView>;

    /// An invocation with its journal.
    fn show(&self, invocation: InvocationId) -> Operation<'_, InvocationDetail>;

    /// Does it. Said twice it is done once. Answers with the invocation as it stands then: of a restart, the new one.
    fn steer(
        &self,
        verb: Verb,
        invocation: InvocationId,
        manner: Manner,
        asked: Asked,
    ) -> Operation<'_, InvocationView>;

    /// Answers a command of a paused invocation, which stays paused.
    fn complete_entry(
        &self,
        invocation: InvocationId,
        position: Position,
        answer: Answer,
        asked: Asked,
    ) -> Operation<'_, InvocationView>;

    /// Runs an invocation once more from its journal, without any effect.
    fn replay(&self, invocation: InvocationId, replaying: Replaying) -> Operation<'_, ReplayView>;

    /// Completes a promise. Said twice it is done once.
    fn complete_promise(&self, promise: PromiseName, value: Answer, asked: Asked) -> Operation<'_, PromiseView>;

    /// What operators said, newest first. `filter.limit` is set and within its bounds.
    fn audit(&self, filter: AuditFilter) -> Operation<'_, AuditView>;

    /// A page of dead letters, newest first. `filter.limit` is set and within its bounds.
    fn dead_letters(&self, filter: DeadLetterFilter) -> Operation<'_, DeadLettersView>;

    /// Replays or drops a dead letter. A second time it is none any more, which is a conflict.
    fn settle(&self, verb: DeadLetterVerb, id: InvocationId, asked: Asked) -> Operation<'_, SettledView>;

    /// Drops what waits for a subscription that no manifest has any more; how many events did. Of one that is not retired none, and nothing is
    /// said in the audit log.
    fn drop_retired(&self, component: ComponentId, subscription: String, asked: Asked) -> Operation<'_, u64>;

    /// All nodes, also those that left.
    fn nodes(&self) -> Operation<'_, Vec<NodeView>>;
}
