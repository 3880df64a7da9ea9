//! The node's sessions: one budget for all roles, so that the server's limit holds however many modules there are.
//!
//! A role's idle sessions are used last in, first out: a quiet role keeps few, and their caches stay warm. When the budget is
//! spent on idle sessions of other roles, the one idle longest makes room.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::config::{SslMode, SslNegotiation};

use crate::Error;
use crate::connection::{Closer, Connection, Refusal};
use crate::metrics::SqlMetrics;
use crate::target::Target;
use crate::transaction::{Watch, Watchdog};

/// The bounds of a node's sessions.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sessions of all modules together.
    pub budget: usize,
    /// Sessions of one role.
    pub per_role: usize,
    /// How long an invocation waits for a session before it is an overload.
    pub acquire_timeout: Duration,
    /// How long connecting may take; and so may telling the server that a statement is not waited for any more.
    pub connect_timeout: Duration,
    /// A session idle for this long is closed, at the latest after twice as long.
    pub idle_limit: Duration,
    /// How long a transaction, or a query, may last. Shorter than the lease, or a node that lost its lease could still commit.
    pub transaction_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            budget: 24,
            per_role: 12,
            acquire_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(3),
            idle_limit: Duration::from_secs(60),
            transaction_limit: Duration::from_secs(4),
        }
    }
}

/// How a module reaches its schema.
#[derive(Debug, Clone)]
pub struct ModuleConnection {
    /// Host or socket, TLS, the module's runtime role with its password, database, application name.
    pub target: Target,
    /// The schema its names are looked up in.
    pub schema: String,
    /// The server lets the role change settings of its session (`set_config` could not be revoked): they are reset after each use.
    pub reset: bool,
}

/// The sessions of all roles of a node.
pub struct Pools {
    options: Options,
    /// One permit a session in use. Idle sessions hold none, and are closed to make room.
    in_use: Arc<Semaphore>,
    state: Mutex<State>,
    watchdog: Arc<Watchdog>,
    pub(crate) metrics: SqlMetrics,
}

#[derive(Default)]
struct State {
    /// Sessions that exist or are being opened.
    open: usize,
    next_role: usize,
    /// Counts sweeps.
    tick: u64,
    /// Idle sessions by role, the last used at the end.
    idle: HashMap<usize, Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since_tick: u64,
}

impl Pools {
    /// Nothing is connected yet. Must be called within a Tokio runtime, which sweeps up idle sessions and watches transactions.
    pub fn new(options: Options) -> Arc<Self> {
        let in_use = Arc::new(Semaphore::new(options.budget));
        let watchdog = Watchdog::new(options.transaction_limit);
        let pools = Arc::new(Self {
            options,
            in_use,
            state: Mutex::default(),
            watchdog,
            metrics: SqlMetrics::default(),
        });
        tokio::spawn(sweep(Arc::downgrade(&pools), pools.options.idle_limit));
        pools
    }

    /// The sessions of one module.
    pub fn module(self: &Arc<Self>, module: ModuleConnection) -> Arc<ModulePool> {
        let role = {
            let mut state = self.state.lock();
            state.next_role += 1;
            state.next_role
        };
        let mut target = module.target;
        let config = &mut target.config;
        let options = [
            config.get_options().unwrap_or_default(),
            &session_options(&module.schema),
        ]
        .join(" ");
        config.options(options.trim());
        // The socket says whether it is encrypted, and is so before the driver has it.
        config
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct);
        let in_use = Arc::new(Semaphore::new(self.options.per_role));
        Arc::new(ModulePool {
            pools: Arc::clone(self),
            role,
            target,
            reset: module.reset,
            in_use,
        })
    }

    /// Sessions that exist, and how many of them are idle: for metrics.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.open, state.idle.values().map(Vec::len).sum())
    }

    pub(crate) fn budget(&self) -> usize {
        self.options.budget
    }

    /// Closes every idle session; those in use are closed when they are given back and found unusable.
    pub fn close_idle(&self) {
        let mut state = self.state.lock();
        let idle: usize = state.idle.drain().map(|(_, idle)| idle.len()).sum();
        state.open -= idle;
    }
}

/// Given at the start of the session, so that RESET comes back to them. A session is read-only unless a transaction says otherwise.
fn session_options(schema: &str) -> String {
    let schema = schema.replace('"', "\"\"");
    let settings = [
        ("search_path", format!("\"{schema}\"")),
        ("default_transaction_read_only", "on".to_owned()),
        ("TimeZone", "UTC".to_owned()),
    ];
    let escape = |value: &str| value.replace('\\', "\\\\").replace(' ', "\\ ");
    let options: Vec<_> = settings
        .iter()
        .map(|(name, value)| format!("-c {name}={}", escape(value)))
        .collect();
    options.join(" ")
}

async fn sweep(pools: Weak<Pools>, idle_limit: Duration) {
    loop {
        tokio::time::sleep(idle_limit).await;
        let Some(pools) = pools.upgrade() else { return };
        let mut state = pools.state.lock();
        let tick = state.tick;
        state.tick += 1;
        let mut closed = 0;
        state.idle.retain(|_, idle| {
            let before = idle.len();
            idle.retain(|idle| idle.since_tick == tick && idle.connection.is_usable());
            closed += before - idle.len();
            !idle.is_empty()
        });
        state.open -= closed;
    }
}

/// The sessions of one module's role.
pub struct ModulePool {
    pools: Arc<Pools>,
    role: usize,
    target: Target,
    reset: bool,
    in_use: Arc<Semaphore>,
}

impl ModulePool {
    pub(crate) fn transaction_limit(&self) -> Duration {
        self.pools.options.transaction_limit
    }

    /// A transaction begins on the session that this closes: ends it when it lasts too long.
    pub(crate) fn watch(&self, closer: Closer) -> Watch {
        self.pools.watchdog.watch(closer)
    }

    /// The module's runtime role.
    pub(crate) fn role(&self) -> &str {
        self.target.config.get_user().unwrap_or_default()
    }

    pub(crate) fn metrics(&self) -> &SqlMetrics {
        &self.pools.metrics
    }

    /// A session, idle or new.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        let (timeout, asked) = (self.pools.options.acquire_timeout, tokio::time::Instant::now());
        let overloaded = || Error::Overloaded {
            waited_ms: timeout.as_millis(),
        };
        let permits = async {
            let role = Arc::clone(&self.in_use).acquire_owned().await.ok()?;
            let node = Arc::clone(&self.pools.in_use).acquire_owned().await.ok()?;
            Some((role, node))
        };
        let permits = tokio::time::timeout(timeout, permits)
            .await
            .ok()
            .flatten()
            .ok_or_else(overloaded)
            .inspect_err(|_| self.metrics().refused(self.role()))?;
        let lease = self.with_permits(permits).await?;
        self.metrics().leased(asked.elapsed());
        Ok(lease)
    }

    /// Whether a session can be had, for who asks whether the node is ready. Where all that there may be are in use, they can.
    pub async fn probe(self: &Arc<Self>) -> Result<(), Error> {
        let role = Arc::clone(&self.in_use).try_acquire_owned();
        let node = Arc::clone(&self.pools.in_use).try_acquire_owned();
        match (role, node) {
            (Ok(role), Ok(node)) => self.with_permits((role, node)).await.map(drop),
            _ => Ok(()),
        }
    }

    async fn with_permits(self: &Arc<Self>, permits: Permits) -> Result<Lease, Error> {
        let mut lease = Lease {
            connection: None,
            busy: true,
            pool: Arc::clone(self),
            _permits: permits,
        };
        match self.take_idle_or_room() {
            Some(connection) => lease.connection = Some(connection),
            None => {
                // The room belongs to this until it becomes a session: also when the caller goes away meanwhile.
                let room = Room(Some(&self.pools));
                let opened = Connection::open(&self.target, self.pools.options.connect_timeout).await;
                let refused = |Refusal { reason, is_passing }| Error::Connect {
                    role: self.role().to_owned(),
                    reason,
                    is_passing,
                };
                lease.connection = Some(opened.map_err(refused)?);
                room.taken();
            }
        }
        lease.busy = false;
        Ok(lease)
    }

    /// An idle session of this role, or the right to open one.
    fn take_idle_or_room(&self) -> Option<Connection> {
        let mut state = self.pools.state.lock();
        while let Some(idle) = state.idle.get_mut(&self.role).and_then(Vec::pop) {
            if idle.connection.is_usable() {
                return Some(idle.connection);
            }
            state.open -= 1;
        }
        if state.open >= self.pools.options.budget {
            // Sessions in use hold permits, and so does this call: at least one session is idle.
            let longest = state
                .idle
                .iter()
                .filter(|(_, idle)| !idle.is_empty())
                .min_by_key(|(_, idle)| idle[0].since_tick);
            if let Some(role) = longest.map(|(role, _)| *role)
                && let Some(idle) = state.idle.get_mut(&role)
            {
                idle.remove(0);
                state.open -= 1;
            }
        }
        state.open += 1;
        None
    }
}

/// A place in the budget, given back unless a session took it.
struct Room<'a>(Option<&'a Pools>);

impl Room<'_> {
    fn taken(mut self) {
        self.0 = None;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if let Some(pools) = self.0 {
            pools.state.lock().open -= 1;
        }
    }
}

/// A session in use. Dropped while busy, it is closed: nobody knows its state.
pub(crate) struct Lease {
    connection: Option<Connection>,
    busy: bool,
    pool: Arc<ModulePool>,
    _permits: Permits,
}

/// The right to a session of a role, and to one of the node.
type Permits = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Lease {
    /// From here on the session is in the middle of something.
    pub(crate) fn begin(&mut self) {
        self.busy = true;
    }

    /// Everything sent was answered, and no transaction is open.
    pub(crate) fn settled(&mut self) {
        self.busy = false;
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("a lease holds its session until it is dropped")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection
            .as_mut()
            .expect("a lease holds its session until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let usable = connection.is_usable();
        let mut state = self.pool.pools.state.lock();
        if self.busy || !usable {
            state.open -= 1;
            drop(state);
            if usable {
                connection.closer().close();
            }
            return;
        }
        if self.pool.reset {
            // Asked by the first poll, and answered before whatever the next user sends.
            let reset = "RESET ALL; SELECT pg_catalog.pg_advisory_unlock_all()";
            let _ = connection.client().batch_execute(reset).now_or_never();
            connection.wire().touch();
        }
        let since_tick = state.tick;
        state
            .idle
            .entry(self.pool.role)
            .or_default()
            .push(Idle { connection, since_tick });
    }
}
