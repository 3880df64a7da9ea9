//! What is shared by all runs of this node.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use host_journal::{Header, RetryPolicy};
use host_runtime::Deployment;
use host_store::Heartbeat;
use host_traces::Traces;
use host_types::{Clock, ComponentId, DeploymentNumber, Fault, HttpRequest, InvocationId, Rng};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::claims::Claims;
use crate::database::Database;
use crate::halt::Halts;
use crate::handlers::{Deploy, Handlers};
use crate::lease::LeaseTerm;
use crate::metrics::InvokerMetrics;
use crate::run::{Ended, HTTP_FUNCTION, Run};
use crate::waits::Waits;

/// What an invoker needs.
pub struct InvokerOptions {
    /// Invocations, journals, leases.
    pub store: Arc<dyn Database>,
    /// Builds deployments of other numbers than the current one.
    pub runtime: Arc<dyn Deploy>,
    /// What new invocations run on.
    pub deployment: Arc<dyn Handlers>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Seeds and jitter.
    pub rng: Arc<dyn Rng>,
    /// Keys the hashes of idempotency keys; the same on every node of a database.
    pub claim_secret: [u8; 32],
    /// Attempts at once.
    pub max_attempts: usize,
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
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) claims: Claims,
    pub(crate) runtime: Arc<dyn Deploy>,
    current: ArcSwap<Arc<dyn Handlers>>,
    /// Deployments that open invocations are pinned to.
    pinned: Mutex<HashMap<DeploymentNumber, Arc<dyn Handlers>>>,
    capacity: Arc<Semaphore>,
    /// What of it each component may take.
    shares: Mutex<HashMap<ComponentId, Arc<Semaphore>>>,
    share: usize,
    /// Invocations at work on this node.
    pub(crate) here: Mutex<HashSet<InvocationId>>,
    tasks: Mutex<JoinSet<()>>,
    draining: watch::Sender<bool>,
    /// How what runs here is stopped.
    pub(crate) halts: Halts,
    /// Whether the last heartbeat allowed this node to take work.
    may_work: AtomicBool,
    pub(crate) lease_term: Arc<LeaseTerm>,
    /// Something ended here: those who wait for that look again.
    pub(crate) changed: Notify,
    /// Promises, and who waits for them here.
    pub(crate) waits: Arc<Waits>,
    /// Held by the dry run under way.
    pub(crate) dry_runs: tokio::sync::Mutex<()>,
    pub(crate) metrics: InvokerMetrics,
    pub(crate) traces: Traces,
}

/// An invocation at work. Dropped, it stops where it is.
pub(crate) type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Methods whose requests may carry an idempotency key.
const KEYED_METHODS: [&str; 4] = ["POST", "PATCH", "PUT", "DELETE"];
/// How long an attempt waits for its turn.
const CAPACITY_WAIT: Duration = Duration::from_secs(1);

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
            max_attempts,
            lease_term,
            traces,
        } = options;
        let draining = watch::Sender::new(false);
        let waits = Waits::new(Arc::clone(&store), draining.subscribe());
        let inner = Inner {
            store,
            clock,
            rng,
            claims: Claims::new(&claim_secret),
            runtime,
            pinned: Mutex::new(HashMap::from([(deployment.number(), Arc::clone(&deployment))])),
            current: ArcSwap::from_pointee(deployment),
            capacity: Arc::new(Semaphore::new(max_attempts)),
            shares: Mutex::default(),
            share: (max_attempts / 2).max(1),
            here: Mutex::default(),
            tasks: Mutex::default(),
            draining,
            halts: Halts::default(),
            may_work: AtomicBool::new(true),
            lease_term,
            changed: Notify::new(),
            waits: Arc::new(waits),
            dry_runs: tokio::sync::Mutex::default(),
            metrics: InvokerMetrics::default(),
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

    /// Takes no new work, waits for what runs at most `patience`; what is durable and unfinished is left to other nodes.
    pub async fn drain(&self, patience: Duration) {
        self.inner.draining.send_replace(true);
        let drained = self.inner.until(HashSet::is_empty);
        if tokio::time::timeout(patience, drained).await.is_err() {
            tracing::warn!(
                open = self.inner.here.lock().len(),
                "stopping with open invocations; another start finishes them"
            );
        }
        self.inner.tasks.lock().abort_all();
    }
}

impl Inner {
    /// No new work: the node is stopping, or its clock is off.
    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow() || !self.may_work.load(Ordering::Relaxed)
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
        self.lease_term.renew(heartbeat);
        if self.may_work.swap(heartbeat.may_work, Ordering::Relaxed) && !heartbeat.may_work {
            tracing::error!(
                clock_offset_ms = heartbeat.clock_offset_ms,
                "this machine's clock is off: no new work until it agrees with the database's",
            );
        }
    }

    pub(crate) fn current(&self) -> Arc<dyn Handlers> {
        Arc::clone(&self.current.load())
    }

    /// The deployment of this number, which an open invocation is pinned to.
    pub(crate) async fn pinned(&self, number: DeploymentNumber) -> Result<Arc<dyn Handlers>, Fault> {
        if let Some(deployment) = self.pinned.lock().get(&number) {
            return Ok(Arc::clone(deployment));
        }
        let stored = self
            .store
            .deployment(number)
            .await
            .map_err(|error| Fault::Transient(error.to_string()))?;
        let mut revisions = Vec::new();
        for (component, digest) in stored.components {
            let wasm = self
                .store
                .revision(digest)
                .await
                .map_err(|error| Fault::Transient(error.to_string()))?;
            revisions.push((component, digest, wasm));
        }
        let deployment = self.runtime.deploy(number, revisions).await?;
        Ok(Arc::clone(self.pinned.lock().entry(number).or_insert(deployment)))
    }

    /// Waits for the component's turn. One component takes half of all turns at most, so that others have theirs.
    pub(crate) async fn capacity(&self, component: &ComponentId) -> Result<Turn, Fault> {
        let share = {
            let mut shares = self.shares.lock();
            let share = shares.entry(component.clone());
            Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(self.share))))
        };
        let turn = async {
            let _share = share.acquire_owned().await.ok()?;
            let _all = Arc::clone(&self.capacity).acquire_owned().await.ok()?;
            Some(Turn { _share, _all })
        };
        let turn = tokio::time::timeout(CAPACITY_WAIT, turn).await.ok().flatten();
        turn.ok_or_else(|| {
            self.metrics.refused(component);
            Fault::Overloaded("too many requests are under way".into())
        })
    }

    /// Attempts that could begin at once.
    pub(crate) fn free_turns(&self) -> usize {
        self.capacity.available_permits()
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
    pub(crate) fn spawn(&self, running: Running) {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            running.await;
        });
    }
}

/// The right to make attempts, given back when dropped.
pub(crate) struct Turn {
    _share: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
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
