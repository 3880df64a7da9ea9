//! What is shared by all runs of this node.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use host_journal::{Header, RetryPolicy};
use host_runtime::Deployment;
use host_store::{Heartbeat, Left};
use host_traces::Traces;
use host_types::{Clock, ComponentId, CorrectedClock, DeploymentNumber, Fault, HttpRequest, InvocationId, Rng};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use crate::admission::Admission;
use crate::backlog::Backlog;
use crate::claims::Claims;
use crate::database::Database;
use crate::deployments::{Bytes, Deployments, NotBuilt};
use crate::halt::Halts;
use crate::handlers::{Deploy, Handlers};
use crate::lease::LeaseTerm;
use crate::metrics::InvokerMetrics;
use crate::run::{Ended, HTTP_FUNCTION, Run};
use crate::stop::Stop;
use crate::turns::{Share, Turn, TurnLimits, Turns};
use crate::waits::Waits;

/// What an invoker needs.
pub struct InvokerOptions {
    /// Invocations, journals, leases.
    pub store: Arc<dyn Database>,
    /// Builds deployments of other numbers than the current one.
    pub runtime: Arc<dyn Deploy>,
    /// What new invocations run on.
    pub deployment: Arc<dyn Handlers>,
    /// Time, which every heartbeat puts right: by the database's clock.
    pub clock: Arc<CorrectedClock>,
    /// Seeds and jitter.
    pub rng: Arc<dyn Rng>,
    /// Keys the hashes of idempotency keys; the same on every node of a database.
    pub claim_secret: [u8; 32],
    /// What all components together may have at once.
    pub turns: TurnLimits,
    /// Told of every heartbeat.
    pub lease_term: Arc<LeaseTerm>,
    /// Makes the spans of attempts.
    pub traces: Traces,
}

/// Runs invocations to their end.
#[derive(Clone)]
pub struct Invoker {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Database>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The same, for those who know what is to be corrected.
    corrected: Arc<CorrectedClock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) claims: Claims,
    pub(crate) runtime: Arc<dyn Deploy>,
    pub(crate) deployments: Deployments,
    pub(crate) turns: Turns,
    pub(crate) admission: Admission,
    /// Open invocations that wait for their turn.
    pub(crate) backlog: Backlog,
    /// Records loaded at once for the backlog.
    pub(crate) loading: Arc<Semaphore>,
    /// Invocations at work on this node.
    pub(crate) here: Mutex<HashSet<InvocationId>>,
    tasks: Mutex<JoinSet<()>>,
    stop: Arc<Stop>,
    /// How what runs here is stopped.
    pub(crate) halts: Halts,
    pub(crate) lease_term: Arc<LeaseTerm>,
    /// Callers that look for an answer which others bring: each look is a question to the database.
    pub(crate) lookers: Semaphore,
    /// Something ended here: those who wait for that look again.
    pub(crate) changed: Notify,
    /// Promises, and who waits for them here.
    pub(crate) waits: Arc<Waits>,
    /// Held by the dry run under way.
    pub(crate) dry_runs: tokio::sync::Mutex<()>,
    pub(crate) metrics: InvokerMetrics,
    /// A delivery here has ended: there is room for another.
    pub(crate) delivered: Notify,
    pub(crate) traces: Traces,
}

/// An invocation at work. Dropped, it stops where it is.
pub(crate) type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Methods whose requests may carry an idempotency key.
const KEYED_METHODS: [&str; 4] = ["POST", "PATCH", "PUT", "DELETE"];
/// Callers that look for an answer which others bring; more are told to ask again.
const LOOKERS: usize = 512;
/// Records loaded at once: fewer than the store has connections.
const LOADS: usize = 4;

/// What a node's heartbeats say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MayWork {
    /// How much of the lease is left. A heartbeat is a write: without one that was accepted, this comes to nothing.
    pub lease_left: Duration,
    /// The last one found the clocks close enough to take work.
    pub is_on_time: bool,
    /// The database's clock minus this machine's, milliseconds.
    pub clock_offset_ms: i64,
}

impl Invoker {
    /// Nothing runs yet.
    pub fn new(options: InvokerOptions) -> Self {
        let InvokerOptions {
            store,
            runtime,
            deployment,
            clock,
            rng,
            claim_secret,
            turns,
            lease_term,
            traces,
        } = options;
        let stop = Arc::<Stop>::default();
        let waits = Waits::new(Arc::clone(&store), Arc::clone(&stop));
        let inner = Inner {
            store,
            clock: Arc::clone(&clock) as _,
            corrected: clock,
            rng,
            claims: Claims::new(&claim_secret),
            runtime,
            deployments: Deployments::new(deployment),
            turns: Turns::new(turns),
            admission: Admission::default(),
            backlog: Backlog::default(),
            loading: Arc::new(Semaphore::new(LOADS)),
            here: Mutex::default(),
            tasks: Mutex::default(),
            stop,
            halts: Halts::default(),
            lease_term,
            lookers: Semaphore::new(LOOKERS),
            changed: Notify::new(),
            waits: Arc::new(waits),
            dry_runs: tokio::sync::Mutex::default(),
            metrics: InvokerMetrics::default(),
            delivered: Notify::new(),
            traces,
        };
        Self { inner: Arc::new(inner) }
    }

    /// What new invocations run on. `None`: it is not made of components.
    pub fn deployment(&self) -> Option<Arc<Deployment>> {
        self.inner.current().deployment()
    }

    /// What a client's idempotency key may be stored as: one for each route and method that takes keys. `subject` is whose it is,
    /// empty for a client that is nobody.
    pub fn stored_keys(&self, key: &str, subject: &str) -> Vec<[u8; 32]> {
        let mut stored = Vec::new();
        let Some(deployment) = self.deployment() else {
            return stored;
        };
        for route in &deployment.app().routes {
            for method in KEYED_METHODS {
                let (component, pattern) = (route.component.as_str(), route.pattern.to_string());
                stored.push(self.inner.claims.key(component, method, &pattern, subject, key));
            }
        }
        stored
    }

    /// Counts what may have been published, here or by another node: whoever reads events looks when it changes.
    pub fn published(&self) -> watch::Receiver<u64> {
        self.inner.waits.events.subscribe()
    }

    /// Whether this node may take work, as its heartbeats say.
    pub fn may_work(&self) -> MayWork {
        MayWork {
            lease_left: self.inner.lease_term.left(),
            is_on_time: self.inner.lease_term.may_work(),
            clock_offset_ms: self.inner.corrected.offset_ms(),
        }
    }

    /// Takes no new work, gives away at once what nobody here works on, and waits for what runs at most `patience`. What is durable
    /// and unfinished then is left to other nodes: `release` is called once more when everything is written.
    pub async fn drain(&self, patience: Duration) {
        self.inner.stop.ask();
        self.inner.give_away().await;
        let drained = self.inner.until(HashSet::is_empty);
        if tokio::time::timeout(patience, drained).await.is_err() {
            tracing::warn!(
                open = self.inner.here.lock().len(),
                "stopping with open invocations: other nodes, or another start, finish them"
            );
        }
        self.inner.tasks.lock().abort_all();
    }
}

impl Inner {
    /// No new work: the node is stopping, or its clock is off.
    pub(crate) fn is_draining(&self) -> bool {
        self.stop.is_asked() || !self.lease_term.may_work()
    }

    /// Gives to other nodes what nobody here works on.
    pub(crate) async fn give_away(&self) {
        let here: Vec<_> = self.here.lock().iter().copied().collect();
        match self.store.release(&here).await {
            Ok(0) => {}
            Ok(released) => tracing::info!(released, "open invocations that waited here are other nodes' now"),
            // They are given away at the end, or found when this node is gone.
            Err(error) => tracing::warn!(%error, "open invocations that wait here cannot be given away"),
        }
    }

    /// Whether the invocation is at work here, or will be when its turn has come.
    pub(crate) fn has(&self, invocation: &InvocationId) -> bool {
        self.here.lock().contains(invocation) || self.backlog.contains(invocation)
    }

    /// Returns when the invocation is not at work here.
    pub(crate) async fn left(&self, invocation: InvocationId) {
        self.until(|here| !here.contains(&invocation)).await;
    }

    async fn until(&self, holds: impl Fn(&HashSet<InvocationId>) -> bool) {
        loop {
            // Before the look: what ends right after it is told to this.
            let changed = self.changed.notified();
            if holds(&self.here.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Takes note of a heartbeat.
    pub(crate) fn hold_lease(&self, heartbeat: Heartbeat) {
        // First: nothing is taken by a clock that is not right yet.
        self.corrected.correct(heartbeat.clock_offset_ms);
        self.lease_term.renew(heartbeat);
    }

    pub(crate) fn current(&self) -> Arc<dyn Handlers> {
        self.deployments.current()
    }

    /// The deployment of this number, which an open invocation is pinned to.
    pub(crate) async fn pinned(&self, number: DeploymentNumber) -> Result<Arc<dyn Handlers>, NotBuilt> {
        let build = || async {
            let stored = self.store.deployment(number).await?;
            let bytes = Bytes::of(&*self.store);
            self.runtime.deploy(&stored, &bytes).await
        };
        self.deployments.get(number, build).await
    }

    /// What of all that is due this node leaves to others: what enough of waits here, and what others run on.
    pub(crate) fn leaves(&self) -> Left {
        Left {
            components: self.backlog.full(),
            deployments: self.deployments.elsewhere(),
        }
    }

    /// What of all turns the component may take.
    pub(crate) fn share(&self, component: &ComponentId) -> Arc<Share> {
        self.turns.share(component, || {
            let (attempts, waiting) = self.current().turn_limits(component);
            Share::new(attempts, waiting)
        })
    }

    /// Attempts that could begin at once.
    pub(crate) fn free_turns(&self) -> usize {
        self.turns.free()
    }

    /// What follows when an attempt of this invocation fails: what the current deployment says of what it began with.
    pub(crate) fn retry_policy(&self, header: &Header) -> RetryPolicy {
        let deployment = self.current();
        match (header.function.as_str(), minicbor::decode::<HttpRequest>(&header.input)) {
            (HTTP_FUNCTION, Ok(request)) => {
                deployment.retry_of_request(&header.component, &request.method, &request.path)
            }
            (function, _) => deployment.retry_of_function(&header.component, function),
        }
    }

    /// The invocation's work, to be polled by whoever waits for it. `None` while this node has it already.
    pub(crate) fn enter(self: &Arc<Self>, run: Run) -> Option<Running> {
        let invocation = run.invocation();
        if !self.here.lock().insert(invocation) {
            return None;
        }
        self.halts.enter(invocation, run.halt());
        // Removed on every way out, a panic included.
        let here = Here {
            inner: Arc::clone(self),
            invocation,
        };
        Some(Box::pin(async move {
            let _here = here;
            run.drive().await
        }))
    }

    /// Gives work nobody waits for a task of its own.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    /// The same for a run whose end is told by the database.
    pub(crate) fn spawn_run(&self, running: Running) {
        self.spawn(async move {
            running.await;
        });
    }

    /// Returns when this node takes no new work any more.
    pub(crate) async fn stopped(&self) {
        self.stop.asked().await;
    }

    /// A turn for a request of a component: now, or after a short wait.
    pub(crate) async fn turn(&self, component: &ComponentId) -> Result<Turn, Fault> {
        let turn = self.turns.ask(&self.share(component)).await;
        turn.inspect_err(|_| self.metrics.refused(component))
    }

    /// A turn for an attempt of a component, if there is one now.
    pub(crate) fn turn_now(&self, component: &ComponentId) -> Option<Turn> {
        self.turns.try_take(&self.share(component))
    }
}

struct Here {
    inner: Arc<Inner>,
    invocation: InvocationId,
}

impl Drop for Here {
    fn drop(&mut self) {
        self.inner.halts.leave(self.invocation);
        self.inner.here.lock().remove(&self.invocation);
        self.inner.changed.notify_waiters();
    }
}
