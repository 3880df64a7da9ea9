//! The simulated database at rest: its rows, and what its functions do to them. They do what the functions in `migrations/host` do,
//! each call one commit. No time passes here, and nothing fails: that is the connection's part (`session.rs`).

mod events;
mod queues;
mod ticks;
mod workflows;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use host_journal::{Append, AppendError, Body, Claim, Entry, InvocationStatus, KeyId, Message, Start, decode};
use host_store::{Fence, InvocationRow, KeyPlace, Left, Loaded, PromiseOutcome, PromiseOwner, StoredEvent, Word};
use host_types::{InvocationId, NodeId, PromiseId};
use tokio::sync::Notify;

use super::sabotage::Sabotage;
use crate::seal::Plain;
pub(crate) use events::SUBSCRIPTION;

/// A row of a module: table and key.
pub(crate) type RowKey = (&'static str, u64);
/// Its columns.
pub(crate) type Row = Vec<i64>;
/// A line that a module appends to a table without a key.
pub(crate) type Line = (&'static str, Row);

/// A module's transaction that has not ended.
pub(crate) struct Open {
    pub(crate) node: NodeId,
}

/// An invocation with its entries.
pub(crate) struct Invocation {
    pub(crate) row: InvocationRow,
    pub(crate) bodies: Vec<Vec<u8>>,
    /// How many entries there were after each append.
    pub(crate) appends: Vec<usize>,
    /// What it has sent, for a bug to send again.
    sent: Vec<Message>,
    /// Who has fenced it for itself, until it is given to another.
    fenced_for: Option<NodeId>,
}

#[derive(Default)]
pub(crate) struct Promise {
    pub(crate) value: Option<Vec<u8>>,
    waiters: BTreeSet<InvocationId>,
}

pub(crate) struct Node {
    pub(crate) name: u64,
    pub(crate) heard_ms: u64,
    pub(crate) gone: bool,
    /// Connections of before are ended.
    pub(crate) session: u64,
}

/// All rows.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) invocations: BTreeMap<InvocationId, Invocation>,
    /// Those that have not ended.
    pub(crate) open: BTreeSet<InvocationId>,
    pub(crate) keys: BTreeMap<[u8; 32], Claim>,
    pub(crate) key_owners: BTreeMap<[u8; 32], InvocationId>,
    pub(crate) promises: BTreeMap<PromiseId, Promise>,
    wakeups: VecDeque<InvocationId>,
    /// By the bytes of their keys.
    workflows: BTreeMap<Vec<u8>, workflows::Workflow>,
    /// Who holds a key, and behind it who waits.
    queues: BTreeMap<KeyId, Vec<InvocationId>>,
    pub(crate) ticks: Vec<ticks::MetTick>,
    /// In the order of their numbers, which count from 1.
    pub(crate) events: Vec<StoredEvent>,
    /// In the order of their events.
    deliveries: Vec<events::Delivery>,
    /// Keys whose first delivery may be one that can be begun, by number.
    lane_wakeups: BTreeMap<u64, String>,
    next_wakeup: u64,
    pub(crate) is_subscribed: bool,
    /// How many places were taken behind others, and how many deliveries were begun anew.
    pub(crate) queued: usize,
    pub(crate) renewed: usize,
    /// How many promises an operator completed.
    pub(crate) brought: usize,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    /// Those that asked for work and may take none.
    pub(crate) taken_unfit: Vec<NodeId>,
    /// Who fenced what a live node had fenced for itself, and whose it was.
    pub(crate) robbed: Vec<(NodeId, NodeId)>,
    /// What was given to nodes of late: they are about to fence it. `gives` is told of each.
    pub(crate) given: Vec<InvocationId>,
    pub(crate) gives: Arc<Notify>,
    /// How many nodes were asked to stop, and how many began with a clock that is far off.
    pub(crate) stopped: usize,
    pub(crate) far_off: usize,
    pub(crate) successors: BTreeMap<InvocationId, InvocationId>,
    pub(crate) rows: BTreeMap<RowKey, Row>,
    pub(crate) lines: Vec<Line>,
    pub(crate) locks: BTreeMap<RowKey, u64>,
    pub(crate) transactions: BTreeMap<u64, Open>,
    next_transaction: u64,
    pub(crate) sabotage: Option<Sabotage>,
    /// Changes with everything that is written, in order: two runs that differ anywhere differ here.
    pub(crate) digest: u64,
}

impl Tables {
    /// Empty.
    pub(crate) fn new(sabotage: Option<Sabotage>) -> Self {
        Self {
            sabotage,
            ..Self::default()
        }
    }

    pub(crate) fn note(&mut self, what: u64) {
        self.digest = (self.digest ^ what).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    pub(crate) fn may_write(&self, node: NodeId) -> Result<(), AppendError> {
        match self.nodes.get(&node) {
            Some(node) if !node.gone => Ok(()),
            _ => Err(AppendError::Fenced),
        }
    }

    fn has(&self, bug: Sabotage) -> bool {
        self.sabotage == Some(bug)
    }

    fn claim_conflicts(&self, claim: &Claim, invocation: InvocationId) -> bool {
        self.key_owners
            .get(&claim.path_key)
            .is_some_and(|owner| *owner != invocation)
    }

    /// Takes a key, unless it is taken.
    pub(crate) fn claim(&mut self, claim: &Claim, invocation: InvocationId) -> Result<(), AppendError> {
        if self.claim_conflicts(claim, invocation) {
            return Err(AppendError::KeyTaken);
        }
        self.keys.insert(claim.path_key, claim.clone());
        self.key_owners.insert(claim.path_key, invocation);
        Ok(())
    }

    /// One append, all of it or nothing.
    pub(crate) fn append(&mut self, node: NodeId, append: &Append, now_ms: u64) -> Result<(), AppendError> {
        self.may_write(node)?;
        let id = append.invocation;
        if let Some(claim) = &append.claim
            && self.claim_conflicts(claim, id)
        {
            return Err(AppendError::KeyTaken);
        }
        self.index_is_free(id, append.first_index, append.start.is_some())?;
        if append
            .messages
            .iter()
            .any(|message| self.invocations.contains_key(&message.invocation))
        {
            return Err(AppendError::Fenced);
        }
        self.workflows_are_free(&append.messages)?;
        for completion in &append.completions {
            let stored = self.promises.get(&completion.promise);
            let is_open =
                stored.is_some_and(|promise| promise.value.is_none()) || append.promises.contains(&completion.promise);
            if !is_open {
                return Err(AppendError::Unknown("the promise was completed by another".into()));
            }
        }

        if let Some(claim) = &append.claim
            && !self.has(Sabotage::ClaimAfterRows)
        {
            self.claim(claim, id)?;
        }
        if let Some(start) = &append.start {
            self.insert(id, start, Some(node), None, now_ms);
        }
        self.write_bodies(id, append.first_index, &append.bodies);
        if let Some(status) = append.status {
            self.set_status(id, status, None, now_ms);
        }
        for message in &append.messages {
            self.send(message, now_ms);
            self.start_workflow(message);
        }
        if let Some(sender) = self.invocations.get_mut(&id) {
            sender.sent.extend(append.messages.iter().cloned());
        }
        for promise in &append.promises {
            self.promises.insert(*promise, Promise::default());
        }
        for completion in &append.completions {
            self.complete(completion.promise, &completion.value);
        }
        for publication in &append.publications {
            self.publish(publication, id);
        }
        for key in &append.acquires {
            self.take_place(key, id);
        }
        self.give_up_places(id, &append.releases, append.releases_all);
        if let Some(suspension) = &append.suspension {
            let mut due_ms = suspension.due_ms;
            for promise in &suspension.promises {
                match self.promises.get_mut(promise) {
                    Some(promise) if promise.value.is_none() => drop(promise.waiters.insert(id)),
                    _ => due_ms = Some(now_ms),
                }
            }
            if suspension
                .keys
                .iter()
                .any(|key| self.key_place(*key, id) != KeyPlace::Waits)
            {
                due_ms = Some(now_ms);
            }
            self.set_status(id, InvocationStatus::Suspended, due_ms, now_ms);
        }
        self.note(u64::from(append.first_index) ^ id.0.as_u128() as u64 ^ now_ms);
        Ok(())
    }

    fn index_is_free(&self, id: InvocationId, first_index: u32, starts: bool) -> Result<(), AppendError> {
        if self.has(Sabotage::NoFence) {
            return Ok(());
        }
        let entries = self.invocations.get(&id).map(|stored| stored.bodies.len());
        match (entries, starts) {
            (None, true) => Ok(()),
            (Some(entries), false) if entries == first_index as usize => Ok(()),
            (Some(entries), false) => {
                assert!(
                    entries > first_index as usize,
                    "an append that leaves a gap: {id} at {first_index} of {entries}"
                );
                Err(AppendError::Fenced)
            }
            (Some(_), true) => Err(AppendError::Fenced),
            (None, false) => Err(AppendError::Fenced),
        }
    }

    fn insert(&mut self, id: InvocationId, start: &Start, node: Option<NodeId>, due_ms: Option<u64>, now_ms: u64) {
        let row = InvocationRow {
            invocation: id,
            component: start.component.clone(),
            function: start.function.clone(),
            deployment: start.deployment,
            status: InvocationStatus::Running,
            node,
            attempt: 0,
            failures: 0,
            due_ms: due_ms.map(u64::cast_signed),
            cause: None,
            erasure_salt: start.erasure_salt,
            parent: start.parent,
            created_ms: now_ms.cast_signed(),
            updated_ms: now_ms.cast_signed(),
            ended_ms: None,
        };
        self.open.insert(id);
        let invocation = Invocation {
            row,
            bodies: Vec::new(),
            appends: Vec::new(),
            sent: Vec::new(),
            fenced_for: None,
        };
        self.invocations.insert(id, invocation);
    }

    /// A message: an invocation that nobody owns.
    fn send(&mut self, message: &Message, now_ms: u64) {
        self.insert(message.invocation, &message.start, None, Some(message.due_ms), now_ms);
        self.write_bodies(message.invocation, 0, std::slice::from_ref(&message.started));
    }

    fn write_bodies(&mut self, id: InvocationId, first_index: u32, bodies: &[Vec<u8>]) {
        let Some(stored) = self.invocations.get_mut(&id) else {
            return;
        };
        // Past the end as a rule; only without a fence is there something to lose.
        stored.bodies.truncate(first_index as usize);
        stored.bodies.extend_from_slice(bodies);
        stored.appends.push(stored.bodies.len());
    }

    fn set_status(&mut self, id: InvocationId, status: InvocationStatus, due_ms: Option<u64>, now_ms: u64) {
        let Some(stored) = self.invocations.get_mut(&id) else {
            return;
        };
        let row = &mut stored.row;
        let changes = row.status != status;
        row.status = status;
        row.due_ms = due_ms.map(u64::cast_signed);
        row.updated_ms = now_ms.cast_signed();
        if status != InvocationStatus::Running {
            row.node = None;
        }
        if status.is_final() {
            row.ended_ms = Some(now_ms.cast_signed());
            self.open.remove(&id);
        }
        if changes && self.delivers(id) {
            self.follow_delivery(id, status);
        }
    }

    fn complete(&mut self, promise: PromiseId, value: &[u8]) {
        let Some(stored) = self.promises.get_mut(&promise) else {
            return;
        };
        stored.value = Some(value.to_vec());
        self.wakeups.extend(stored.waiters.iter());
    }

    /// Completes a promise of some invocation, unless it has a value.
    pub(crate) fn bring(&mut self, promise: PromiseId, value: &[u8]) -> PromiseOutcome {
        let Some(stored) = self.promises.get(&promise) else {
            return PromiseOutcome::Unknown;
        };
        // Nobody here asks whose it is.
        let owner = PromiseOwner {
            invocation: InvocationId(promise.0),
            name: None,
        };
        if stored.value.is_some() {
            return PromiseOutcome::Before(owner);
        }
        self.complete(promise, value);
        self.brought += 1;
        PromiseOutcome::Now(owner)
    }

    /// A fence with what its row then says.
    pub(crate) fn fence(&mut self, node: NodeId, fence: &Fence, now_ms: u64) -> Result<(), AppendError> {
        self.may_write(node)?;
        let id = fence.invocation;
        self.index_is_free(id, fence.next_index, fence.start.is_some())?;
        if self
            .invocations
            .get(&id)
            .is_some_and(|stored| stored.row.status.is_final())
        {
            return Err(AppendError::Fenced);
        }
        if let Some(start) = &fence.start {
            self.insert(id, start, Some(node), None, now_ms);
        }
        self.write_bodies(id, fence.next_index, &fence.bodies);
        let unowned_due = (fence.status == InvocationStatus::Running && fence.owner.is_none()).then_some(now_ms);
        self.set_status(id, fence.status, fence.due_ms.or(unowned_due), now_ms);
        if let Some(stored) = self.invocations.get_mut(&id) {
            stored.row.node = fence.owner;
            stored.fenced_for = fence.owner;
            stored.row.attempt = fence.attempt;
            stored.row.failures = fence.failures;
            stored.row.cause.clone_from(&fence.cause);
        }
        if self.has(Sabotage::SendAgainOnTakeover) {
            self.send_again(id, now_ms);
        }
        self.note(u64::from(fence.next_index) ^ !(id.0.as_u128() as u64) ^ now_ms);
        Ok(())
    }

    /// A fence that no person asked for: of what the node owns, or a dead one left.
    pub(crate) fn fence_unasked(&mut self, node: NodeId, fence: &Fence, now_ms: u64) -> Result<(), AppendError> {
        let stored = self.invocations.get(&fence.invocation);
        let owner = stored.and_then(|stored| stored.fenced_for.filter(|owner| stored.row.node == Some(*owner)));
        self.fence(node, fence, now_ms)?;
        if let Some(owner) = owner.filter(|owner| *owner != node)
            && self.may_write(owner).is_ok()
        {
            self.robbed.push((node, owner));
        }
        Ok(())
    }

    fn send_again(&mut self, id: InvocationId, now_ms: u64) {
        let sent = self
            .invocations
            .get_mut(&id)
            .map(|stored| std::mem::take(&mut stored.sent));
        // No workflow: of two with one seed the second sends under the ids of the first, and tries that for ever.
        let sent = sent.unwrap_or_default().into_iter();
        for mut message in sent.filter(|message| message.workflow.is_none()) {
            message.invocation.0 = uuid::Uuid::from_u128(message.invocation.0.as_u128() ^ 1);
            if !self.invocations.contains_key(&message.invocation) {
                self.send(&message, now_ms);
            }
        }
    }

    /// A fence with an operator's word. One restart of each.
    pub(crate) fn fence_with_word(
        &mut self,
        node: NodeId,
        fence: &Fence,
        word: &Word,
        now_ms: u64,
    ) -> Result<(), AppendError> {
        if word.successor.is_some() && self.successors.contains_key(&word.invocation) {
            return Err(AppendError::Fenced);
        }
        self.fence(node, fence, now_ms)?;
        if let Some(successor) = word.successor {
            self.successors.insert(word.invocation, successor);
            self.succeed_keys(word.invocation, successor);
        }
        if !word.gives_up.is_empty() {
            self.give_up_places(word.invocation, &word.gives_up, false);
        }
        match (word.successor, word.promise_key) {
            (Some(successor), Some(promise_key)) => self.succeed_workflow(word.invocation, successor, promise_key),
            _ if fence.status.is_final() => {
                self.cancel_workflow(fence.invocation);
                self.give_up_places(fence.invocation, &[], true);
            }
            _ => {}
        }
        Ok(())
    }

    /// Who repeats its request is answered by the new run, unless the old one has answered.
    fn succeed_keys(&mut self, invocation: InvocationId, successor: InvocationId) {
        let status = self.invocations.get(&invocation).map(|stored| stored.row.status);
        if status != Some(InvocationStatus::Completed) {
            let owners = self.key_owners.values_mut().filter(|owner| **owner == invocation);
            owners.for_each(|owner| *owner = successor);
        }
    }

    /// Gives the node what nobody owns and what is due, but for what began with some components.
    pub(crate) fn due(&mut self, node: NodeId, limit: u32, left: &Left, now_ms: u64) -> Vec<(InvocationId, bool)> {
        if self.may_write(node).is_err() {
            return Vec::new();
        }
        let mut due: Vec<(i64, InvocationId)> = self
            .unowned()
            .filter(|(due_ms, id)| {
                *due_ms <= now_ms.cast_signed() && !left.components.contains(&self.invocations[id].row.component)
            })
            .collect();
        due.sort_unstable();
        due.truncate(limit as usize);
        let mut given = Vec::with_capacity(due.len());
        for (_, id) in due {
            let was_suspended = self.invocations[&id].row.status == InvocationStatus::Suspended;
            self.give(id, node, now_ms);
            given.push((id, was_suspended));
        }
        given
    }

    /// Takes from the node what it owns, but for `kept`. Says how much.
    pub(crate) fn release(&mut self, node: NodeId, kept: &[InvocationId], now_ms: u64) -> u64 {
        let open: Vec<_> = self.open.iter().filter(|id| !kept.contains(id)).copied().collect();
        let mut released = 0;
        for id in open {
            released += u64::from(self.give_back(node, id, now_ms));
        }
        released
    }

    /// Takes one invocation from the node, if it owns it.
    pub(crate) fn give_back(&mut self, node: NodeId, id: InvocationId, now_ms: u64) -> bool {
        let Some(stored) = self.invocations.get_mut(&id) else {
            return false;
        };
        let row = &mut stored.row;
        let owns = row.node == Some(node) && row.status == InvocationStatus::Running;
        if owns {
            row.node = None;
            row.due_ms.get_or_insert(now_ms.cast_signed());
        }
        owns
    }

    /// Gives the node what was woken.
    pub(crate) fn woken(&mut self, node: NodeId, limit: u32, now_ms: u64) -> Vec<InvocationId> {
        if self.may_write(node).is_err() {
            return Vec::new();
        }
        let count = self.wakeups.len().min(limit as usize);
        let woken: Vec<_> = self.wakeups.drain(..count).collect();
        let mut given = Vec::new();
        for id in woken {
            if self.invocations[&id].row.status == InvocationStatus::Suspended {
                self.give(id, node, now_ms);
                given.push(id);
            }
        }
        given
    }

    fn give(&mut self, id: InvocationId, node: NodeId, now_ms: u64) {
        self.set_status(id, InvocationStatus::Running, None, now_ms);
        if let Some(stored) = self.invocations.get_mut(&id) {
            stored.row.node = Some(node);
            stored.fenced_for = None;
        }
        for promise in self.promises.values_mut() {
            promise.waiters.remove(&id);
        }
        self.given.push(id);
        self.gives.notify_one();
        self.note(id.0.as_u128() as u64 ^ node.0.as_u128() as u64);
    }

    fn unowned(&self) -> impl Iterator<Item = (i64, InvocationId)> {
        self.open.iter().filter_map(|id| {
            let row = &self.invocations[id].row;
            row.due_ms.filter(|_| row.node.is_none()).map(|due_ms| (due_ms, *id))
        })
    }

    pub(crate) fn next_due_ms(&self, now_ms: u64) -> Option<u64> {
        let first = self.unowned().map(|(due_ms, _)| due_ms).min()?;
        Some((first - now_ms.cast_signed()).max(0).unsigned_abs())
    }

    pub(crate) fn owned(&self, node: NodeId, now_ms: u64) -> Vec<InvocationId> {
        let is_owned = |id: &&InvocationId| {
            let row = &self.invocations[*id].row;
            row.node == Some(node)
                && row.status == InvocationStatus::Running
                && row.due_ms.is_none_or(|due_ms| due_ms <= now_ms.cast_signed())
        };
        self.open.iter().filter(is_owned).copied().collect()
    }

    pub(crate) fn not_owned(&self, node: NodeId, running: &[InvocationId]) -> Vec<InvocationId> {
        let is_lost = |id: &&InvocationId| {
            let stored = self.invocations.get(*id);
            stored.is_some_and(|stored| stored.row.node != Some(node))
        };
        running.iter().filter(is_lost).copied().collect()
    }

    pub(crate) fn load(&self, id: InvocationId) -> Option<Loaded> {
        let stored = self.invocations.get(&id)?;
        let entries = entries(&stored.bodies);
        Some(Loaded {
            row: stored.row.clone(),
            entries,
        })
    }

    /// Silent for longer than its lease, or gone and not yet taken over from, or with something left open.
    pub(crate) fn dead_nodes(&self, asking: NodeId, lease_ms: u64, now_ms: u64) -> Vec<NodeId> {
        let owns = |node: NodeId| self.open.iter().any(|id| self.invocations[id].row.node == Some(node));
        let is_dead = |(id, node): &(&NodeId, &Node)| match node.gone {
            false => node.heard_ms + lease_ms < now_ms,
            true => owns(**id) || self.transactions.values().any(|open| open.node == **id),
        };
        let others = self.nodes.iter().filter(|(id, _)| **id != asking);
        others.filter(is_dead).map(|(id, _)| *id).collect()
    }

    /// Ends a node's connections: what they had begun is rolled back, and what is under way on them never arrives.
    pub(crate) fn end_backends(&mut self, node: NodeId) {
        if let Some(stored) = self.nodes.get_mut(&node) {
            stored.session += 1;
        }
        let ended: Vec<u64> = self
            .transactions
            .iter()
            .filter(|(_, open)| open.node == node)
            .map(|(id, _)| *id)
            .collect();
        ended.into_iter().for_each(|id| self.end(id));
    }

    pub(crate) fn begin(&mut self, node: NodeId) -> u64 {
        self.next_transaction += 1;
        self.transactions.insert(self.next_transaction, Open { node });
        self.next_transaction
    }

    /// Ends a transaction and lets go of its locks.
    pub(crate) fn end(&mut self, transaction: u64) {
        self.transactions.remove(&transaction);
        self.locks.retain(|_, holder| *holder != transaction);
    }

    /// Whether the lock is the transaction's now; `None`: it is over.
    pub(crate) fn lock(&mut self, transaction: u64, key: RowKey) -> Option<bool> {
        self.transactions.get(&transaction)?;
        Some(*self.locks.entry(key).or_insert(transaction) == transaction)
    }
}

/// Stored entries, decoded.
pub(crate) fn entries(bodies: &[Vec<u8>]) -> Vec<Entry> {
    let decoded = bodies
        .iter()
        .enumerate()
        .map(|(index, body)| decode(index as u32, body, &Plain));
    decoded.collect::<Result<_, _>>().expect("what was encoded is decoded")
}

/// What a history returned, if it did.
pub(crate) fn output(entries: &[Entry]) -> Option<&[u8]> {
    entries.iter().rev().find_map(|entry| match &entry.body {
        Body::Output(output) => Some(output.as_ref()),
        _ => None,
    })
}
