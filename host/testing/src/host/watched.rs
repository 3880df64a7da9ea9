//! The store, as the invoker of a test host sees it: fences are moments at which the process may end, one that is over writes
//! nothing any more, and due times are translated from the test's clock to the database's, which cannot be set forward.

use std::sync::Arc;

use host_invoker::{AppendFences, FindWork, HearNodes, KeepLease, ReadDeployments, ReadInvocations, TellNodes};
use host_journal::{Append, AppendError, AppendJournal, Claim, HostStatement, KeyId, Seal, WorkflowKey};
use host_recorder::Answer;
use host_store::{
    Bodies, Deployment, Fence, GoneBecause, Heartbeat, HeldKey, InvocationRow, KeyPlace, Left, Loaded, PromiseOutcome,
    PromiseWord, Result, Store, StoredPromise, Wake, Word,
};
use host_types::{ComponentId, DeploymentNumber, Digest, InvocationId, NodeId, PromiseId};

use super::Disturbance;
use crate::SimClock;

pub(crate) struct Watched {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) disturbance: Arc<Disturbance>,
}

impl Watched {
    /// The moment on the database's clock at which this one comes on the test's.
    fn on_the_databases(&self, due_ms: u64) -> u64 {
        due_ms.saturating_sub(self.clock.skipped_ms())
    }

    fn translated(&self, mut append: Append) -> Append {
        for message in &mut append.messages {
            message.due_ms = self.on_the_databases(message.due_ms);
        }
        if let Some(due_ms) = append
            .suspension
            .as_mut()
            .and_then(|suspension| suspension.due_ms.as_mut())
        {
            *due_ms = self.on_the_databases(*due_ms);
        }
        append
    }

    fn translated_fence(&self, mut fence: Fence) -> Fence {
        fence.due_ms = fence.due_ms.map(|due_ms| self.on_the_databases(due_ms));
        fence
    }

    async fn fenced<T>(&self, write: impl Future<Output = T>) -> T {
        self.disturbance.moment().await;
        let written = write.await;
        self.disturbance.moment().await;
        written
    }

    async fn passed<T>(&self, ask: impl Future<Output = T>) -> T {
        self.disturbance.go_on().await;
        ask.await
    }
}

impl AppendJournal for Watched {
    fn seal(&self, invocation: InvocationId, erasure_salt: Option<[u8; 32]>) -> Arc<dyn Seal> {
        AppendJournal::seal(&*self.store, invocation, erasure_salt)
    }

    fn claim_statement(&self, invocation: InvocationId, claim: &Claim) -> HostStatement {
        self.store.claim_statement(invocation, claim)
    }

    fn append_statements(&self, append: &Append) -> Vec<HostStatement> {
        self.store.append_statements(&self.translated(append.clone()))
    }

    fn append(&self, append: Append) -> Answer<'_, std::result::Result<(), AppendError>> {
        AppendJournal::append(&*self.store, self.translated(append))
    }

    fn append_lazily(&self, append: Append) {
        // Nobody waits for it: the recorder knows no moment here.
        self.disturbance.moment_now();
        self.store.append_lazily(self.translated(append));
    }
}

impl ReadInvocations for Watched {
    fn load(&self, invocation: InvocationId) -> Answer<'_, Result<Option<Loaded>>> {
        Box::pin(self.passed(self.store.load(invocation)))
    }

    fn row(&self, invocation: InvocationId) -> Answer<'_, Result<Option<InvocationRow>>> {
        Box::pin(self.passed(self.store.row(invocation)))
    }

    fn stored(&self, invocation: InvocationId) -> Answer<'_, Result<Option<(InvocationRow, Bodies)>>> {
        Box::pin(self.passed(self.store.stored(invocation)))
    }

    fn successor(&self, invocation: InvocationId) -> Answer<'_, Result<Option<InvocationId>>> {
        Box::pin(self.passed(self.store.successor(invocation)))
    }

    fn promise(&self, promise: PromiseId) -> Answer<'_, Result<Option<StoredPromise>>> {
        Box::pin(self.passed(self.store.promise(promise)))
    }

    fn workflow<'a>(&'a self, key: &'a WorkflowKey) -> Answer<'a, Result<Option<InvocationId>>> {
        Box::pin(self.passed(self.store.workflow(key)))
    }

    fn key_place(&self, key: KeyId, invocation: InvocationId) -> Answer<'_, Result<KeyPlace>> {
        Box::pin(self.passed(self.store.key_place(key, invocation)))
    }

    fn places(&self, invocation: InvocationId) -> Answer<'_, Result<Vec<KeyId>>> {
        Box::pin(self.passed(self.store.places(invocation)))
    }

    fn workflow_promise<'a>(&'a self, key: &'a WorkflowKey, name: &'a str) -> Answer<'a, Result<Option<PromiseId>>> {
        Box::pin(self.passed(self.store.workflow_promise(key, name)))
    }

    fn closes_circle(&self, invocation: InvocationId, promise: PromiseId) -> Answer<'_, Result<bool>> {
        Box::pin(self.passed(self.store.closes_circle(invocation, promise)))
    }

    fn open_count<'a>(&'a self, component: &'a ComponentId, limit: u64) -> Answer<'a, Result<u64>> {
        Box::pin(self.passed(self.store.open_count(component, limit)))
    }

    fn find_key<'a>(&'a self, claim: &'a Claim) -> Answer<'a, Result<Option<HeldKey>>> {
        Box::pin(self.passed(self.store.find_key(claim)))
    }
}

impl AppendFences for Watched {
    fn fence(&self, fence: Fence) -> Answer<'_, std::result::Result<(), AppendError>> {
        Box::pin(self.fenced(self.store.fence(self.translated_fence(fence))))
    }

    fn fence_and_pin(
        &self,
        fence: Fence,
        number: DeploymentNumber,
    ) -> Answer<'_, std::result::Result<(), AppendError>> {
        Box::pin(self.fenced(self.store.fence_and_pin(self.translated_fence(fence), number)))
    }

    fn fence_with_word<'a>(
        &'a self,
        fence: &'a Fence,
        word: &'a Word,
    ) -> Answer<'a, std::result::Result<(), AppendError>> {
        let fence = self.translated_fence(fence.clone());
        Box::pin(async move { self.fenced(self.store.fence_with_word(&fence, word)).await })
    }

    fn complete_promise<'a>(
        &'a self,
        promise: PromiseId,
        value: &'a [u8],
        said: &'a PromiseWord,
    ) -> Answer<'a, Result<PromiseOutcome>> {
        Box::pin(self.fenced(self.store.complete_promise(promise, value, said)))
    }
}

impl FindWork for Watched {
    fn due<'a>(&'a self, limit: u32, left: &'a Left) -> Answer<'a, Result<Vec<(InvocationId, bool)>>> {
        Box::pin(self.passed(self.store.due(limit, left)))
    }

    fn give_back(&self, invocation: InvocationId) -> Answer<'_, Result<()>> {
        Box::pin(self.passed(self.store.give_back(invocation)))
    }

    fn woken(&self, limit: u32) -> Answer<'_, Result<Vec<InvocationId>>> {
        Box::pin(self.passed(self.store.woken(limit)))
    }

    fn owned(&self) -> Answer<'_, Result<Vec<InvocationId>>> {
        Box::pin(self.passed(self.store.owned()))
    }

    fn not_owned<'a>(&'a self, running: &'a [InvocationId]) -> Answer<'a, Result<Vec<InvocationId>>> {
        Box::pin(self.passed(self.store.not_owned(running)))
    }

    fn release<'a>(&'a self, kept: &'a [InvocationId]) -> Answer<'a, Result<u64>> {
        Box::pin(self.passed(self.store.release(kept)))
    }

    fn next_due(&self) -> Answer<'_, Result<Option<u64>>> {
        Box::pin(self.passed(self.store.next_due()))
    }
}

impl KeepLease for Watched {
    fn node(&self) -> NodeId {
        self.store.node()
    }

    fn heartbeat(&self) -> Answer<'_, Result<Heartbeat>> {
        Box::pin(self.passed(self.store.heartbeat()))
    }

    fn dead_nodes(&self) -> Answer<'_, Result<Vec<NodeId>>> {
        Box::pin(self.passed(self.store.dead_nodes()))
    }

    fn mark_gone(&self, node: NodeId, because: GoneBecause) -> Answer<'_, Result<bool>> {
        Box::pin(self.passed(self.store.mark_gone(node, because)))
    }

    fn end_backends(&self, node: NodeId) -> Answer<'_, Result<()>> {
        Box::pin(self.passed(self.store.end_backends(node)))
    }

    fn take_over(&self, node: NodeId, limit: u32) -> Answer<'_, Result<Vec<(InvocationId, ComponentId)>>> {
        Box::pin(self.passed(self.store.take_over(node, limit)))
    }
}

impl TellNodes for Watched {
    fn notify(&self, wake: Wake) {
        self.store.notify(wake);
    }

    fn listen(&self) -> Answer<'_, Result<Box<dyn HearNodes>>> {
        Box::pin(self.passed(TellNodes::listen(&*self.store)))
    }
}

impl ReadDeployments for Watched {
    fn deployment(&self, number: DeploymentNumber) -> Answer<'_, Result<Deployment>> {
        Box::pin(self.passed(self.store.deployment(number)))
    }

    fn revision(&self, digest: Digest) -> Answer<'_, Result<Vec<u8>>> {
        Box::pin(self.passed(self.store.revision(digest)))
    }

    fn runs_elsewhere<'a>(
        &'a self,
        number: DeploymentNumber,
        components: &'a [ComponentId],
    ) -> Answer<'a, Result<bool>> {
        Box::pin(self.passed(self.store.runs_elsewhere(number, components)))
    }
}
