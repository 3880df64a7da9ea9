//! A component that sends requests, under an invocation whose journal is in memory.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host_http_client::{
    Addresses, Connector, Grant, HttpClient, HttpClientContext, HttpClientHost, HttpClientView, LeaseLeft, Limits,
    Resolve,
};
use host_recorder::Attempt;
use host_types::{ComponentId, Fault};
use rustls::pki_types::CertificateDer;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use host_recorder::test_support::MemoryJournal;

pub(crate) const GET: u32 = 0;
pub(crate) const HEAD: u32 = 1;
pub(crate) const POST: u32 = 2;
pub(crate) const CONNECT: u32 = 5;

pub(crate) const HTTP: u32 = 0;
pub(crate) const HTTPS: u32 = 1;

/// Error codes of `wasi:http/types` by their number.
pub(crate) mod code {
    pub(crate) const DNS_ERROR: u32 = 1001;
    pub(crate) const DESTINATION_IP_PROHIBITED: u32 = 1004;
    pub(crate) const CONNECTION_REFUSED: u32 = 1006;
    pub(crate) const CONNECTION_TERMINATED: u32 = 1007;
    pub(crate) const CONNECTION_TIMEOUT: u32 = 1008;
    pub(crate) const TLS_PROTOCOL_ERROR: u32 = 1012;
    pub(crate) const HTTP_REQUEST_DENIED: u32 = 1015;
    pub(crate) const HTTP_REQUEST_BODY_SIZE: u32 = 1017;
    pub(crate) const HTTP_REQUEST_METHOD_INVALID: u32 = 1018;
    pub(crate) const HTTP_RESPONSE_BODY_SIZE: u32 = 1028;
    pub(crate) const HTTP_RESPONSE_TIMEOUT: u32 = 1033;
    pub(crate) const HTTP_PROTOCOL_ERROR: u32 = 1035;
    pub(crate) const INTERNAL_ERROR: u32 = 1038;
    /// The guest asked for the response, and there was none yet.
    pub(crate) const PENDING: u32 = 1;
}

/// What the guest does; see `guests/outbound.wat`.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    WithoutBody = 0,
    HandleFirst = 1,
    BodyFirst = 2,
    DropsBody = 3,
    DropsResponse = 4,
    DropsRequest = 5,
    LeavesBodyOpen = 6,
}

/// One request of the guest.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: u32,
    pub(crate) scheme: u32,
    pub(crate) authority: String,
    pub(crate) path: &'static str,
    pub(crate) order: Order,
    /// Pieces of 4096 bytes; with 0 the body is "hello".
    pub(crate) chunks: u32,
}

/// Names and their addresses, and how often they were asked for. A name without addresses is never answered.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) addresses: HashMap<&'static str, Vec<IpAddr>>,
    pub(crate) asked: AtomicUsize,
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> Addresses<'a> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match self.addresses.get(name) {
                Some(found) if found.is_empty() => std::future::pending().await,
                Some(found) => Ok(found.clone()),
                None => Err(io::Error::other("no such name")),
            }
        })
    }
}

/// The component and what it is granted.
pub(crate) struct World {
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) limits: Limits,
    pub(crate) names: Arc<Names>,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) lease_left: LeaseLeft,
}

impl Default for World {
    fn default() -> Self {
        Self {
            journal: Arc::default(),
            grants: Vec::new(),
            limits: Limits::default(),
            names: Arc::default(),
            roots: Vec::new(),
            lease_left: Arc::new(|| Duration::from_secs(60)),
        }
    }
}

impl World {
    /// A run of the invocation on what is durable of it.
    pub(crate) fn attempt(&self) -> Running {
        let connector = Connector::new(self.names.clone(), self.roots.clone()).expect("the roots are certificates");
        let client = HttpClient::new(
            ComponentId::from("cart"),
            self.grants.clone(),
            self.limits.clone(),
            Arc::new(connector),
        );
        let mut config = Config::new();
        config.concurrency_support(false);
        let engine = Engine::new(&config).expect("the configuration is sound");
        let bytes = wat::parse_str(include_str!("../guests/outbound.wat")).expect("the guest is well-formed");
        let component = Component::new(&engine, bytes).expect("the guest is a component");
        Running {
            attempt: self.journal.attempt(),
            client: Arc::new(client),
            component,
            lease_left: self.lease_left.clone(),
        }
    }

    /// One request in an attempt of its own.
    pub(crate) async fn send(&self, call: &Call) -> wasmtime::Result<(u32, String)> {
        self.attempt().send(call).await
    }
}

/// One attempt.
pub(crate) struct Running {
    pub(crate) attempt: Arc<Attempt>,
    client: Arc<HttpClient>,
    component: Component,
    lease_left: LeaseLeft,
}

pub(crate) struct State {
    wasi: WasiCtx,
    http: HttpClientContext,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl HttpClientHost for State {
    fn http_client(&mut self) -> HttpClientView<'_> {
        HttpClientView {
            context: &mut self.http,
            table: &mut self.table,
        }
    }
}

impl Running {
    pub(crate) fn store(&self) -> Store<State> {
        let http = HttpClientContext::new(self.client.clone(), self.attempt.recorder(), self.lease_left.clone());
        let state = State {
            wasi: WasiCtx::builder().build(),
            http,
            table: ResourceTable::new(),
        };
        Store::new(self.component.engine(), state)
    }

    pub(crate) async fn send(&self, call: &Call) -> wasmtime::Result<(u32, String)> {
        self.send_in(&mut self.store(), call).await
    }

    pub(crate) async fn send_in(&self, store: &mut Store<State>, call: &Call) -> wasmtime::Result<(u32, String)> {
        let mut linker = Linker::new(self.component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        host_http_client::add_to_linker(&mut linker)?;
        let instance = linker.instantiate_async(&mut *store, &self.component).await?;
        type Arguments<'a> = (u32, &'a str, &'a str, u32, u32, u32);
        let run = instance.get_typed_func::<Arguments<'_>, ((u32, String),)>(&mut *store, "run")?;
        let Call {
            method,
            scheme,
            authority,
            path,
            order,
            chunks,
        } = call;
        let arguments = (*method, authority.as_str(), *path, *scheme, *order as u32, *chunks);
        Ok(run.call_async(&mut *store, arguments).await?.0)
    }
}

/// What ended an attempt.
pub(crate) fn fault<T>(ended: wasmtime::Result<T>) -> Fault {
    match ended {
        Ok(_) => panic!("the attempt went on"),
        Err(error) => error.downcast().expect("a host function ends with a fault"),
    }
}
