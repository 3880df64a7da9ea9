//! What all deployments share; makes one from revisions and what is kept of their manifest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use host_basic::{Answerer, ConfigValue, MasterKey, Services, Workflows};
use host_engine::{CompileCache, Engine, Kind, Limits};
use host_events::EventsGrant;
use host_http_client::{Connector, Grant, HttpClient, LeaseLeft};
use host_keyvalue::{Backend, KeyValueGrants};
use host_manifest::App;
use host_sql::ModulePool;
use host_types::{ComponentId, DeploymentNumber, Digest};
use wasmtime::component::Linker;

use crate::component::{Grants, Loaded, exports};
use crate::deployment::Deployment;
use crate::linked::{Answers, FetchRevisions, Link, Linked, Links};
use crate::metrics::RuntimeMetrics;
use crate::stock::{self, StockLoaded};
use crate::{Error, capabilities, dispatch};

/// The bytes of a component.
pub type Revision = (ComponentId, Digest, Vec<u8>);

/// What a runtime needs.
pub struct RuntimeOptions {
    /// Compiles and runs.
    pub engine: Engine,
    /// Keeps what was compiled.
    pub cache: CompileCache,
    /// What the manifest says today.
    pub app: Arc<App>,
    /// A pool per component that owns a schema.
    pub pools: HashMap<ComponentId, Arc<ModulePool>>,
    /// What the node holds once for all instances.
    pub services: Arc<Services>,
    /// What effects outside of an invocation's own transactions need.
    pub outside: Outside,
    /// Versions secrets.
    pub master_key: MasterKey,
}

/// What effects outside of an invocation's own transactions need.
#[derive(Clone)]
pub struct Outside {
    /// How connections to other hosts are made.
    pub connector: Arc<Connector>,
    /// Where the pairs of key-value stores are kept.
    pub key_values: Arc<dyn Backend>,
    /// How long this node still owns its invocations for certain.
    pub lease_left: LeaseLeft,
    /// How long one effect may take where nothing else is said.
    pub effect_timeout: Duration,
    /// How long one may take whatever is said. It must be shorter than what is left of the lease right before a heartbeat renews it;
    /// else no effect ever begins.
    pub longest_effect: Duration,
}

/// Makes deployments.
pub struct Runtime {
    options: RuntimeOptions,
    links: Links,
    pub(crate) metrics: RuntimeMetrics,
}

impl Runtime {
    /// Nothing is compiled yet.
    pub fn new(options: RuntimeOptions) -> Self {
        Self {
            options,
            links: Links::default(),
            metrics: RuntimeMetrics::default(),
        }
    }

    /// What the manifest says today.
    pub fn app(&self) -> &Arc<App> {
        &self.options.app
    }

    /// Compiles and links these revisions, under what the manifest says today. Everything a component imports must be answered in the shape
    /// it asks for.
    pub async fn deploy(&self, number: DeploymentNumber, revisions: Vec<Revision>) -> Result<Deployment, Error> {
        let set: Vec<_> = revisions.iter().map(|(id, digest, _)| (id.clone(), *digest)).collect();
        self.deploy_from(number, self.app(), &set, &revisions).await
    }

    /// The same of a deployment that was registered before, under what it keeps of the manifest.
    pub async fn deploy_pinned(
        &self,
        number: DeploymentNumber,
        manifest: Option<&str>,
        revisions: &[(ComponentId, Digest)],
        bytes: &dyn FetchRevisions,
    ) -> Result<Deployment, Error> {
        let of = revisions.iter().map(|(id, _)| id).collect();
        let app = Arc::new(self.app().as_pinned(manifest, &of)?);
        self.deploy_from(number, &app, revisions, bytes).await
    }

    /// The same of revisions whose bytes are elsewhere, for each component of `app`: those that are linked already are not asked for.
    pub async fn deploy_from(
        &self,
        number: DeploymentNumber,
        app: &Arc<App>,
        revisions: &[(ComponentId, Digest)],
        bytes: &dyn FetchRevisions,
    ) -> Result<Deployment, Error> {
        let mut linking = Vec::new();
        for (id, granted) in &app.components {
            let found = revisions.iter().find(|(revised, _)| revised == id);
            let (_, digest) = found.ok_or_else(|| Error::Missing(id.clone()))?;
            linking.push(self.linked(granted, *digest, bytes));
        }
        let linked = futures_util::future::try_join_all(linking).await?;
        let linked: BTreeMap<_, _> = app.components.keys().cloned().zip(linked).collect();
        let pace = self.options.engine.pace().clone();
        let absent = revisions
            .iter()
            .map(|(id, _)| id)
            .filter(|id| !linked.contains_key(*id));
        let absent = absent.cloned().collect();
        let deployment = Deployment::new(number, Arc::clone(app), linked, absent, pace);
        for (id, linked) in deployment.linked() {
            dispatch::check(&linked.engine, &app.components[id], &linked.component, &deployment)?;
        }
        Ok(deployment)
    }

    async fn linked(
        &self,
        granted: &host_manifest::Component,
        digest: Digest,
        bytes: &dyn FetchRevisions,
    ) -> Result<Arc<Linked>, Error> {
        let id = &granted.id;
        let link = Link {
            component: id.clone(),
            revision: digest,
            granted: Digest::of(granted.pinned().as_bytes()),
        };
        if let Some(linked) = self.links.find(&link) {
            return Ok(linked);
        }
        let wasm = bytes.fetch(id, digest).await.map_err(|reason| Error::Fetch {
            component: id.clone(),
            digest,
            reason,
        })?;
        let loading = self.options.cache.load(wasm.into(), digest).await;
        let loading = loading.map_err(|source| Error::Compile {
            component: id.clone(),
            source,
        })?;
        self.metrics.loaded(loading.outcome);
        tracing::debug!(component.id = %id, revision = %digest, outcome = ?loading.outcome, "component loaded");
        let answers = self.link(granted, digest, &loading)?;
        let host_engine::Loaded { component, engine, .. } = loading;
        let linked = Linked {
            engine,
            component,
            answers,
        };
        Ok(self.links.keep(link, linked))
    }

    fn link(
        &self,
        granted: &host_manifest::Component,
        digest: Digest,
        loading: &host_engine::Loaded,
    ) -> Result<Answers, Error> {
        let id = &granted.id;
        let exported = host_engine::interfaces(&loading.engine, &loading.component).exports;
        let grants = self.grants(granted, exported);
        let refused = |error: wasmtime::Error| Error::Link {
            component: id.clone(),
            reason: format!("{error:#}"),
        };
        let usual = Limits::default();
        let limits = Limits {
            memory_bytes: granted.limits.memory_limit_bytes as usize,
            time_ms: granted.limits.time_limit_ms,
            replay_ms: usual.replay_ms.max(granted.limits.time_limit_ms),
            ..usual
        };
        if loading.engine.kind() == Kind::Stock {
            let mut linker = Linker::new(loading.engine.wasmtime());
            capabilities::link_stock(&mut linker, &grants).map_err(refused)?;
            stock::link(&loading.engine, &mut linker, granted, &loading.component)?;
            let pre = linker.instantiate_pre(&loading.component).map_err(refused)?;
            let pace = loading.engine.pace().clone();
            let component = StockLoaded::new(granted, digest, grants, limits, pace, pre);
            return Ok(Answers::Stock(Arc::new(component)));
        }
        let engine = &self.options.engine;
        let mut linker = Linker::new(engine.wasmtime());
        capabilities::link(&mut linker, &grants).map_err(refused)?;
        dispatch::link(engine, &mut linker, granted, &loading.component, dispatch::recorded)?;
        let pre = linker.instantiate_pre(&loading.component).map_err(refused)?;
        let exports = exports(engine, granted, &loading.component)?;
        let metrics = self.metrics.of(id);
        let component = Loaded::new(id.clone(), digest, grants, limits, exports, pre, metrics);
        Ok(Answers::Plain(Arc::new(component)))
    }

    fn grants(&self, granted: &host_manifest::Component, exported: Vec<String>) -> Grants {
        let config = granted.variables.iter().map(|(name, value)| {
            let value = match value.is_secret() {
                true => ConfigValue::secret(value.expose(), &self.options.master_key),
                false => ConfigValue::plain(value.expose()),
            };
            (name.clone(), value)
        });
        let providers = granted.providers.iter().map(|providers| {
            let names = providers.components.iter().map(ToString::to_string).collect();
            (providers.interface.to_string(), names)
        });
        let basic = host_basic::Grants {
            config: config.collect(),
            providers: providers.collect(),
            token_keys: granted.keys.iter().map(ToString::to_string).collect(),
            workflows: workflows(granted, exported),
            scheduled: host_recorder::Bounds {
                memory_limit_bytes: granted.limits.memory_limit_bytes,
                within_ms: granted.deadline_of_function(host_recorder::SCHEDULED_FUNCTION),
            },
        };
        let outside = &self.options.outside;
        Grants {
            basic: Arc::new(basic),
            services: Arc::clone(&self.options.services),
            sql: self.options.pools.get(&granted.id).cloned(),
            http: outside.http_client(granted),
            key_values: outside.key_values(granted),
            events: events(granted),
            lease_left: Arc::clone(&outside.lease_left),
        }
    }
}

/// None: the component may publish nothing.
fn events(granted: &host_manifest::Component) -> Option<Arc<EventsGrant>> {
    let rules = &granted.events;
    let grant = || EventsGrant {
        component: granted.id.clone(),
        publishes: rules.publishes.clone(),
        retention_ms: rules.retention_ms,
    };
    (!rules.publishes.is_empty()).then(|| Arc::new(grant()))
}

/// A component may name its own workflows, and those of the components that answer its imports.
fn workflows(granted: &host_manifest::Component, exported: Vec<String>) -> Workflows {
    let own = exported.into_iter().map(|interface| {
        let component = granted.id.clone();
        (
            interface,
            Answerer {
                component,
                export: None,
            },
        )
    });
    let answered = granted.dependencies.iter().map(|dependency| {
        let component = dependency.component.clone();
        let export = dependency.export.as_ref().map(ToString::to_string);
        (dependency.interface.to_string(), Answerer { component, export })
    });
    own.chain(answered).collect()
}

impl Outside {
    /// None: the component is granted no host.
    fn http_client(&self, granted: &host_manifest::Component) -> Option<Arc<HttpClient>> {
        let hosts = &granted.allowed_outbound_hosts;
        if hosts.is_empty() {
            return None;
        }
        let grants = hosts
            .iter()
            .map(|host| Grant::new(host.clone(), granted.effect_rule(host)));
        let limits = host_http_client::Limits {
            effect_total: self.effect_timeout,
            longest_effect: self.longest_effect,
            ..host_http_client::Limits::default()
        };
        let connector = Arc::clone(&self.connector);
        let client = HttpClient::new(granted.id.clone(), grants.collect(), limits, connector);
        Some(Arc::new(client))
    }

    /// None: the component is granted no store.
    fn key_values(&self, granted: &host_manifest::Component) -> Option<Arc<KeyValueGrants>> {
        if granted.key_value_stores.is_empty() {
            return None;
        }
        Some(Arc::new(KeyValueGrants {
            stores: granted.key_value_stores.iter().map(ToString::to_string).collect(),
            backend: Arc::clone(&self.key_values),
            timeout: self.effect_timeout,
        }))
    }
}
