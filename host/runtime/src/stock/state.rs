//! What an instance's store holds.

use std::sync::Arc;

use host_basic::Author;
use host_engine::StoreLimits;
use host_http_client::StreamedHooks;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::capabilities::StockCapabilities;
use crate::deployment::Deployment;
use crate::instance::handles;
use crate::stock::output::Output;
use crate::stock::{CallModules, StockLoaded};

pub(crate) struct StockState {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) modules: Arc<dyn CallModules>,
    pub(crate) limits: StoreLimits,
    pub(crate) capabilities: StockCapabilities,
    pub(crate) table: ResourceTable,
    /// W3C `traceparent` of what it asks of others.
    pub(crate) trace_parent: Option<String>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: StreamedHooks,
    /// Held as long as the instance is there.
    _slot: OwnedSemaphorePermit,
}

impl StockState {
    pub(crate) fn new(
        deployment: Arc<Deployment>,
        loaded: &StockLoaded,
        author: Author,
        trace_parent: Option<String>,
        modules: Arc<dyn CallModules>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let output = Output::new(author);
        // No directory, no address: what a component may reach it is granted. What it prints is a line of the log.
        let wasi = WasiCtx::builder()
            .allow_tcp(false)
            .allow_udp(false)
            .envs(&loaded.environment)
            .stdout(output.clone())
            .stderr(output)
            .build();
        Self {
            deployment,
            modules,
            limits: StoreLimits::new(loaded.limits),
            capabilities: StockCapabilities::new(&loaded.grants, &loaded.schema),
            table: handles(),
            wasi,
            http: host_http_client::bounded(),
            hooks: StreamedHooks::new(loaded.grants.http.clone(), trace_parent.clone()),
            trace_parent,
            _slot: slot,
        }
    }
}

impl WasiView for StockState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for StockState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
