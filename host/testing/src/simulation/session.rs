//! A node's connections to the simulated database, with everything a network does to them: questions that never arrive, answers that
//! never return, either late; a server that is away. What was sent arrives although the sender dies meanwhile, unless the server
//! has ended the connection.

mod events;
mod hints;
mod lease;
mod ticks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use host_invoker::{AppendFences, FindWork, ReadDeployments, ReadInvocations, TellNodes};
use host_journal::{
    Append, AppendError, AppendJournal, Claim, HostParameter, HostStatement, InvocationStatus, KeyId, Seal, WorkflowKey,
};
use host_recorder::Answer;
use host_store::{
    Bodies, Deployment, Error, Fence, HeldKey, InvocationRow, KeyPlace, Left, Loaded, PromiseOutcome, PromiseWord,
    Result, StoredPromise, Wake, Word,
};
use host_types::{Clock, ComponentId, DeploymentNumber, Digest, InvocationId, NodeId, PromiseId};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::dice::Dice;
use super::gate::Gate;
use super::sabotage::Sabotage;
use super::tables::Tables;
use crate::SimClock;
use crate::seal::Plain;

/// How long a node may be silent.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// Twelve seconds before a minute ends. A world begins up to ten later: its tick comes while there is trouble.
const BEGINNING_MS: u64 = 1_800_000_048_000;
/// A node whose clock is further off takes no work.
pub(crate) const MAX_CLOCK_OFFSET_MS: i64 = 1_000;
/// So far off a clock is that no heartbeat finds it right, however long it was under way.
pub(crate) const FAR_OFF_MS: i64 = 60_000;

/// The database that all nodes share.
pub(crate) struct Database {
    pub(crate) tables: Mutex<Tables>,
    pub(crate) clock: SimClock,
    dice: Dice,
    /// The server does not answer.
    pub(crate) down: AtomicBool,
    /// Questions and answers are lost.
    pub(crate) rough: AtomicBool,
    /// Until then nodes have no instance to spare.
    pub(crate) crowded_until_ms: AtomicU64,
    listeners: Mutex<Vec<mpsc::UnboundedSender<Wake>>>,
}

impl Database {
    pub(crate) fn new(dice: Dice, sabotage: Option<Sabotage>) -> Self {
        Self {
            tables: Mutex::new(Tables::new(sabotage)),
            clock: SimClock::starting_at(BEGINNING_MS + dice.between(0, 10_000)),
            dice,
            down: AtomicBool::new(false),
            rough: AtomicBool::new(false),
            crowded_until_ms: AtomicU64::new(0),
            listeners: Mutex::default(),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    fn is_rough(&self) -> bool {
        self.rough.load(Ordering::Relaxed)
    }

    /// How long one way takes.
    fn way(&self) -> Duration {
        match (self.is_rough(), self.dice.between(0, 100)) {
            (_, 0..70) => Duration::ZERO,
            (true, 97..100) => self.dice.time_ms(20, 400),
            _ => self.dice.time_ms(1, 4),
        }
    }
}

/// Waits, and lets others run in any case.
pub(crate) async fn pause(time: Duration) {
    match time.is_zero() {
        true => tokio::task::yield_now().await,
        false => sleep(time).await,
    }
}

/// No answer came: whether the question arrived is unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost;

impl From<Lost> for Error {
    fn from(Lost: Lost) -> Self {
        Self::Busy
    }
}

impl From<Lost> for AppendError {
    fn from(Lost: Lost) -> Self {
        Self::Unknown("the connection was lost".into())
    }
}

/// A node's view of the database.
pub(crate) struct Session {
    pub(crate) database: Arc<Database>,
    pub(crate) node: NodeId,
    pub(crate) gate: Arc<Gate>,
    /// The node's own clocks.
    pub(crate) clock: Arc<NodeClock>,
    /// Appends on their way into a module's transaction, by the number that stands for them in its statement.
    riding: Mutex<Vec<Append>>,
    /// It was asked to stop.
    pub(crate) stopping: AtomicBool,
}

/// A machine's clock: the true one, and how far this one is off.
pub(crate) struct NodeClock {
    pub(crate) database: Arc<Database>,
    offset_ms: i64,
}

impl NodeClock {
    /// One that is far off is put right when the trouble is over.
    fn is_far_off(&self) -> bool {
        self.offset_ms.abs() >= FAR_OFF_MS && self.database.is_rough()
    }
}

impl Clock for NodeClock {
    fn unix_ms(&self) -> u64 {
        let is_right = self.offset_ms.abs() >= FAR_OFF_MS && !self.is_far_off();
        let offset_ms = if is_right { 0 } else { self.offset_ms };
        self.database.now_ms().saturating_add_signed(offset_ms)
    }

    fn boot_ns(&self) -> u64 {
        self.database.clock.boot_ns()
    }
}

/// What a statement of ours is for.
const CLAIM: &str = "claim";
const APPEND: &str = "append";

impl Session {
    pub(crate) fn new(database: Arc<Database>, node: NodeId, gate: Arc<Gate>, offset_ms: i64) -> Self {
        let clock = NodeClock {
            database: Arc::clone(&database),
            offset_ms,
        };
        Self {
            database,
            node,
            gate,
            clock: Arc::new(clock),
            riding: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// It asks for work: the auditor is told of one that may take none.
    fn takes_work(&self) {
        if self.clock.is_far_off() || self.stopping.load(Ordering::Relaxed) {
            self.database.tables.lock().taken_unfit.push(self.node);
        }
    }

    /// A question that changes something: once sent it arrives or not, whatever becomes of who asked.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Tables, u64) -> T + Send + 'static,
    ) -> std::result::Result<T, Lost> {
        self.gate.pass().await;
        let database = Arc::clone(&self.database);
        let (there, back) = (database.way(), database.way());
        let rough = database.is_rough();
        let (never_arrives, never_returns) = (
            rough && database.dice.per_mille(8),
            rough && database.dice.per_mille(15),
        );
        let session = self.session();
        let node = self.node;
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            pause(there).await;
            if never_arrives || database.down.load(Ordering::Relaxed) {
                return;
            }
            let answer = {
                let mut tables = database.tables.lock();
                if session != tables.nodes.get(&node).map(|node| node.session) {
                    return;
                }
                let now_ms = database.now_ms();
                act(&mut tables, now_ms)
            };
            pause(back).await;
            if !never_returns {
                // Who asked may have left.
                let _ = tell.send(answer);
            }
        });
        let answer = told.await;
        self.gate.pass().await;
        answer.map_err(|_| Lost)
    }

    fn session(&self) -> Option<u64> {
        self.database
            .tables
            .lock()
            .nodes
            .get(&self.node)
            .map(|node| node.session)
    }

    /// A question that changes nothing.
    pub(crate) async fn look<T>(&self, look: impl FnOnce(&Tables, u64) -> T) -> std::result::Result<T, Lost> {
        self.gate.pass().await;
        pause(self.database.way()).await;
        let is_lost = self.database.is_rough() && self.database.dice.per_mille(8);
        if is_lost || self.database.down.load(Ordering::Relaxed) {
            return Err(Lost);
        }
        let found = look(&self.database.tables.lock(), self.database.now_ms());
        self.gate.pass().await;
        Ok(found)
    }

    /// The append that this statement stands for.
    pub(crate) fn take_riding(&self, statement: &HostStatement) -> Append {
        match statement.parameters[..] {
            [HostParameter::Integer(number)] => self.riding.lock()[number as usize].clone(),
            _ => unreachable!("not a statement of this session: {statement:?}"),
        }
    }

    fn commit(&self, append: Append) -> impl Future<Output = std::result::Result<Committed, Lost>> + '_ {
        let node = self.node;
        self.ask(move |tables, now_ms| tables.append(node, &append, now_ms))
    }

    /// The bug: the answer does not wait for the commit.
    fn commit_behind(&self, append: Append) {
        let database = Arc::clone(&self.database);
        let (node, session) = (self.node, self.session());
        let late = database.dice.time_ms(10, 100);
        tokio::spawn(async move {
            sleep(late).await;
            let mut tables = database.tables.lock();
            let lives = session == tables.nodes.get(&node).map(|node| node.session);
            if lives && !database.down.load(Ordering::Relaxed) {
                let now_ms = database.now_ms();
                let _ = tables.append(node, &append, now_ms);
            }
        });
    }

    /// The bug: the key is taken when everything else has long been done.
    fn claim_behind(&self, claim: Claim, invocation: InvocationId) {
        let database = Arc::clone(&self.database);
        let late = database.dice.time_ms(50, 400);
        tokio::spawn(async move {
            sleep(late).await;
            let _ = database.tables.lock().claim(&claim, invocation);
        });
    }

    fn has(&self, bug: Sabotage) -> bool {
        self.database.tables.lock().sabotage == Some(bug)
    }
}

/// What became of a commit.
type Committed = std::result::Result<(), AppendError>;

impl AppendJournal for Session {
    fn seal(&self, _: InvocationId, _: Option<[u8; 32]>) -> Arc<dyn Seal> {
        Arc::new(Plain)
    }

    fn claim_statement(&self, invocation: InvocationId, claim: &Claim) -> HostStatement {
        if self.has(Sabotage::ClaimAfterRows) {
            self.claim_behind(claim.clone(), invocation);
        }
        HostStatement {
            sql: CLAIM,
            parameters: vec![
                HostParameter::Bytes(Some(claim.path_key.to_vec())),
                HostParameter::Bytes(Some(claim.fingerprint.to_vec())),
            ],
        }
    }

    fn append_statements(&self, append: &Append) -> Vec<HostStatement> {
        let mut riding = self.riding.lock();
        riding.push(append.clone());
        vec![HostStatement {
            sql: APPEND,
            parameters: vec![HostParameter::Integer(riding.len() as i32 - 1)],
        }]
    }

    fn append(&self, append: Append) -> Answer<'_, Committed> {
        Box::pin(async move {
            if let Some(claim) = &append.claim
                && self.has(Sabotage::ClaimAfterRows)
            {
                self.claim_behind(claim.clone(), append.invocation);
            }
            if self.has(Sabotage::AcknowledgeBeforeCommit) {
                self.gate.pass().await;
                self.commit_behind(append);
                return Ok(());
            }
            self.commit(append).await?
        })
    }

    fn append_lazily(&self, append: Append) {
        if self.database.is_rough() && self.database.dice.per_mille(50) {
            return;
        }
        self.commit_behind(append);
    }
}

impl ReadInvocations for Session {
    fn load(&self, invocation: InvocationId) -> Answer<'_, Result<Option<Loaded>>> {
        Box::pin(async move {
            // The bug: what is said between the two looks is among the entries and not in the row.
            let row = match self.has(Sabotage::RowBeforeEntries) {
                true => self.row(invocation).await?,
                false => None,
            };
            let loaded = self.look(|tables, _| tables.load(invocation)).await?;
            Ok(loaded.map(|Loaded { row: now, entries }| Loaded {
                row: row.unwrap_or(now),
                entries,
            }))
        })
    }

    fn row(&self, invocation: InvocationId) -> Answer<'_, Result<Option<InvocationRow>>> {
        Box::pin(async move {
            let row = |tables: &Tables, _| tables.invocations.get(&invocation).map(|stored| stored.row.clone());
            Ok(self.look(row).await?)
        })
    }

    fn stored(&self, invocation: InvocationId) -> Answer<'_, Result<Option<(InvocationRow, Bodies)>>> {
        Box::pin(async move {
            let stored = |tables: &Tables, _| {
                let stored = tables.invocations.get(&invocation)?;
                Some((stored.row.clone(), (0..).zip(stored.bodies.clone()).collect()))
            };
            Ok(self.look(stored).await?)
        })
    }

    fn successor(&self, invocation: InvocationId) -> Answer<'_, Result<Option<InvocationId>>> {
        Box::pin(async move {
            let successor = |tables: &Tables, _| tables.successors.get(&invocation).copied();
            Ok(self.look(successor).await?)
        })
    }

    fn promise(&self, promise: PromiseId) -> Answer<'_, Result<Option<StoredPromise>>> {
        Box::pin(async move {
            let stored = |tables: &Tables, _| {
                let stored = tables.promises.get(&promise)?;
                Some(StoredPromise {
                    value: stored.value.clone(),
                })
            };
            Ok(self.look(stored).await?)
        })
    }

    fn workflow<'a>(&'a self, key: &'a WorkflowKey) -> Answer<'a, Result<Option<InvocationId>>> {
        Box::pin(async move { Ok(self.look(|tables, _| tables.workflow(key)).await?) })
    }

    fn workflow_promise<'a>(&'a self, key: &'a WorkflowKey, name: &'a str) -> Answer<'a, Result<Option<PromiseId>>> {
        let (key, name) = (key.clone(), name.to_owned());
        Box::pin(async move { Ok(self.ask(move |tables, _| tables.workflow_promise(&key, &name)).await?) })
    }

    fn closes_circle(&self, _: InvocationId, _: PromiseId) -> Answer<'_, Result<bool>> {
        // No flow of the market waits for another one.
        Box::pin(async move { Ok(self.look(|_, _| false).await?) })
    }

    fn key_place(&self, key: KeyId, invocation: InvocationId) -> Answer<'_, Result<KeyPlace>> {
        Box::pin(async move { Ok(self.look(|tables, _| tables.key_place(key, invocation)).await?) })
    }

    fn places(&self, invocation: InvocationId) -> Answer<'_, Result<Vec<KeyId>>> {
        Box::pin(async move { Ok(self.look(|tables, _| tables.places(invocation)).await?) })
    }

    fn open_count<'a>(&'a self, component: &'a ComponentId, limit: u64) -> Answer<'a, Result<u64>> {
        Box::pin(async move {
            let of_component = |tables: &Tables, now_ms: u64| {
                let is_later = |row: &InvocationRow| {
                    let is_due_later = row.due_ms.is_some_and(|due_ms| due_ms > now_ms.cast_signed());
                    row.status == InvocationStatus::Running && row.failures == 0 && is_due_later
                };
                let open = tables.open.iter().map(|id| &tables.invocations[id].row);
                open.filter(|row| row.component == *component && !is_later(row)).count() as u64
            };
            Ok(self.look(of_component).await?.min(limit))
        })
    }

    fn find_key<'a>(&'a self, claim: &'a Claim) -> Answer<'a, Result<Option<HeldKey>>> {
        Box::pin(async move {
            let held = |tables: &Tables, _| {
                let invocation = *tables.key_owners.get(&claim.path_key)?;
                Some(HeldKey {
                    fingerprint: tables.keys.get(&claim.path_key)?.fingerprint,
                    invocation,
                    status: tables.invocations.get(&invocation)?.row.status,
                })
            };
            Ok(self.look(held).await?)
        })
    }
}

impl AppendFences for Session {
    fn fence(&self, fence: Fence) -> Answer<'_, Committed> {
        let node = self.node;
        Box::pin(async move {
            self.ask(move |tables, now_ms| tables.fence_unasked(node, &fence, now_ms))
                .await?
        })
    }

    fn fence_and_pin(&self, _: Fence, _: DeploymentNumber) -> Answer<'_, Committed> {
        unreachable!("every node has the one deployment there is")
    }

    fn fence_with_word<'a>(&'a self, fence: &'a Fence, word: &'a Word) -> Answer<'a, Committed> {
        let node = self.node;
        let (fence, word) = (fence.clone(), word.clone());
        Box::pin(async move {
            self.ask(move |tables, now_ms| tables.fence_with_word(node, &fence, &word, now_ms))
                .await?
        })
    }

    fn complete_promise<'a>(
        &'a self,
        promise: PromiseId,
        value: &'a [u8],
        _: &'a PromiseWord,
    ) -> Answer<'a, Result<PromiseOutcome>> {
        let value = value.to_vec();
        Box::pin(async move { Ok(self.ask(move |tables, _| tables.bring(promise, &value)).await?) })
    }
}

impl FindWork for Session {
    fn due<'a>(&'a self, limit: u32, left: &'a Left) -> Answer<'a, Result<Vec<(InvocationId, bool)>>> {
        let node = self.node;
        let left = left.clone();
        Box::pin(async move {
            self.takes_work();
            Ok(self
                .ask(move |tables, now_ms| tables.due(node, limit, &left, now_ms))
                .await?)
        })
    }

    fn give_back(&self, invocation: InvocationId) -> Answer<'_, Result<()>> {
        let node = self.node;
        Box::pin(async move {
            self.ask(move |tables, now_ms| tables.give_back(node, invocation, now_ms))
                .await?;
            self.notify(Wake::Due);
            Ok(())
        })
    }

    fn not_owned<'a>(&'a self, running: &'a [InvocationId]) -> Answer<'a, Result<Vec<InvocationId>>> {
        Box::pin(async move { Ok(self.look(|tables, _| tables.not_owned(self.node, running)).await?) })
    }

    fn release<'a>(&'a self, kept: &'a [InvocationId]) -> Answer<'a, Result<u64>> {
        let node = self.node;
        let kept = kept.to_vec();
        Box::pin(async move {
            let released = self
                .ask(move |tables, now_ms| tables.release(node, &kept, now_ms))
                .await?;
            if released > 0 {
                self.notify(Wake::Due);
            }
            Ok(released)
        })
    }

    fn woken(&self, limit: u32) -> Answer<'_, Result<Vec<InvocationId>>> {
        let node = self.node;
        Box::pin(async move {
            Ok(self
                .ask(move |tables, now_ms| tables.woken(node, limit, now_ms))
                .await?)
        })
    }

    fn owned(&self) -> Answer<'_, Result<Vec<InvocationId>>> {
        Box::pin(async move { Ok(self.look(|tables, now_ms| tables.owned(self.node, now_ms)).await?) })
    }

    fn next_due(&self) -> Answer<'_, Result<Option<u64>>> {
        Box::pin(async move { Ok(self.look(Tables::next_due_ms).await?) })
    }
}

/// There is one deployment, and everybody has it.
impl ReadDeployments for Session {
    fn deployment(&self, number: DeploymentNumber) -> Answer<'_, Result<Deployment>> {
        Box::pin(async move { Err(Error::NotRegistered(format!("deployment {number}"))) })
    }

    fn revision(&self, digest: Digest) -> Answer<'_, Result<Vec<u8>>> {
        Box::pin(async move { Err(Error::NotRegistered(format!("revision {digest}"))) })
    }

    fn runs_elsewhere<'a>(&'a self, _: DeploymentNumber, _: &'a [ComponentId]) -> Answer<'a, Result<bool>> {
        unreachable!("every node has the one deployment there is")
    }
}
