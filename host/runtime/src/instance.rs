//! What an instance's store holds.

use std::sync::Arc;

use host_engine::StoreLimits;
use host_recorder::Recorder;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::begun::BegunCalls;
use crate::capabilities::Capabilities;
use crate::component::Loaded;
use crate::deployment::Deployment;
use crate::metrics::Live;

/// Handles the host holds for one instance: requests, responses, fields, streams, begun queries, stores. What is behind them is not in the
/// instance's own memory. The most that an honest one has is about two hundred: sixteen requests under way and as many bodies, of half a
/// dozen handles each, and sixteen begun queries. The largest holds 82 KiB (`host_http_client::bounds`), so that all are 41 MiB; fields of
/// nothing but empty values take three times what they count.
pub(crate) const MAX_HANDLES: usize = 512;

/// The table of an instance's handles.
pub(crate) fn handles() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_HANDLES);
    table
}

pub(crate) struct InstanceState {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) recorder: Recorder,
    pub(crate) limits: StoreLimits,
    pub(crate) capabilities: Capabilities,
    pub(crate) begun: BegunCalls,
    pub(crate) table: ResourceTable,
    /// Made when it is first asked for: most calls ask for none of it, and making it is a good part of what a call costs.
    wasi: Option<Box<WasiCtx>>,
    /// Held as long as the instance is there.
    _slot: OwnedSemaphorePermit,
    _live: Live,
}

impl InstanceState {
    pub(crate) fn new(
        deployment: Arc<Deployment>,
        component: &Loaded,
        recorder: Recorder,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            deployment,
            limits: StoreLimits::new(component.limits),
            capabilities: Capabilities::new(&component.id, &component.grants, &recorder),
            recorder,
            begun: BegunCalls::default(),
            table: handles(),
            wasi: None,
            _slot: slot,
            _live: component.metrics.live(),
        }
    }
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            // No directory, no address, no environment, and nowhere to write: what a component may reach it is granted.
            ctx: self.wasi.get_or_insert_with(|| Box::new(WasiCtx::builder().build())),
            table: &mut self.table,
        }
    }
}
