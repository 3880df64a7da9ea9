//! The connections to one database, and the node that speaks through them.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use host_types::{Clock, NodeId, Rng};
use ring::hmac;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use crate::data_keys::KeyRing;
use crate::error::is_busy;
use crate::metrics::StoreMetrics;
use crate::rate_limits::{COUNTING_CONNECTIONS, RATE_LIMITS, counting_pool};
use crate::secrets::Purpose;
use crate::wake::Notifier;
use crate::writer::Writer;
use crate::{Error, Result, application_name};

/// After this long a waiting request is better off with a 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
/// A start has nobody who waits for an answer: on a starved machine it takes its time.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two tries to begin the first session, where the server has no room yet.
const START_PAUSE: Duration = Duration::from_millis(200);
/// For connections in use to come back when the store closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Two writers, the lease, takeovers, the listener, the notifier: they never wait behind requests, nor for each other.
const RESERVED_CONNECTIONS: u32 = 6;
/// The secret that the passwords of modules are derived from.
pub(crate) const MODULE_LOGINS: Purpose = "module logins";
const OLDEST_SERVER: i32 = 15_00_00;

/// What a store needs besides the database.
#[derive(Clone)]
pub struct StoreOptions {
    /// Wraps every other key. The same on every node of a database, but while it is being replaced.
    pub master_key: [u8; 32],
    /// What else is secret, by purpose: its value in a database that holds none yet. See [`Store::secret`].
    pub secrets: Vec<(Purpose, [u8; 32])>,
    /// How long this node may be silent before others take over, milliseconds.
    pub lease_ms: u32,
    /// Connections for everything but the journal's writers, the lease and notifications, which have 6 of their own, and the counts of
    /// limited requests, which have 2.
    pub max_connections: u32,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

/// Who this process is to the database: every write carries it.
#[derive(Clone)]
pub struct NodeIdentity {
    /// The node.
    pub id: NodeId,
    /// Proves that a write is the node's; the database knows its hash alone.
    pub(crate) token: [u8; 32],
}

impl fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeIdentity({})", self.id)
    }
}

/// The database. Clones share everything.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) node: NodeIdentity,
    pub(crate) lease_ms: u32,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) database: String,
    /// Used until [`Store::serve`].
    starting: PgPool,
    /// Used from then on.
    serving: OnceLock<PgPool>,
    max_connections: u32,
    pub(crate) reserved: PgPool,
    pub(crate) counting: PgPool,
    pub(crate) keys: Arc<KeyRing>,
    /// By the database's clock; 0 before the node registered.
    pub(crate) last_heartbeat_ms: AtomicU64,
    /// Which database it is, among all servers' databases; known once [`Store::check_origin`] has looked.
    pub(crate) identity: OnceLock<String>,
    /// Derives the passwords of modules; known once the host's schema is there.
    pub(crate) login_key: OnceLock<hmac::Key>,
    /// Digests the buckets of limited requests; known once the host's schema is there.
    pub(crate) bucket_key: OnceLock<hmac::Key>,
    pub(crate) first_secrets: Vec<(Purpose, [u8; 32])>,
    pub(crate) writer: Writer,
    pub(crate) notifier: Notifier,
    pub(crate) metrics: StoreMetrics,
    session: PgConnectOptions,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({}, {:?})", self.inner.database, self.inner.node)
    }
}

impl Store {
    /// Connects, as a node that is not registered yet. Must be called within a tokio runtime, which runs the writers.
    ///
    /// The URL's user makes roles and schemas: a superuser, or one with CREATEROLE who owns the database.
    pub async fn connect(url: &str, options: StoreOptions) -> Result<Self> {
        let StoreOptions {
            master_key,
            secrets,
            lease_ms,
            max_connections,
            clock,
            rng,
        } = options;
        let node = NodeIdentity {
            id: NodeId::new(clock.unix_ms(), rng.bytes()),
            token: rng.bytes(),
        };
        let session = session_options(url)?
            .application_name(&application_name(node.id))
            // What waits for a lock is to see what was committed before it: a database may have another default.
            .options([("default_transaction_isolation", "read committed")]);

        let waited_s = START_TIMEOUT.as_secs();
        let mut first = tokio::time::timeout(START_TIMEOUT, first_session(&session))
            .await
            .map_err(|_| Error::Overloaded { waited_s })??;
        check_server(&mut first).await?;
        let database: String = sqlx::query_scalar("SELECT current_database()")
            .fetch_one(&mut first)
            .await?;
        first.close().await?;

        let max_connections = max_connections.max(1);
        let starting = request_pool(&session, max_connections, START_TIMEOUT);
        // A writer must not stand behind somebody's open transaction: the one append that does fails alone.
        let reserved = PgPoolOptions::new()
            .max_connections(RESERVED_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT);
        let reserved = reserved.connect_lazy_with(session.clone().options([("lock_timeout", "1s")]));

        let metrics = StoreMetrics::default();
        let writer = Writer::spawn(
            reserved.clone(),
            node.clone(),
            clock.clone(),
            u64::from(lease_ms),
            metrics.clone(),
        );
        let notifier = Notifier::spawn(reserved.clone());
        let mut first_secrets = secrets;
        for purpose in [MODULE_LOGINS, RATE_LIMITS] {
            first_secrets.push((purpose, derived_bytes(&master_key, purpose.as_bytes())));
        }
        let inner = Inner {
            node,
            lease_ms,
            clock,
            database,
            starting,
            serving: OnceLock::new(),
            max_connections,
            reserved,
            counting: counting_pool(&session),
            keys: Arc::new(KeyRing::new(&master_key, rng)),
            last_heartbeat_ms: AtomicU64::new(0),
            identity: OnceLock::new(),
            login_key: OnceLock::new(),
            bucket_key: OnceLock::new(),
            first_secrets,
            writer,
            notifier,
            metrics,
            session,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Who we are.
    pub fn node(&self) -> NodeId {
        self.inner.node.id
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.inner.database
    }

    /// The start is over: from here on a wait for a connection ends after 1 s instead of 30 s. For a node that serves; nothing
    /// else may be using the store meanwhile.
    pub async fn serve(&self) {
        let inner = &self.inner;
        inner
            .serving
            .get_or_init(|| request_pool(&inner.session, inner.max_connections, ACQUIRE_TIMEOUT));
        inner.starting.close().await;
        self.begin_counting().await;
    }

    /// Waits until every append handed over is written, and accepts no more.
    pub async fn finish_writing(&self) {
        self.inner.writer.close().await;
    }

    /// Waits until every append handed over is written, then closes the connections. For a process that ends.
    pub async fn close(&self) {
        self.inner.writer.close().await;
        // Somebody may still listen, or hold a connection: the end of the process closes that one.
        let Inner { reserved, counting, .. } = &*self.inner;
        let closed = async { tokio::join!(self.pool().close(), reserved.close(), counting.close()) };
        if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            tracing::debug!("connections are still in use");
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.inner.serving.get().unwrap_or(&self.inner.starting)
    }

    /// Sessions this store may have at once: its three pools, and the one that changes schemas or does the upkeep.
    pub(crate) fn connections(&self) -> u32 {
        self.inner.max_connections + RESERVED_CONNECTIONS + COUNTING_CONNECTIONS + 1
    }

    /// A connection beside the pools.
    pub(crate) async fn session_of_its_own(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.inner.session).await?)
    }

    /// A connection of its own that holds the lock under which this database's roles and schemas change: one node at a time.
    /// The lock ends with the connection, and that with a node that asks nothing of it any more: every start waits for this lock.
    pub(crate) async fn exclusive_session(&self) -> Result<PgConnection> {
        /// "nexus", for whoever looks at pg_locks.
        const LOCK: i64 = 0x6e_6578_7573;
        /// Between two questions there is next to nothing to do.
        const IDLE: &str = "10s";
        /// Between two tries. Who waited in one statement would keep its snapshot, and an index that is made CONCURRENTLY under the lock waits
        /// for those.
        const PAUSE: Duration = Duration::from_millis(20);
        let mut session = self.session_of_its_own().await?;
        loop {
            let (_, _, is_ours): (String, String, bool) = sqlx::query_as(
                "SELECT set_config('idle_session_timeout', $2, false), set_config('idle_in_transaction_session_timeout', $2, false),
                        pg_try_advisory_lock($1)",
            )
            .bind(LOCK)
            .bind(IDLE)
            .fetch_one(&mut session)
            .await?;
            if is_ours {
                return Ok(session);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// How a URL's database is connected to.
pub(crate) fn session_options(url: &str) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url).map_err(Error::Url)?;
    // A socket of this machine has no TLS. The driver would ask for it all the same, where the environment does for other servers.
    let is_socket = options.get_socket().is_some() || options.get_host().starts_with('/');
    let options = match is_socket {
        true => options.ssl_mode(PgSslMode::Disable),
        false => options,
    };
    Ok(options.disable_statement_logging())
}

fn request_pool(session: &PgConnectOptions, max_connections: u32, acquire_timeout: Duration) -> PgPool {
    let pool = PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(acquire_timeout);
    pool.connect_lazy_with(session.clone())
}

/// Waits where the server is there and has no room; whatever else is wrong would be wrong the next time.
async fn first_session(session: &PgConnectOptions) -> Result<PgConnection> {
    loop {
        match PgConnection::connect_with(session).await {
            Ok(first) => return Ok(first),
            Err(error) if is_busy(&error) => tokio::time::sleep(START_PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

pub(crate) async fn check_server(session: &mut PgConnection) -> Result<()> {
    let (version, found): (i32, String) =
        sqlx::query_as("SELECT current_setting('server_version_num')::integer, current_setting('server_version')")
            .fetch_one(session)
            .await?;
    match version < OLDEST_SERVER {
        true => Err(Error::ServerTooOld { found }),
        false => Ok(()),
    }
}

/// A key for one purpose, from the master key.
pub(crate) fn derived_key(master_key: &[u8; 32], purpose: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &derived_bytes(master_key, purpose))
}

pub(crate) fn derived_bytes(master_key: &[u8; 32], purpose: &[u8]) -> [u8; 32] {
    let master = hmac::Key::new(hmac::HMAC_SHA256, master_key);
    let mut derived = [0; 32];
    derived.copy_from_slice(hmac::sign(&master, purpose).as_ref());
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_asked_for_over_tcp_alone() {
        let mode = |url: &str| format!("{:?}", session_options(url).unwrap().get_ssl_mode());
        assert_eq!(mode("postgres://u@%2Frun/x?sslmode=require"), "Disable");
        assert_eq!(mode("postgres:///x?host=/run&user=u&sslmode=verify-full"), "Disable");
        assert_eq!(mode("postgres://u@db.example/x?sslmode=require"), "Require");
    }
}
