//! What all deployments share; makes one from revisions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use host_basic::{ConfigValue, MasterKey, Services};
use host_engine::{CompileCache, Engine, Limits};
use host_manifest::App;
use host_sql::ModulePool;
use host_types::{ComponentId, DeploymentNumber, Digest};
use wasmtime::component::Linker;

use crate::component::{Grants, Loaded, exports};
use crate::deployment::Deployment;
use crate::{Error, capabilities, dispatch};

/// The bytes of a component.
pub type Revision = (ComponentId, Digest, Vec<u8>);

/// What a runtime needs.
pub struct RuntimeOptions {
    /// Compiles and runs.
    pub engine: Engine,
    /// Keeps what was compiled.
    pub cache: CompileCache,
    /// Who is granted what.
    pub app: Arc<App>,
    /// A pool per component that owns a schema.
    pub pools: HashMap<ComponentId, Arc<ModulePool>>,
    /// What the node holds once for all instances.
    pub services: Arc<Services>,
    /// Versions secrets.
    pub master_key: MasterKey,
}

/// Makes deployments.
pub struct Runtime {
    options: RuntimeOptions,
}

impl Runtime {
    /// Nothing is compiled yet.
    pub fn new(options: RuntimeOptions) -> Self {
        Self { options }
    }

    /// Compiles and links these revisions. Everything a component imports must be answered in the shape it asks for.
    pub async fn deploy(&self, number: DeploymentNumber, revisions: Vec<Revision>) -> Result<Deployment, Error> {
        let RuntimeOptions { engine, cache, app, .. } = &self.options;
        let mut by_id: HashMap<_, _> = revisions
            .into_iter()
            .map(|(id, digest, wasm)| (id, (digest, wasm)))
            .collect();
        let mut compiling = Vec::new();
        for id in app.components.keys() {
            let (digest, wasm) = by_id.remove(id).ok_or_else(|| Error::Missing(id.clone()))?;
            compiling.push(async move {
                let compiled = cache.load(wasm.into(), digest).await;
                compiled
                    .map(|loaded| (id, digest, loaded))
                    .map_err(|source| Error::Compile {
                        component: id.clone(),
                        source,
                    })
            });
        }
        let mut loaded = BTreeMap::new();
        let mut compiled = Vec::new();
        for component in futures_util::future::try_join_all(compiling).await? {
            let (id, digest, loading) = component;
            tracing::debug!(component.id = %id, revision = %digest, outcome = ?loading.outcome, "component loaded");
            let granted = &app.components[id];
            let grants = self.grants(granted);
            let refused = |error: wasmtime::Error| Error::Link {
                component: id.clone(),
                reason: format!("{error:#}"),
            };
            let mut linker = Linker::new(engine.wasmtime());
            capabilities::link(&mut linker, &grants).map_err(refused)?;
            dispatch::link(engine, &mut linker, granted, &loading.component)?;
            let pre = linker.instantiate_pre(&loading.component).map_err(refused)?;
            let limits = Limits {
                memory_bytes: granted.limits.memory_limit_bytes as usize,
                time_ms: granted.limits.time_limit_ms,
                ..Limits::default()
            };
            let exports = exports(engine, id, &loading.component)?;
            loaded.insert(
                id.clone(),
                Arc::new(Loaded::new(id.clone(), digest, grants, limits, exports, pre)),
            );
            compiled.push((granted, loading.component));
        }
        let deployment = Deployment::new(number, Arc::clone(app), loaded, engine.pace().clone());
        for (granted, component) in &compiled {
            dispatch::check(engine, granted, component, &deployment)?;
        }
        Ok(deployment)
    }

    fn grants(&self, granted: &host_manifest::Component) -> Grants {
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
        };
        Grants {
            basic: Arc::new(basic),
            services: Arc::clone(&self.options.services),
            sql: self.options.pools.get(&granted.id).cloned(),
        }
    }
}
