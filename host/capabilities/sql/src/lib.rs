//! `nexus:sql`: the module's own schema, journaled with its commit; and `spin:postgres`, for components that are not journaled.

mod connection;
mod error;
mod host;
mod metrics;
mod pending;
mod pool;
mod prepare;
mod query;
mod record;
mod socket;
mod spin;
mod statement;
mod target;
mod tls;
mod transaction;
mod value;
mod wire;

use std::sync::Arc;

use host_bindings::nexus::sql::sql;
use host_recorder::Recorder;
use host_types::Fault;
use wasmtime::component::{HasData, Linker, ResourceTable};

pub use error::Error;
pub use pool::{ModuleConnection, ModulePool, Options, Pools};
pub use prepare::Unprepared;
pub use spin::{SpinPostgres, SpinPostgresView, add_spin_to_linker};
pub use target::{Target, UrlError};
pub use tls::Tls;

/// Whether the recorded transaction committed; one that cannot be read counts as one that did.
pub fn is_committed(record: &[u8]) -> bool {
    record::transaction(record).map_or(true, |(_, end)| matches!(end, record::End::Committed))
}

/// What one instance needs to answer `nexus:sql`.
pub struct SqlContext {
    /// The module's sessions.
    pub pool: Arc<ModulePool>,
    /// The record of its invocation.
    pub recorder: Recorder,
    /// Queries that are begun and not finished.
    pending: usize,
}

impl SqlContext {
    /// A context for one instance.
    pub fn new(pool: Arc<ModulePool>, recorder: Recorder) -> Self {
        Self {
            pool,
            recorder,
            pending: 0,
        }
    }

    /// Ends the attempt, and the guest's call with it.
    fn fault(&self, fault: Fault) -> wasmtime::Error {
        wasmtime::Error::new(self.recorder.attempt().fail(fault))
    }
}

/// What the host functions see of an instance.
pub struct SqlView<'a> {
    /// The instance's context.
    pub context: &'a mut SqlContext,
    /// Where its transactions live.
    pub table: &'a mut ResourceTable,
}

struct SqlData;

impl HasData for SqlData {
    type Data<'a> = SqlView<'a>;
}

/// Answers `nexus:sql/sql`.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> SqlView<'_>,
) -> wasmtime::Result<()> {
    sql::add_to_linker::<T, SqlData>(linker, get)
}
