//! `wasi:http/outgoing-handler`: requests of a component to the hosts it is granted, journaled.

mod address;
mod bodies;
mod bounds;
mod client;
mod connect;
mod exchange;
mod failure;
mod grant;
mod host;
mod journaled;
mod record;
mod request;
mod streamed;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use host_recorder::{Beside, Recorder};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi_http::WasiHttpCtx;

pub use bounds::{bound_p2, bound_p3, bounded};
pub use client::{HttpClient, Limits};
pub use connect::{Addresses, Connector, Resolve, SystemResolver};
pub use failure::Failure;
pub use grant::Grant;
pub use record::{is_record, recorded_response};
pub use streamed::StreamedHooks;

use crate::bodies::Bodies;
use crate::host::Hooks;
use crate::record::Outcome;

/// How long this node still owns its invocations for certain.
pub type LeaseLeft = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What one instance needs to send requests.
pub struct HttpClientContext {
    client: Arc<HttpClient>,
    recorder: Recorder,
    lease_left: LeaseLeft,
    wasi: WasiHttpCtx,
    hooks: Hooks,
    bodies: Bodies,
    /// Reads under way, by the response they are for.
    reading: HashMap<u32, Beside<Outcome>>,
}

impl HttpClientContext {
    /// A context for one instance.
    pub fn new(client: Arc<HttpClient>, recorder: Recorder, lease_left: LeaseLeft) -> Self {
        let hooks = Hooks::new(Arc::downgrade(recorder.attempt()), client.limits.open);
        Self {
            client,
            recorder,
            lease_left,
            wasi: bounded(),
            hooks,
            bodies: Bodies::default(),
            reading: HashMap::new(),
        }
    }
}

/// What the host functions see of an instance.
pub struct HttpClientView<'a> {
    /// The instance's context.
    pub context: &'a mut HttpClientContext,
    /// Where its requests, bodies and responses live.
    pub table: &'a mut ResourceTable,
}

/// An instance that may send requests. A trait and not a function, since wasmtime's own part of the interface asks for a view of
/// its own, made of this one.
pub trait HttpClientHost: Send {
    /// The instance's view.
    fn http_client(&mut self) -> HttpClientView<'_>;
}

/// Answers `wasi:http/types` and `wasi:http/outgoing-handler`. `wasi:io` must be linked besides. Leaves shadowing disallowed.
pub fn add_to_linker<T: HttpClientHost + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    host::add_to_linker(linker)
}
