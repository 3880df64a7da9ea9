//! Everything wired together: from options to a serving host.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use host_admin::Timestamp;
use host_basic::{MasterKey, PasswordOptions, Passwords, Services, TokenKeys};
use host_http::{Check, Readiness, TrustedProxies};
use host_http_client::{Connector, SystemResolver};
use host_invoker::{
    Cron, DeadLetters, Deliveries, First, Invoker, InvokerOptions, Lease, LeaseTerm, Listener, Revisions, Scheduler,
    Strays, TurnLimits,
};
use host_runtime::{Outside, Runtime, RuntimeOptions};
use host_sql::{ModuleConnection, ModulePool, Pools, Target};
use host_store::{GoneBecause, MigrateOptions, ModuleLogin, Purpose, Restored, Store, StoreOptions};
use host_traces::Traces;
use host_types::{Clock, ComponentId, CorrectedClock, Rng, SystemClock, SystemRng};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::application::{Application, Checked};
use crate::background::{
    Needs, keep_last_seen, last_seen, look_after, look_for_keys, remember, retentions, tidy_compiled, token_keys,
    upkeep,
};
use crate::event_log::DatabaseLog;
use crate::key_values::DatabaseBackend;
use crate::keys::InstallationKey;
use crate::metrics::{self, Sources};
use crate::operate::Operator;
use crate::patience::{self, LEASE};
use crate::request_counter::DatabaseCounter;
use crate::sockets::Sockets;
use crate::target::target;
use crate::traces;

/// What a host needs.
pub(crate) struct HostOptions<'a> {
    pub(crate) application: &'a Application,
    pub(crate) checked: Checked,
    pub(crate) data_dir: &'a Path,
    pub(crate) database_url: &'a str,
    pub(crate) sockets: Sockets,
    pub(crate) trusted_proxies: TrustedProxies,
    /// How long this node counts as alive after its last heartbeat.
    pub(crate) lease: Duration,
    /// How long ended invocations are kept, where a component does not say.
    pub(crate) retention: Duration,
    /// The database was restored from a backup, whether that can be noticed or not.
    pub(crate) is_restored: bool,
}

/// What opening a store is to know besides.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    /// Where the last heartbeat and the node's name are kept.
    pub(crate) data_dir: &'a Path,
    /// Of the node, if it will be one.
    pub(crate) lease: Duration,
    /// The operator says that the database was restored from a backup.
    pub(crate) is_restored: bool,
    /// Migrations are applied although what they take away may still be used.
    pub(crate) force: bool,
}

/// A host that serves.
pub(crate) struct Host {
    pub(crate) url: String,
    pub(crate) admin_url: String,
    pub(crate) admin_token: String,
    invoker: Invoker,
    store: Arc<Store>,
    data_dir: PathBuf,
    ready: Arc<watch::Sender<Readiness>>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    looks_after: JoinHandle<()>,
    lease_lost: watch::Receiver<bool>,
    drain: Duration,
    traces: Traces,
}

/// Secrets of an installation: what signs tokens, what makes fingerprints of values, what hides configuration in journals, what hides the keys of
/// requests.
pub(crate) const TOKENS: Purpose = "tokens";
const FINGERPRINTS: Purpose = "fingerprints";
const CONFIG: Purpose = "config";
const IDEMPOTENCY_KEYS: Purpose = "idempotency keys";
/// What all components together may have. Each attempt holds an instance or more, and the pool has two thousand.
const TURNS: TurnLimits = TurnLimits {
    attempts: 256,
    waiting: 1024,
};
/// The store's own connections, the journal's writers among them.
const STORE_CONNECTIONS: u32 = 6;

/// What [`open_store`] would run.
pub(crate) async fn pending_migrations(
    application: &Application,
    database_url: &str,
    key: &InstallationKey,
    clock: &Arc<dyn Clock>,
    rng: &Arc<dyn Rng>,
) -> Result<Vec<String>> {
    let store = connect(database_url, LEASE, key, clock, rng).await?;
    let mut pending = store.pending_host().await?;
    for (schema, folder) in module_migrations(application) {
        pending.extend(store.pending_module(&schema, &folder).await?);
    }
    store.close().await;
    Ok(pending
        .into_iter()
        .map(|migration| format!("{}/{}", migration.schema, migration.file))
        .collect())
}

pub(crate) async fn connect(
    database_url: &str,
    lease: Duration,
    key: &InstallationKey,
    clock: &Arc<dyn Clock>,
    rng: &Arc<dyn Rng>,
) -> Result<Store> {
    let options = StoreOptions {
        master_key: key.derive("store"),
        // As they were derived before the database held them.
        secrets: vec![
            (TOKENS, key.derive("tokens")),
            (FINGERPRINTS, key.derive("tokens")),
            (CONFIG, key.derive("config")),
            (IDEMPOTENCY_KEYS, key.derive("idempotency keys")),
        ],
        lease_ms: lease.as_millis() as u32,
        max_connections: STORE_CONNECTIONS,
        clock: Arc::clone(clock),
        rng: Arc::clone(rng),
    };
    // Whatever the sessions are for: one URL is good for all verbs, or for none.
    target(database_url)?;
    Ok(Store::connect(database_url, options).await?)
}

/// Schemas with their folders of migrations.
fn module_migrations(application: &Application) -> Vec<(String, PathBuf)> {
    let schemas = application
        .app
        .components
        .values()
        .filter_map(|component| component.schema.as_ref());
    let folders = schemas.map(|schema| {
        (
            schema.to_string(),
            application.root.join("migrations").join(schema.as_str()),
        )
    });
    folders.filter(|(_, folder)| folder.is_dir()).collect()
}

/// The database, migrated, with a login for each module. After a restore from a backup everything open in it is paused.
pub(crate) async fn open_store(
    application: &Application,
    database_url: &str,
    opening: Opening<'_>,
    key: &InstallationKey,
    clock: &Arc<dyn Clock>,
    rng: &Arc<dyn Rng>,
) -> Result<Arc<Store>> {
    let Opening {
        data_dir,
        lease,
        is_restored,
        force,
    } = opening;
    let node_name = node_name(data_dir, &**rng)?;
    let store = connect(database_url, lease, key, clock, rng).await?;
    store.migrate_host().await?;
    if let Some(Restored { why, paused }) = store.check_origin(last_seen(data_dir).as_ref(), is_restored).await? {
        tracing::warn!(
            why,
            paused,
            "the database was restored from a backup: whatever was open in it is paused; look at it, then \
             `nexus invocations resume --status paused --yes`"
        );
    }
    for component in application.app.components.values() {
        if let Some(schema) = &component.schema {
            store.provision_module(schema.as_str()).await?;
        }
    }
    for (schema, folder) in module_migrations(application) {
        let others = application.app.components_without(&schema);
        let options = MigrateOptions {
            node_name: &node_name,
            others: &others,
            force,
        };
        store.migrate_module(&schema, &folder, &options).await?;
    }
    Ok(Arc::new(store))
}

/// How a module's sessions reach their schema. `open` is what could not be taken from everybody.
pub(crate) fn module_connection(
    target: &Target,
    schema: &str,
    login: &ModuleLogin,
    open: &[String],
) -> ModuleConnection {
    let mut target = target.clone();
    target.config.user(&login.role).password(&login.password);
    ModuleConnection {
        target,
        schema: schema.to_owned(),
        reset: open.iter().any(|function| function.contains("set_config")),
    }
}

/// The first session of a module: what keeps all of them out is told before anything is served.
async fn try_session(component: &ComponentId, pool: &Arc<ModulePool>) -> Result<()> {
    match pool.probe().await {
        Ok(()) => Ok(()),
        Err(error) if error.is_passing() => {
            tracing::warn!(%error, "modules have no session yet");
            Ok(())
        }
        Err(error) => Err(error).with_context(|| {
            format!(
                "{component} cannot reach the database as this host can: let the modules' roles (DATABASE_SCHEMA) in where pg_hba.conf lets in \
                 the URL's user, and look at the URL's sslmode and sslrootcert"
            )
        }),
    }
}

impl Host {
    pub(crate) async fn start(options: HostOptions<'_>) -> Result<Self> {
        let HostOptions {
            application,
            checked: Checked {
                engine,
                cache,
                revisions,
            },
            data_dir,
            database_url,
            sockets,
            trusted_proxies,
            lease,
            retention,
            is_restored,
        } = options;
        let target = target(database_url)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rng: Arc<dyn Rng> = Arc::new(SystemRng::new());
        let key = InstallationKey::load(data_dir, &*rng)?;
        let opening = Opening {
            data_dir,
            lease,
            is_restored,
            force: false,
        };
        let traces = traces::from_environment();
        let store = open_store(application, database_url, opening, &key, &clock, &rng).await?;

        let pool_options = host_sql::Options::default();
        let sessions = u32::try_from(pool_options.budget).unwrap_or(u32::MAX);
        let registration = store.register_node(&node_name(data_dir, &*rng)?, sessions).await?;
        let open = store.restrict_public().await?;
        if !open.is_empty() {
            tracing::warn!(functions = ?open, "this database user may not revoke these from PUBLIC; see `nexus doctor`");
        }
        let pools = Pools::new(pool_options);
        let mut module_pools = HashMap::new();
        for component in application.app.components.values() {
            if let Some(schema) = &component.schema {
                let login = store.provision_module(schema.as_str()).await?;
                let mut connection = module_connection(&target, schema.as_str(), &login, &open);
                let name = host_store::application_name(registration.node);
                connection.target.config.application_name(name);
                module_pools.insert(component.id.clone(), pools.module(connection));
            }
        }
        let sessions_of = module_pools.iter().map(|(id, pool)| (id.clone(), Arc::clone(pool)));
        let sessions_of: Vec<_> = sessions_of.collect();
        if let Some((component, pool)) = sessions_of.first() {
            try_session(component, pool).await?;
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let services = Arc::new(Services {
            passwords: Passwords::new(&PasswordOptions::new(cores), Arc::clone(&rng))?,
            tokens: TokenKeys::new(MasterKey::new(&secret(&store, FINGERPRINTS).await?)),
        });
        services.tokens.replace(token_keys(&store).await?);
        let lease_term = Arc::new(LeaseTerm::new(Arc::clone(&clock), registration.heartbeat));
        // What invocations know of time, their ids included, is by the database's clock, whichever node they are on.
        let corrected = CorrectedClock::new(Arc::clone(&clock), registration.heartbeat.clock_offset_ms);
        let corrected = Arc::new(corrected);
        let outside = Outside {
            connector: Arc::new(Connector::new(Arc::new(SystemResolver), Vec::new())?),
            key_values: Arc::new(DatabaseBackend(Arc::clone(&store))),
            lease_left: {
                let lease_term = Arc::clone(&lease_term);
                Arc::new(move || lease_term.left())
            },
            effect_timeout: patience::EFFECT,
            longest_effect: patience::longest_effect(lease),
        };
        let runtime = Arc::new(Runtime::new(RuntimeOptions {
            engine,
            cache: cache.clone(),
            app: Arc::clone(&application.app),
            pools: module_pools,
            services: Arc::clone(&services),
            outside,
            master_key: MasterKey::new(&secret(&store, CONFIG).await?),
        }));
        let first = First::make(&store, &runtime, revisions).await?;
        let invoker = Invoker::new(InvokerOptions {
            store: Arc::clone(&store) as _,
            runtime: Arc::clone(&runtime) as _,
            deployment: Arc::clone(&first.deployment) as _,
            clock: Arc::clone(&corrected),
            rng: Arc::clone(&rng),
            claim_secret: secret(&store, IDEMPOTENCY_KEYS).await?,
            turns: TURNS,
            lease_term,
            traces: traces.clone(),
        });

        // Nothing has asked for a connection in the name of a client yet: from here on, whoever waits for one is let go soon.
        store.serve().await;
        let drain = patience::drain(lease);
        let lease = Lease::new(invoker.clone(), lease);
        // The data directory's lock says that its earlier processes are dead: no need to wait until their leases run out.
        for predecessor in registration.predecessors {
            lease.succeed(predecessor).await;
        }
        // Before anything is served: what is published from here on is delivered.
        let deliveries = Deliveries::register(invoker.clone(), Arc::clone(&store)).await?;
        let revisions = Arc::new(Revisions::new(invoker.clone(), Arc::clone(&store), first));
        let (listener, admin_listener) = sockets.listen()?;
        let url = format!("http://{}", listener.local_addr()?);
        let admin_url = format!("http://{}", admin_listener.local_addr()?);
        // From here on nothing fails, and nothing is waited for: what runs beside this would go on without it.
        let (lost, lease_lost) = watch::channel(false);
        let mut background = vec![
            tokio::spawn(async move {
                lease.keep().await;
                lost.send_replace(true);
            }),
            tokio::spawn(Scheduler::new(invoker.clone()).run()),
            tokio::spawn(Strays::new(invoker.clone()).run()),
            tokio::spawn(Cron::new(invoker.clone(), Arc::clone(&store)).run()),
            tokio::spawn(Listener::new(invoker.clone()).run()),
            tokio::spawn(deliveries.run()),
            tokio::spawn({
                let revisions = Arc::clone(&revisions);
                async move { revisions.run().await }
            }),
            tokio::spawn(look_for_keys(Arc::clone(&store), Arc::clone(&services))),
            tokio::spawn(remember(Arc::clone(&store), data_dir.to_owned())),
            tokio::spawn(upkeep(Arc::clone(&store), retentions(&application.app, retention))),
            tokio::spawn(tidy_compiled(cache, Arc::clone(&store), invoker.clone())),
        ];
        let (ready, readiness) = watch::channel(Readiness::default());
        let ready = Arc::new(ready);
        let needs = Needs {
            store: Arc::clone(&store),
            invoker: invoker.clone(),
            pools: sessions_of,
        };
        let looks_after = tokio::spawn(look_after(needs, Arc::clone(&ready)));

        let (stop, stopped) = watch::channel(false);
        let admin_token = hex::encode(rng.bytes::<32>());
        let http_metrics = host_http::HttpMetrics::default();
        let exposition = metrics::exposition(Sources {
            http: &http_metrics,
            invoker: &invoker,
            runtime: &runtime,
            pools: &pools,
            store: &store,
            clock: &clock,
        });
        let log = Arc::new(DatabaseLog(Arc::clone(&store)));
        let streams = host_http::Streams::new(log, invoker.published());
        background.push(tokio::spawn(streams.clone().run()));
        let mut limits = host_http::Limits::default();
        // Whoever waits for what is under way is told of its end.
        limits.connections.drain_timeout = drain;
        let server = host_http::Server::new(host_http::ServerOptions {
            listener,
            app: Arc::clone(&application.app),
            client: Arc::new(invoker.clone()),
            verifier: Arc::new(move |key: &str, token: &str, now_ms: u64| {
                let verified = services
                    .tokens
                    .verify(key, token, now_ms)
                    .map_err(|error| error.to_string())?;
                Ok(host_http::Verified {
                    payload: verified.payload,
                })
            }),
            trusted_proxies,
            counter: Arc::new(DatabaseCounter(Arc::clone(&store))),
            streams,
            readiness,
            clock: corrected,
            rng: Arc::clone(&rng),
            metrics: http_metrics,
            exposition: Arc::new(exposition),
            traces: traces.clone(),
            limits,
        });
        let dead_letters = DeadLetters::new(invoker.clone(), Arc::clone(&store));
        let operator = Operator {
            dead_letters,
            store: Arc::clone(&store),
            invoker: invoker.clone(),
            revisions,
            started: Timestamp::from_unix_ms(clock.unix_ms().cast_signed()),
        };
        let admin = host_admin::Server::new(admin_listener, admin_token.clone(), Arc::new(operator));
        let servers = vec![
            tokio::spawn(server.run(wait_for(stopped.clone()))),
            tokio::spawn(admin.run(wait_for(stopped))),
        ];
        Ok(Self {
            url,
            admin_url,
            admin_token,
            invoker,
            store,
            data_dir: data_dir.to_owned(),
            ready,
            stop,
            servers,
            background,
            looks_after,
            lease_lost,
            drain,
            traces,
        })
    }

    /// Returns when others have declared this node gone: it can do nothing any more.
    pub(crate) async fn lease_lost(&self) {
        wait_for(self.lease_lost.clone()).await;
    }

    /// Says that it is not ready and goes on for `grace`, so that whoever sends requests here hears of it first. Then stops accepting,
    /// lets what has begun end, and leaves the rest to other nodes, at once.
    pub(crate) async fn stop(self, grace: Duration) -> Result<()> {
        let traces = self.traces.clone();
        let stopped = self.wind_up(grace).await;
        // Last, and whatever came of the rest: it is what tells how the stop went.
        traces::flush(traces).await;
        stopped
    }

    async fn wind_up(self, grace: Duration) -> Result<()> {
        self.looks_after.abort();
        let stopping = Check {
            name: "node",
            ok: false,
            detail: "about to stop: send no new requests".to_owned(),
        };
        self.ready.send_modify(|readiness| readiness.found(vec![stopping]));
        if let Err(error) = self.store.drain(true).await {
            tracing::warn!(%error, "the other nodes cannot be told that this one stops");
        }
        tokio::time::sleep(grace).await;
        self.stop.send_replace(true);
        self.invoker.drain(self.drain).await;
        for server in self.servers {
            let _ = server.await;
        }
        for task in &self.background {
            task.abort();
        }
        // What has ended should be known before the rest is given away, or it would be run again for nothing.
        self.store.finish_writing().await;
        self.store.release(&[]).await?;
        self.store
            .mark_gone(self.store.node(), GoneBecause::ProcessEnded)
            .await?;
        keep_last_seen(&self.data_dir, &self.store);
        self.store.close().await;
        Ok(())
    }
}

/// A secret of which one version alone is ever in use.
async fn secret(store: &Store, purpose: Purpose) -> Result<[u8; 32]> {
    let versions = store.secret(purpose).await?;
    versions
        .first()
        .copied()
        .with_context(|| format!("the database holds no secret for {purpose}"))
}

async fn wait_for(mut stopped: watch::Receiver<bool>) {
    // A dropped sender is a stop as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// A node's name belongs to its data directory: who registers under it holds the directory's lock.
fn node_name(data_dir: &Path, rng: &dyn Rng) -> Result<String> {
    let path = data_dir.join("node");
    if let Ok(name) = std::fs::read_to_string(&path) {
        return Ok(name.trim().to_owned());
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = format!("{host}/{}", hex::encode(rng.bytes::<8>()));
    std::fs::write(&path, &name).with_context(|| path.display().to_string())?;
    Ok(name)
}
