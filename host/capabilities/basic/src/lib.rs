//! The light capabilities: durable, config, providers, log, crypto, and WASI's clocks and randomness.

mod config;
mod host;
mod keys;
mod log;
mod passwords;
mod providers;
mod spin;
mod tokens;
mod wasi;
mod workflows;

use std::collections::BTreeSet;
use std::sync::Arc;

use host_bindings::{nexus, wasi as wasi_bindings};
use host_recorder::{Bounds, Recorder};
use host_types::{ComponentId, Fault};
use wasmtime::component::{HasData, Linker};

pub use config::{Config, ConfigValue};
pub use keys::MasterKey;
pub use log::{Author, Lines};
pub use passwords::{PasswordOptions, Passwords, Verdict};
pub use providers::Providers;
pub use spin::{SpinVariablesView, add_spin_to_linker};
pub use tokens::{TokenError, TokenKeys, Verified};
pub use wasi::shadow_wasi;
pub use workflows::{Answerer, Workflows};

/// What the node holds once for all instances.
pub struct Services {
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Signs and checks tokens.
    pub tokens: TokenKeys,
}

/// What the manifest grants one component.
#[derive(Debug, Default)]
pub struct Grants {
    /// Its configuration.
    pub config: Config,
    /// Whom it may choose between.
    pub providers: Providers,
    /// The token keys it may use.
    pub token_keys: BTreeSet<String>,
    /// Whose workflows it may name.
    pub workflows: Workflows,
    /// What bounds an invocation of its `scheduled.run`.
    pub scheduled: Bounds,
}

/// What one instance needs.
pub struct BasicContext {
    /// Which component it is.
    pub component: ComponentId,
    /// The record of its invocation.
    pub recorder: Recorder,
    /// Its grants.
    pub grants: Arc<Grants>,
    /// The node's services.
    pub services: Arc<Services>,
    /// What it has logged.
    pub lines: Lines,
}

impl BasicContext {
    /// Ends the attempt, and the guest's call with it.
    fn fault(&self, fault: Fault) -> wasmtime::Error {
        wasmtime::Error::new(self.recorder.attempt().fail(fault))
    }
}

/// What the host functions see of an instance.
pub struct BasicView<'a>(pub &'a mut BasicContext);

struct Basic;

impl HasData for Basic {
    type Data<'a> = BasicView<'a>;
}

/// Answers `nexus:durable`, `nexus:link`, `nexus:log`, `nexus:crypto` and `wasi:config`.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> BasicView<'_>,
) -> wasmtime::Result<()> {
    nexus::durable::invocation::add_to_linker::<T, Basic>(linker, get)?;
    nexus::durable::derived::add_to_linker::<T, Basic>(linker, get)?;
    nexus::durable::timer::add_to_linker::<T, Basic>(linker, get)?;
    nexus::durable::promises::add_to_linker::<T, Basic>(linker, get)?;
    nexus::durable::workflows::add_to_linker::<T, Basic>(linker, get)?;
    nexus::durable::deadlines::add_to_linker::<T, Basic>(linker, get)?;
    nexus::durable::compensation::add_to_linker::<T, Basic>(linker, get)?;
    nexus::link::providers::add_to_linker::<T, Basic>(linker, get)?;
    nexus::log::log::add_to_linker::<T, Basic>(linker, get)?;
    nexus::crypto::passwords::add_to_linker::<T, Basic>(linker, get)?;
    nexus::crypto::tokens::add_to_linker::<T, Basic>(linker, get)?;
    wasi_bindings::config::store::add_to_linker::<T, Basic>(linker, get)
}
