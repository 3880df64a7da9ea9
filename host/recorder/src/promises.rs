//! What an attempt must be able to ask and be told of promises, and of everything else that is waited for.

use std::future::Future;
use std::pin::Pin;

use host_journal::{KeyId, Payload, WorkflowKey};
use host_types::{Fault, InvocationId, PromiseId};
use minicbor::{Decode, Encode};

use crate::Place;

/// Bytes of a promise's value at most: it is recorded by everybody who waits for it.
pub const MAX_PROMISE_BYTES: usize = 256 << 10;

/// A future without a name.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a promise stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromiseState {
    /// There is none of that id.
    Unknown,
    /// Nobody has completed it.
    Open,
    /// It was completed with this.
    Completed(Payload),
}

/// What completing a promise came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Completed {
    /// It has this value now.
    #[n(0)]
    Now,
    /// It had a value before, and keeps it.
    #[n(1)]
    Before,
    /// There is no such promise.
    #[n(2)]
    Unknown,
}

/// What a wait for a promise came to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Waited {
    /// It was completed with this.
    #[n(0)]
    Value(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// The time was up before.
    #[n(1)]
    TimedOut,
    /// There is no such promise.
    #[n(2)]
    Unknown,
}

/// Promises as they are now, and who waits for them on this node.
pub trait Promises: Send + Sync + 'static {
    /// Reads a promise.
    fn look(&self, promise: PromiseId) -> Answer<'_, Result<PromiseState, Fault>>;

    /// The invocation that is the workflow of this key, if there is one.
    fn workflow<'a>(&'a self, key: &'a WorkflowKey) -> Answer<'a, Result<Option<InvocationId>, Fault>>;

    /// The promise of this name of a workflow: it is there as soon as the workflow is. `None`: there is no such workflow.
    fn workflow_promise<'a>(
        &'a self,
        key: &'a WorkflowKey,
        name: &'a str,
    ) -> Answer<'a, Result<Option<PromiseId>, Fault>>;

    /// Whether a wait of the invocation for this promise would never end: it is the output of a workflow that waits for the invocation's, itself
    /// or through others.
    fn closes_circle(&self, invocation: InvocationId, promise: PromiseId) -> Answer<'_, Result<bool, Fault>>;

    /// Where an invocation stands in the queue of an exclusive key.
    fn place(&self, key: KeyId, invocation: InvocationId) -> Answer<'_, Result<Place, Fault>>;

    /// Returns once this may have changed, and after a while in any case. What changes after the call of this function is not missed,
    /// even before the future is polled.
    fn changed(&self, watched: Watched) -> Answer<'_, ()>;

    /// Room for a wait that keeps its instance, until this is dropped; `None` when there is none.
    fn hold(&self) -> Option<Hold>;

    /// The node stops: no instance may be kept any more. What waits on [`Promises::changed`] is told.
    fn is_stopping(&self) -> bool;

    /// An append is durable that completed these promises, gave up these keys, or (`due`) made invocations due.
    fn announce(&self, completed: &[PromiseId], released: &[KeyId], due: bool);

    /// An append is durable that published events.
    fn published(&self) {}
}

/// Room for one wait that keeps its instance.
pub type Hold = Box<dyn Send + Sync>;

/// What may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watched {
    /// Nothing but the time, and whether the node stops.
    Time,
    /// Whether a promise is completed.
    Promise(PromiseId),
    /// Who stands first in the queue of an exclusive key.
    Key(KeyId),
}
