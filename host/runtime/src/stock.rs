//! Components of the stock engine: those that bring WASI 0.3 or answer `wasi:http` themselves. One attempt, no replay, no journal.

mod body;
mod dispatch;
mod output;
mod serve;
mod state;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use host_engine::{Limits, Pace};
use host_types::{ComponentId, Digest, Fault};
use tokio::sync::Semaphore;
use wasmtime::component::InstancePre;
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};

use crate::Deployment;
use crate::component::Grants;

pub(crate) use dispatch::link;
pub(crate) use serve::serve;
pub(crate) use state::StockState;

/// How components that are not journaled reach modules.
pub trait CallModules: Send + Sync + 'static {
    /// Calls an exported function as an invocation of its own, and waits for its result. Parameters and result are encoded.
    fn call(&self, call: ModuleCall) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, Fault>> + Send + '_>>;
}

/// A call of a module.
pub struct ModuleCall {
    /// What the caller runs on, and so the module.
    pub deployment: Arc<Deployment>,
    /// Who answers.
    pub component: ComponentId,
    /// Interface and function.
    pub function: String,
    /// Its parameters.
    pub params: Vec<u8>,
    /// W3C `traceparent`, if the request of the caller belongs to a trace.
    pub trace_parent: Option<String>,
}

/// Instances of one component at once; there are five hundred on the engine.
const MAX_INSTANCES: usize = 125;

/// A revision, ready to be instantiated.
pub(crate) struct StockLoaded {
    pub(crate) id: ComponentId,
    pub(crate) revision: Digest,
    pub(crate) grants: Grants,
    environment: Vec<(String, String)>,
    /// What it calls its database; empty without one.
    schema: String,
    limits: Limits,
    /// None: it exports no handler.
    proxy: Option<ProxyPre<StockState>>,
    pace: Pace,
    /// One permit an instance.
    slots: Arc<Semaphore>,
}

impl StockLoaded {
    pub(crate) fn new(
        granted: &host_manifest::Component,
        revision: Digest,
        grants: Grants,
        limits: Limits,
        pace: Pace,
        pre: InstancePre<StockState>,
    ) -> Self {
        let proxy = match p3::bindings::ServicePre::new(pre.clone()) {
            Ok(service) => Some(ProxyPre::P3(service)),
            Err(_) => p2::bindings::ProxyPre::new(pre).ok().map(ProxyPre::P2),
        };
        let environment = granted.environment.iter();
        Self {
            id: granted.id.clone(),
            revision,
            grants,
            environment: environment.map(|(name, value)| (name.clone(), value.clone())).collect(),
            schema: granted.schema.as_ref().map(ToString::to_string).unwrap_or_default(),
            limits,
            proxy,
            pace,
            slots: Arc::new(Semaphore::new(MAX_INSTANCES)),
        }
    }
}
