//! `wasi:keyvalue/store`, and `spin:key-value` for components that are not journaled: stores granted by name.

mod backend;
mod bounds;
mod host;
mod memory;
mod record;
mod spin;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use host_bindings::wasi::keyvalue::store;
use host_recorder::Recorder;
use host_types::Fault;
use wasmtime::component::{HasData, Linker, ResourceTable};

pub use backend::{Answer, Backend, BackendError, Page};
pub use bounds::{MAX_KEY_BYTES, MAX_VALUE_BYTES, PAGE_KEYS};
pub use memory::MemoryBackend;
pub use spin::{SpinKeyValues, SpinKeyValuesView, add_spin_to_linker};

/// How long this node still owns its invocations for certain.
pub type LeaseLeft = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What the manifest grants one component.
pub struct KeyValueGrants {
    /// The stores it may open, by name. Components that are granted the same name share the store.
    pub stores: BTreeSet<String>,
    /// Where they are kept.
    pub backend: Arc<dyn Backend>,
    /// How long the backend may take for one operation.
    pub timeout: Duration,
}

/// What one instance needs to answer `wasi:keyvalue`.
pub struct KeyValueContext {
    grants: Arc<KeyValueGrants>,
    recorder: Recorder,
    lease_left: LeaseLeft,
}

impl KeyValueContext {
    /// A context for one instance.
    pub fn new(grants: Arc<KeyValueGrants>, recorder: Recorder, lease_left: LeaseLeft) -> Self {
        Self {
            grants,
            recorder,
            lease_left,
        }
    }

    /// Ends the attempt.
    fn fault(&self, fault: Fault) -> Fault {
        self.recorder.attempt().fail(fault)
    }
}

/// What the host functions see of an instance.
pub struct KeyValueView<'a> {
    /// The instance's context.
    pub context: &'a mut KeyValueContext,
    /// Where its opened stores live.
    pub table: &'a mut ResourceTable,
}

struct KeyValueData;

impl HasData for KeyValueData {
    type Data<'a> = KeyValueView<'a>;
}

/// Answers `wasi:keyvalue/store`.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> KeyValueView<'_>,
) -> wasmtime::Result<()> {
    store::add_to_linker::<T, KeyValueData>(linker, get)
}
