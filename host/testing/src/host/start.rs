//! The process of a test host: what `nexus up` wires together, on threads of its own, so that it can end without asking anybody.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use host_basic::{MasterKey, PasswordOptions, Passwords, Services, TokenKeys};
use host_http_client::{Connector, SystemResolver};
use host_invoker::{
    Cron, Deliveries, Invoker, InvokerOptions, Lease, LeaseTerm, Listener, Scheduler, Strays, TurnLimits,
};
use host_metrics::{Exposition, Registry};
use host_recorder::interpose::interpose_here;
use host_runtime::{Deployment, Outside, Runtime, RuntimeOptions};
use host_sql::{ModuleConnection, ModulePool, Pools, Target};
use host_store::{MigrateOptions, ModuleLogin, Registration, Store, StoreOptions};
use host_traces::Traces;
use host_types::{ComponentId, CorrectedClock, Rng, SystemClock, SystemRng};
use tokio::sync::watch;

use super::event_log::DatabaseLog;
use super::key_values::DatabaseBackend;
use super::request_counter::DatabaseCounter;
use super::watched::Watched;
use super::{Disturbance, TestApp};
use crate::SimClock;

/// Of all hosts that tests start.
const MASTER_KEY: [u8; 32] = [7; 32];
const LEASE: Duration = Duration::from_secs(10);
const EFFECT_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 8;
/// Of the data directory that a process in a test has none of.
const NODE_NAME: &str = "test";
/// A test that moves ticks into the past waits for them.
const LOOK_AT_THE_CLOCK: Duration = Duration::from_millis(20);
const TURNS: TurnLimits = TurnLimits {
    attempts: 64,
    waiting: 256,
};

/// What a process is made from.
pub(crate) struct Parts {
    pub(crate) app: TestApp,
    pub(crate) database_url: String,
    pub(crate) listener: TcpListener,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) disturbance: Arc<Disturbance>,
    /// None: the database is to be prepared.
    pub(crate) logins: Option<Logins>,
}

/// How the modules log in, by schema.
pub(crate) type Logins = HashMap<String, ModuleLogin>;

/// What a started process gives out.
pub(crate) struct Serving {
    pub(crate) logins: Logins,
    pub(crate) store: Arc<Store>,
    pub(crate) invoker: Invoker,
    pub(crate) deployment: Arc<Deployment>,
}

/// A running host.
pub(crate) struct Process {
    serving: Option<Serving>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Process {
    pub(crate) async fn start(parts: Parts) -> Result<Self> {
        let disturbance = Arc::clone(&parts.disturbance);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || interpose_here(Arc::clone(&disturbance) as _))
            .enable_all()
            .build()?;
        let started = runtime.spawn(serve(parts));
        // Before anything is awaited: a runtime may not be dropped by an async task, but this may.
        let mut process = Self {
            serving: None,
            runtime: Some(runtime),
        };
        let started = started.await;
        process.serving = Some(started.context("the start panicked")??);
        Ok(process)
    }

    /// Does something on the process's own threads, where it ends with them.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T> {
        let runtime = self.runtime.as_ref().context("the process has ended")?;
        runtime.spawn(work).await.context("the process ended at this")
    }

    /// Whatever it was doing is not done. Returns when its threads are gone.
    pub(crate) async fn end(mut self) {
        /// Longer than anything that a thread does without an await.
        const LAST_STEPS: Duration = Duration::from_secs(10);
        if let Some(runtime) = self.runtime.take() {
            let ending = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(LAST_STEPS));
            // What it unwound it was unwound by.
            let _ = ending.await;
        }
    }

    pub(crate) fn serving(&self) -> &Serving {
        self.serving.as_ref().expect("a process that was started serves")
    }
}

/// The database, and the host's own part of it as every process puts it right.
async fn open_store(database_url: &str) -> Result<Arc<Store>> {
    let options = StoreOptions {
        master_key: MASTER_KEY,
        secrets: Vec::new(),
        lease_ms: LEASE.as_millis() as u32,
        max_connections: CONNECTIONS,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng::new()),
    };
    let store = Store::connect(database_url, options).await?;
    store.migrate_host().await?;
    Ok(Arc::new(store))
}

/// The modules' schemas, migrated, with a login for each.
async fn prepare_modules(app: &TestApp, store: &Store) -> Result<Logins> {
    let mut logins = Logins::new();
    for component in app.app().components.values() {
        if let Some(schema) = &component.schema {
            let login = store.provision_module(schema.as_str()).await?;
            logins.insert(schema.to_string(), login);
        }
    }
    for (schema, folder) in app.migrations() {
        let others = app.app().components_without(&schema);
        let options = MigrateOptions {
            node_name: NODE_NAME,
            others: &others,
            force: false,
        };
        store.migrate_module(&schema, &folder, &options).await?;
    }
    store.restrict_public().await?;
    Ok(logins)
}

type ModulePools = HashMap<ComponentId, Arc<ModulePool>>;

fn module_pools(
    app: &TestApp,
    logins: &Logins,
    database_url: &str,
    registration: &Registration,
    options: host_sql::Options,
) -> Result<ModulePools> {
    let pools = Pools::new(options);
    let mut by_component = HashMap::new();
    for component in app.app().components.values() {
        let Some(schema) = &component.schema else { continue };
        let login = logins.get(schema.as_str()).context("a module has a login")?;
        let mut target = Target::read(database_url, |_| None)?;
        let config = target.config.user(&login.role).password(&login.password);
        config.application_name(host_store::application_name(registration.node));
        let connection = ModuleConnection {
            target,
            schema: schema.to_string(),
            reset: false,
        };
        by_component.insert(component.id.clone(), pools.module(connection));
    }
    Ok(by_component)
}

/// Everything runs on the runtime this is called on.
async fn serve(parts: Parts) -> Result<Serving> {
    let Parts {
        app,
        database_url,
        listener,
        clock,
        disturbance,
        logins,
    } = parts;
    let rng: Arc<dyn Rng> = Arc::new(SystemRng::new());
    let store = open_store(&database_url).await?;
    let logins = match logins {
        Some(logins) => logins,
        None => prepare_modules(&app, &store).await?,
    };
    let pool_options = host_sql::Options::default();
    let sessions = u32::try_from(pool_options.budget).unwrap_or(u32::MAX);
    // Always the same name: the one before is dead.
    let registration = store.register_node(NODE_NAME, sessions).await?;
    let pools = module_pools(&app, &logins, &database_url, &registration, pool_options)?;
    let services = Arc::new(Services {
        passwords: Passwords::new(&PasswordOptions::new(2), Arc::clone(&rng))?,
        tokens: TokenKeys::new(MasterKey::new(&MASTER_KEY)),
    });
    services.tokens.replace(vec![MasterKey::new(&MASTER_KEY)]);
    let revisions = app.revisions().iter();
    let registered: Vec<_> = revisions
        .map(|(id, digest, wasm)| (id.clone(), *digest, wasm.as_slice()))
        .collect();
    let number = store
        .register_deployment(&registered, Some(&app.app().pinned()))
        .await?;
    // The lease is between node and database, and neither's clock can be set.
    let lease_term = Arc::new(LeaseTerm::new(Arc::new(SystemClock), registration.heartbeat));
    let runtime = Runtime::new(RuntimeOptions {
        engine: app.engine().clone(),
        cache: app.cache()?,
        app: Arc::clone(app.app()),
        pools,
        services: Arc::clone(&services),
        outside: Outside {
            connector: Arc::new(Connector::new(Arc::new(SystemResolver), Vec::new())?),
            key_values: Arc::new(DatabaseBackend(Arc::clone(&store))),
            lease_left: {
                let lease_term = Arc::clone(&lease_term);
                Arc::new(move || lease_term.left())
            },
            effect_timeout: EFFECT_TIMEOUT,
            longest_effect: EFFECT_TIMEOUT,
        },
        master_key: MasterKey::new(&MASTER_KEY),
    });
    let deployment = Arc::new(runtime.deploy(number, app.revisions().to_vec()).await?);
    let corrected = CorrectedClock::new(Arc::clone(&clock) as _, registration.heartbeat.clock_offset_ms);
    let corrected = Arc::new(corrected);
    let invoker = Invoker::new(InvokerOptions {
        store: Arc::new(Watched {
            store: Arc::clone(&store),
            clock,
            disturbance,
        }),
        runtime: Arc::new(runtime),
        deployment: Arc::clone(&deployment) as _,
        clock: Arc::clone(&corrected),
        rng: Arc::clone(&rng),
        claim_secret: MASTER_KEY,
        turns: TURNS,
        lease_term,
        traces: Traces::default(),
    });
    store.serve().await;
    let lease = Lease::new(invoker.clone(), LEASE);
    for predecessor in registration.predecessors {
        lease.succeed(predecessor).await;
    }
    let deliveries = Deliveries::register(invoker.clone(), Arc::clone(&store)).await?;
    tokio::spawn(lease.keep());
    tokio::spawn(Scheduler::new(invoker.clone()).run());
    tokio::spawn(Strays::new(invoker.clone()).run());
    let cron = Cron::new(invoker.clone(), Arc::clone(&store));
    tokio::spawn(cron.looking_every(LOOK_AT_THE_CLOCK).run());
    tokio::spawn(Listener::new(invoker.clone()).run());
    tokio::spawn(deliveries.run());

    let log = Arc::new(DatabaseLog(Arc::clone(&store)));
    let streams = host_http::Streams::new(log, invoker.published());
    tokio::spawn(streams.clone().run());
    let (ready, readiness) = watch::channel(host_http::Readiness::default());
    let server = host_http::Server::new(host_http::ServerOptions {
        listener: tokio::net::TcpListener::from_std(listener)?,
        app: Arc::clone(app.app()),
        client: Arc::new(invoker.clone()),
        verifier: Arc::new(move |key: &str, token: &str, now_ms: u64| {
            let verified = services.tokens.verify(key, token, now_ms);
            let verified = verified.map_err(|error| error.to_string())?;
            Ok(host_http::Verified {
                payload: verified.payload,
            })
        }),
        trusted_proxies: host_http::TrustedProxies::default(),
        counter: Arc::new(DatabaseCounter(Arc::clone(&store))),
        streams,
        readiness,
        clock: corrected,
        rng,
        metrics: host_http::HttpMetrics::default(),
        exposition: Arc::new(Exposition::new(Registry::default())),
        limits: host_http::Limits::default(),
        traces: Traces::default(),
    });
    tokio::spawn(async move {
        // Asked by nobody; the server reads it while it serves.
        let _ready = ready;
        server.run(std::future::pending()).await;
    });
    Ok(Serving {
        logins,
        store,
        invoker,
        deployment,
    })
}
