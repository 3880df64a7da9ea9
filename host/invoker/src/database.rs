//! What an invoker asks of the database that all nodes share: `host-store` answers over PostgreSQL, the simulation of `host/testing`
//! from memory, with every failure a database can have. A trait per kind of question; [`Database`] is all of them.

use host_journal::{AppendError, AppendJournal, Claim, KeyId, Message, WorkflowKey};
use host_recorder::Answer;
use host_store::{
    Asked, AuditFilter, Begun, Bodies, CronLine, DeadFilter, DeadLetter, Deployment, Fence, GoneBecause, Head,
    Heartbeat, HeldKey, InvocationRow, KeyPlace, Left, Loaded, Met, PromiseOutcome, PromiseWord, Result, Said, Store,
    StoredPromise, Subscription, SubscriptionId, Tick, Wake, Wakeups, Word,
};
use host_types::{ComponentId, DeploymentNumber, Digest, InvocationId, NodeId, PromiseId};

/// Everything.
pub trait Database:
    AppendJournal + ReadInvocations + AppendFences + FindWork + KeepLease + TellNodes + ReadDeployments
{
}

impl<T> Database for T where
    T: AppendJournal + ReadInvocations + AppendFences + FindWork + KeepLease + TellNodes + ReadDeployments
{
}

/// What is recorded. Each is [`Store`]'s function of the same name, as are those of the other traits.
pub trait ReadInvocations: Send + Sync + 'static {
    /// An invocation with all its entries.
    fn load(&self, invocation: InvocationId) -> Answer<'_, Result<Option<Loaded>>>;
    /// Its row alone.
    fn row(&self, invocation: InvocationId) -> Answer<'_, Result<Option<InvocationRow>>>;
    /// Its row with its entries as they are stored, both of one moment.
    fn stored(&self, invocation: InvocationId) -> Answer<'_, Result<Option<(InvocationRow, Bodies)>>>;
    /// The one it was restarted as.
    fn successor(&self, invocation: InvocationId) -> Answer<'_, Result<Option<InvocationId>>>;
    /// A promise.
    fn promise(&self, promise: PromiseId) -> Answer<'_, Result<Option<StoredPromise>>>;
    /// The invocation that is a workflow.
    fn workflow<'a>(&'a self, key: &'a WorkflowKey) -> Answer<'a, Result<Option<InvocationId>>>;
    /// Where an invocation stands in the queue of an exclusive key.
    fn key_place(&self, key: KeyId, invocation: InvocationId) -> Answer<'_, Result<KeyPlace>>;
    /// The exclusive keys that an invocation has a place for.
    fn places(&self, invocation: InvocationId) -> Answer<'_, Result<Vec<KeyId>>>;
    /// A promise of a workflow, by its name.
    fn workflow_promise<'a>(&'a self, key: &'a WorkflowKey, name: &'a str) -> Answer<'a, Result<Option<PromiseId>>>;
    /// Whether a wait for this output would close a circle.
    fn closes_circle(&self, invocation: InvocationId, promise: PromiseId) -> Answer<'_, Result<bool>>;
    /// How many invocations of a component are open; it stops counting at the limit.
    fn open_count<'a>(&'a self, component: &'a ComponentId, limit: u64) -> Answer<'a, Result<u64>>;
    /// Who holds the idempotency key of a claim.
    fn find_key<'a>(&'a self, claim: &'a Claim) -> Answer<'a, Result<Option<HeldKey>>>;
}

/// How an invocation changes hands, and what a person says of what it waits for.
pub trait AppendFences: Send + Sync + 'static {
    /// Appends a fence in a commit of its own.
    fn fence(&self, fence: Fence) -> Answer<'_, Result<(), AppendError>>;
    /// The same, and the invocation is pinned to this deployment from there on.
    fn fence_and_pin(&self, fence: Fence, number: DeploymentNumber) -> Answer<'_, Result<(), AppendError>>;
    /// The same with an operator's word.
    fn fence_with_word<'a>(&'a self, fence: &'a Fence, word: &'a Word) -> Answer<'a, Result<(), AppendError>>;
    /// Completes a promise by an operator's word.
    fn complete_promise<'a>(
        &'a self,
        promise: PromiseId,
        value: &'a [u8],
        said: &'a PromiseWord,
    ) -> Answer<'a, Result<PromiseOutcome>>;
}

/// What there is to do.
pub trait FindWork: Send + Sync + 'static {
    /// Gives this node invocations that nobody owns and whose time has come.
    fn due<'a>(&'a self, limit: u32, left: &'a Left) -> Answer<'a, Result<Vec<(InvocationId, bool)>>>;
    /// Gives this node suspended ones that a promise woke.
    fn woken(&self, limit: u32) -> Answer<'_, Result<Vec<InvocationId>>>;
    /// What this node owns.
    fn owned(&self) -> Answer<'_, Result<Vec<InvocationId>>>;
    /// Which of these are not this node's. One without a row is.
    fn not_owned<'a>(&'a self, running: &'a [InvocationId]) -> Answer<'a, Result<Vec<InvocationId>>>;
    /// Gives up what this node owns, but for some.
    fn release<'a>(&'a self, kept: &'a [InvocationId]) -> Answer<'a, Result<u64>>;
    /// Gives up one of them that has not begun here.
    fn give_back(&self, invocation: InvocationId) -> Answer<'_, Result<()>>;
    /// How long until the next one is due.
    fn next_due(&self) -> Answer<'_, Result<Option<u64>>>;
}

/// Who is alive.
pub trait KeepLease: Send + Sync + 'static {
    /// This node.
    fn node(&self) -> NodeId;
    /// Renews its lease.
    fn heartbeat(&self) -> Answer<'_, Result<Heartbeat>>;
    /// Nodes to take over from.
    fn dead_nodes(&self) -> Answer<'_, Result<Vec<NodeId>>>;
    /// Declares a node gone.
    fn mark_gone(&self, node: NodeId, because: GoneBecause) -> Answer<'_, Result<bool>>;
    /// Ends what a gone node had begun.
    fn end_backends(&self, node: NodeId) -> Answer<'_, Result<()>>;
    /// The same, and fences what it left open.
    fn take_over(&self, node: NodeId, limit: u32) -> Answer<'_, Result<Vec<(InvocationId, ComponentId)>>>;
}

/// Hints from node to node.
pub trait TellNodes: Send + Sync + 'static {
    /// Tells all nodes, soon and without waiting.
    fn notify(&self, wake: Wake);
    /// Begins to listen.
    fn listen(&self) -> Answer<'_, Result<Box<dyn HearNodes>>>;
}

/// The hints, one after the other.
pub trait HearNodes: Send + 'static {
    /// The next one.
    fn next(&mut self) -> Answer<'_, Wake>;
}

/// What invocations are pinned to.
pub trait ReadDeployments: Send + Sync + 'static {
    /// A deployment.
    fn deployment(&self, number: DeploymentNumber) -> Answer<'_, Result<Deployment>>;
    /// The bytes of a revision.
    fn revision(&self, digest: Digest) -> Answer<'_, Result<Vec<u8>>>;
    /// Whether another live node runs on this deployment, or on one with all of these components.
    fn runs_elsewhere<'a>(
        &'a self,
        number: DeploymentNumber,
        components: &'a [ComponentId],
    ) -> Answer<'a, Result<bool>>;
}

/// The clock's ticks, of all nodes. Asked by [`Cron`](crate::Cron) alone.
pub trait MeetTicks: Send + Sync + 'static {
    /// The time, and the last tick of each of these lines.
    fn last_ticks<'a>(&'a self, lines: &'a [CronLine<'a>]) -> Answer<'a, Result<(u64, Vec<Option<u64>>)>>;
    /// From now on the ticks of this line count.
    fn count_ticks<'a>(&'a self, line: CronLine<'a>) -> Answer<'a, Result<()>>;
    /// Meets a tick, and begins its invocation.
    fn meet_tick(&self, tick: Tick) -> Answer<'_, Result<Met>>;
}

/// Says which invocation delivers an event, if one is to.
pub type BeginDelivery<'a> = &'a (dyn Fn(&Head) -> Option<Message> + Send + Sync);

/// Events on their way to who subscribes. Asked by [`Deliveries`](crate::Deliveries) and [`DeadLetters`](crate::DeadLetters) alone.
pub trait DeliverEvents: Send + Sync + 'static {
    /// Puts down what this node subscribes to.
    fn register_subscriptions<'a>(
        &'a self,
        subscriptions: &'a [Subscription],
    ) -> Answer<'a, Result<Vec<SubscriptionId>>>;
    /// Begins what is first in its lane.
    fn begin_deliveries<'a>(&'a self, asked: &'a [Asked], begin: BeginDelivery<'a>) -> Answer<'a, Result<Begun>>;
    /// What was given up.
    fn dead_letters<'a>(&'a self, filter: &'a DeadFilter) -> Answer<'a, Result<Vec<DeadLetter>>>;
    /// An operator's word by which one is delivered anew.
    fn renew_delivery<'a>(&'a self, fence: &'a Fence, word: &'a Word) -> Answer<'a, Result<(), AppendError>>;
    /// What operators said.
    fn audit<'a>(&'a self, filter: &'a AuditFilter) -> Answer<'a, Result<Vec<Said>>>;
}

impl ReadInvocations for Store {
    fn load(&self, invocation: InvocationId) -> Answer<'_, Result<Option<Loaded>>> {
        Box::pin(self.load(invocation))
    }

    fn row(&self, invocation: InvocationId) -> Answer<'_, Result<Option<InvocationRow>>> {
        Box::pin(self.row(invocation))
    }

    fn stored(&self, invocation: InvocationId) -> Answer<'_, Result<Option<(InvocationRow, Bodies)>>> {
        Box::pin(self.stored(invocation))
    }

    fn successor(&self, invocation: InvocationId) -> Answer<'_, Result<Option<InvocationId>>> {
        Box::pin(self.successor(invocation))
    }

    fn promise(&self, promise: PromiseId) -> Answer<'_, Result<Option<StoredPromise>>> {
        Box::pin(self.promise(promise))
    }

    fn workflow<'a>(&'a self, key: &'a WorkflowKey) -> Answer<'a, Result<Option<InvocationId>>> {
        Box::pin(self.workflow(key))
    }

    fn workflow_promise<'a>(&'a self, key: &'a WorkflowKey, name: &'a str) -> Answer<'a, Result<Option<PromiseId>>> {
        Box::pin(self.workflow_promise(key, name))
    }

    fn closes_circle(&self, invocation: InvocationId, promise: PromiseId) -> Answer<'_, Result<bool>> {
        Box::pin(self.closes_circle(invocation, promise))
    }

    fn key_place(&self, key: KeyId, invocation: InvocationId) -> Answer<'_, Result<KeyPlace>> {
        Box::pin(self.key_place(key, invocation))
    }

    fn places(&self, invocation: InvocationId) -> Answer<'_, Result<Vec<KeyId>>> {
        Box::pin(self.places(invocation))
    }

    fn open_count<'a>(&'a self, component: &'a ComponentId, limit: u64) -> Answer<'a, Result<u64>> {
        Box::pin(self.open_count(component, limit))
    }

    fn find_key<'a>(&'a self, claim: &'a Claim) -> Answer<'a, Result<Option<HeldKey>>> {
        Box::pin(self.find_key(claim))
    }
}

impl AppendFences for Store {
    fn fence(&self, fence: Fence) -> Answer<'_, Result<(), AppendError>> {
        Box::pin(self.fence(fence))
    }

    fn fence_and_pin(&self, fence: Fence, number: DeploymentNumber) -> Answer<'_, Result<(), AppendError>> {
        Box::pin(self.fence_and_pin(fence, number))
    }

    fn fence_with_word<'a>(&'a self, fence: &'a Fence, word: &'a Word) -> Answer<'a, Result<(), AppendError>> {
        Box::pin(self.fence_with_word(fence, word))
    }

    fn complete_promise<'a>(
        &'a self,
        promise: PromiseId,
        value: &'a [u8],
        said: &'a PromiseWord,
    ) -> Answer<'a, Result<PromiseOutcome>> {
        Box::pin(self.complete_promise(promise, value, said))
    }
}

impl FindWork for Store {
    fn due<'a>(&'a self, limit: u32, left: &'a Left) -> Answer<'a, Result<Vec<(InvocationId, bool)>>> {
        Box::pin(self.due(limit, left))
    }

    fn woken(&self, limit: u32) -> Answer<'_, Result<Vec<InvocationId>>> {
        Box::pin(self.woken(limit))
    }

    fn owned(&self) -> Answer<'_, Result<Vec<InvocationId>>> {
        Box::pin(self.owned())
    }

    fn not_owned<'a>(&'a self, running: &'a [InvocationId]) -> Answer<'a, Result<Vec<InvocationId>>> {
        Box::pin(self.not_owned(running))
    }

    fn release<'a>(&'a self, kept: &'a [InvocationId]) -> Answer<'a, Result<u64>> {
        Box::pin(self.release(kept))
    }

    fn give_back(&self, invocation: InvocationId) -> Answer<'_, Result<()>> {
        Box::pin(self.give_back(invocation))
    }

    fn next_due(&self) -> Answer<'_, Result<Option<u64>>> {
        Box::pin(self.next_due())
    }
}

impl KeepLease for Store {
    fn node(&self) -> NodeId {
        self.node()
    }

    fn heartbeat(&self) -> Answer<'_, Result<Heartbeat>> {
        Box::pin(self.heartbeat())
    }

    fn dead_nodes(&self) -> Answer<'_, Result<Vec<NodeId>>> {
        Box::pin(self.dead_nodes())
    }

    fn mark_gone(&self, node: NodeId, because: GoneBecause) -> Answer<'_, Result<bool>> {
        Box::pin(self.mark_gone(node, because))
    }

    fn end_backends(&self, node: NodeId) -> Answer<'_, Result<()>> {
        Box::pin(self.end_backends(node))
    }

    fn take_over(&self, node: NodeId, limit: u32) -> Answer<'_, Result<Vec<(InvocationId, ComponentId)>>> {
        Box::pin(self.take_over(node, limit))
    }
}

impl TellNodes for Store {
    fn notify(&self, wake: Wake) {
        self.notify(wake);
    }

    fn listen(&self) -> Answer<'_, Result<Box<dyn HearNodes>>> {
        Box::pin(async move { Ok(Box::new(self.listen().await?) as Box<dyn HearNodes>) })
    }
}

impl HearNodes for Wakeups {
    fn next(&mut self) -> Answer<'_, Wake> {
        Box::pin(self.next())
    }
}

impl ReadDeployments for Store {
    fn deployment(&self, number: DeploymentNumber) -> Answer<'_, Result<Deployment>> {
        Box::pin(self.deployment(number))
    }

    fn revision(&self, digest: Digest) -> Answer<'_, Result<Vec<u8>>> {
        Box::pin(self.revision(digest))
    }

    fn runs_elsewhere<'a>(
        &'a self,
        number: DeploymentNumber,
        components: &'a [ComponentId],
    ) -> Answer<'a, Result<bool>> {
        Box::pin(self.runs_elsewhere(number, components))
    }
}

impl MeetTicks for Store {
    fn last_ticks<'a>(&'a self, lines: &'a [CronLine<'a>]) -> Answer<'a, Result<(u64, Vec<Option<u64>>)>> {
        Box::pin(self.last_ticks(lines))
    }

    fn count_ticks<'a>(&'a self, line: CronLine<'a>) -> Answer<'a, Result<()>> {
        Box::pin(self.count_ticks(line))
    }

    fn meet_tick(&self, tick: Tick) -> Answer<'_, Result<Met>> {
        Box::pin(self.meet_tick(tick))
    }
}

impl DeliverEvents for Store {
    fn register_subscriptions<'a>(
        &'a self,
        subscriptions: &'a [Subscription],
    ) -> Answer<'a, Result<Vec<SubscriptionId>>> {
        Box::pin(self.register_subscriptions(subscriptions))
    }

    fn begin_deliveries<'a>(&'a self, asked: &'a [Asked], begin: BeginDelivery<'a>) -> Answer<'a, Result<Begun>> {
        Box::pin(self.begin_deliveries(asked, begin))
    }

    fn dead_letters<'a>(&'a self, filter: &'a DeadFilter) -> Answer<'a, Result<Vec<DeadLetter>>> {
        Box::pin(self.dead_letters(filter))
    }

    fn renew_delivery<'a>(&'a self, fence: &'a Fence, word: &'a Word) -> Answer<'a, Result<(), AppendError>> {
        Box::pin(self.renew_delivery(fence, word))
    }

    fn audit<'a>(&'a self, filter: &'a AuditFilter) -> Answer<'a, Result<Vec<Said>>> {
        Box::pin(self.audit(filter))
    }
}
