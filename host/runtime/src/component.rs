//! One revision, compiled and linked: its imports, exports, grants.

use std::collections::HashMap;
use std::sync::Arc;

use host_basic::Services;
use host_bindings::exports::nexus::durable::{compensate, scheduled};
use host_bindings::exports::nexus::events::subscriber;
use host_bindings::exports::nexus::http::handler;
use host_engine::{Engine, Limits};
use host_events::EventsGrant;
use host_http_client::{HttpClient, LeaseLeft};
use host_journal::ExclusiveKey;
use host_keyvalue::KeyValueGrants;
use host_link::Signature;
use host_manifest::{Component as Granted, InterfaceName};
use host_sql::ModulePool;
use host_types::{ComponentId, Digest, Fault};
use tokio::sync::Semaphore;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use crate::Error;
use crate::instance::InstanceState;
use crate::metrics::InstanceMetrics;

/// What the manifest grants a component, resolved.
#[derive(Clone)]
pub(crate) struct Grants {
    pub(crate) basic: Arc<host_basic::Grants>,
    pub(crate) services: Arc<Services>,
    pub(crate) sql: Option<Arc<ModulePool>>,
    pub(crate) http: Option<Arc<HttpClient>>,
    pub(crate) key_values: Option<Arc<KeyValueGrants>>,
    pub(crate) events: Option<Arc<EventsGrant>>,
    pub(crate) lease_left: LeaseLeft,
}

/// Instances of one component at once, a quarter of all: calls of one that nest or gather leave others theirs.
const MAX_INSTANCES: usize = 500;

/// A function a component exports to others.
pub(crate) struct Export {
    pub(crate) index: ComponentExportIndex,
    pub(crate) signature: Arc<Signature>,
    /// The number of the parameter for whose values it runs one at a time.
    pub(crate) exclusive: Option<usize>,
}

impl Export {
    /// The key that a call with these parameters must hold.
    pub(crate) fn key(
        &self,
        component: &ComponentId,
        interface: &str,
        function: &str,
        params: &[u8],
    ) -> Result<Option<ExclusiveKey>, Fault> {
        let Some(number) = self.exclusive else { return Ok(None) };
        let value = self.signature.value_of(number, params);
        let value = value.map_err(|error| Fault::Trap(error.to_string()))?;
        Ok(Some(ExclusiveKey::new(component.clone(), interface, function, value)))
    }
}

/// A revision, ready to be instantiated.
pub(crate) struct Loaded {
    pub(crate) id: ComponentId,
    pub(crate) revision: Digest,
    pub(crate) grants: Grants,
    pub(crate) limits: Limits,
    pub(crate) pre: InstancePre<InstanceState>,
    pub(crate) http: Option<handler::GuestIndices>,
    pub(crate) scheduled: Option<scheduled::GuestIndices>,
    pub(crate) compensate: Option<compensate::GuestIndices>,
    pub(crate) subscriber: Option<subscriber::GuestIndices>,
    /// One permit an instance.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) metrics: InstanceMetrics,
    exports: HashMap<String, HashMap<String, Export>>,
}

impl Loaded {
    pub(crate) fn new(
        id: ComponentId,
        revision: Digest,
        grants: Grants,
        limits: Limits,
        exports: HashMap<String, HashMap<String, Export>>,
        pre: InstancePre<InstanceState>,
        metrics: InstanceMetrics,
    ) -> Self {
        let http = handler::GuestIndices::new(&pre).ok();
        let scheduled = scheduled::GuestIndices::new(&pre).ok();
        let compensate = compensate::GuestIndices::new(&pre).ok();
        let subscriber = subscriber::GuestIndices::new(&pre).ok();
        Self {
            id,
            revision,
            grants,
            limits,
            pre,
            http,
            scheduled,
            compensate,
            subscriber,
            slots: Arc::new(Semaphore::new(MAX_INSTANCES)),
            metrics,
            exports,
        }
    }

    pub(crate) fn export(&self, interface: &str, function: &str) -> Option<&Export> {
        self.exports.get(interface)?.get(function)
    }
}

/// The functions other components may call, by interface.
pub(crate) fn exports(
    engine: &Engine,
    granted: &Granted,
    component: &Component,
) -> Result<HashMap<String, HashMap<String, Export>>, Error> {
    let mut exports = HashMap::new();
    for interface in host_engine::interfaces(engine, component).exports {
        // What the host itself calls, it calls typed.
        if interface.starts_with("nexus:") || interface.starts_with("wasi:") {
            continue;
        }
        let Some(instance) = component.get_export_index(None, &interface) else {
            continue;
        };
        let mut functions = HashMap::new();
        for (name, ty) in host_engine::exported_functions(engine, component, &interface) {
            let link = |reason: String| Error::Link {
                component: granted.id.clone(),
                reason,
            };
            let qualified = format!("{interface}.{name}");
            let signature = Signature::new(&qualified, &ty).map_err(|error| link(error.to_string()))?;
            let index = component.get_export_index(Some(&instance), &name);
            let index = index.ok_or_else(|| link(format!("{qualified} is not a function")))?;
            let exclusive = exclusive(granted, &interface, &name, &signature).map_err(link)?;
            let export = Export {
                index,
                signature: Arc::new(signature),
                exclusive,
            };
            functions.insert(name, export);
        }
        exports.insert(interface, functions);
    }
    Ok(exports)
}

/// Which parameter's values the function runs one at a time for.
fn exclusive(
    granted: &Granted,
    interface: &str,
    function: &str,
    signature: &Signature,
) -> Result<Option<usize>, String> {
    let rule = InterfaceName::parse(interface)
        .ok()
        .and_then(|interface| granted.exclusive_rule(&interface, function));
    let Some(rule) = rule else { return Ok(None) };
    let Some(number) = signature.parameter(&rule.parameter) else {
        let names: Vec<_> = signature.params().iter().map(|(name, _)| name.as_str()).collect();
        let (parameter, names) = (&rule.parameter, names.join(", "));
        return Err(format!(
            "{rule} is exclusive by `{parameter}`, which is none of its parameters ({names})"
        ));
    };
    if signature.refusal("").is_none() {
        return Err(format!(
            "{rule} is exclusive, and its result could not say that a wait would never end: let it return a result whose error is a \
             string, or a variant with a case other(string)",
        ));
    }
    Ok(Some(number))
}
