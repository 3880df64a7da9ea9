//! The only list of capabilities: what a component can be granted, and how a grant becomes part of an instance.

mod stock;

use host_basic::{BasicContext, BasicView};
use host_events::{EventsContext, EventsView};
use host_http_client::{HttpClientContext, HttpClientHost, HttpClientView};
use host_keyvalue::{KeyValueContext, KeyValueView};
use host_recorder::Recorder;
use host_sql::{SqlContext, SqlView};
use host_types::ComponentId;
use wasmtime::component::Linker;

use crate::component::Grants;
use crate::instance::InstanceState;

pub use self::stock::STOCK_PLATFORM;
pub(crate) use self::stock::{StockCapabilities, link as link_stock};

/// Interfaces the host answers. An import of another name is answered by a component, or not at all.
pub const PLATFORM: &[&str] = &[
    "nexus:crypto/passwords@0.1.0",
    "nexus:crypto/tokens@0.1.0",
    "nexus:durable/compensation@0.1.0",
    "nexus:durable/deadlines@0.1.0",
    "nexus:durable/derived@0.1.0",
    "nexus:durable/invocation@0.1.0",
    "nexus:durable/promises@0.1.0",
    "nexus:durable/timer@0.1.0",
    "nexus:durable/workflows@0.1.0",
    "nexus:events/publisher@0.1.0",
    "nexus:events/types@0.1.0",
    "nexus:http/types@0.1.0",
    "nexus:link/providers@0.1.0",
    "nexus:link/types@0.1.0",
    "nexus:log/log@0.1.0",
    "nexus:sql/sql@0.1.0",
    "wasi:cli/environment@0.2.12",
    "wasi:cli/exit@0.2.12",
    "wasi:cli/stderr@0.2.12",
    "wasi:cli/stdin@0.2.12",
    "wasi:cli/stdout@0.2.12",
    "wasi:cli/terminal-input@0.2.12",
    "wasi:cli/terminal-output@0.2.12",
    "wasi:cli/terminal-stderr@0.2.12",
    "wasi:cli/terminal-stdin@0.2.12",
    "wasi:cli/terminal-stdout@0.2.12",
    "wasi:clocks/monotonic-clock@0.2.12",
    "wasi:clocks/wall-clock@0.2.12",
    "wasi:config/store@0.2.0-rc.1",
    "wasi:filesystem/preopens@0.2.12",
    "wasi:filesystem/types@0.2.12",
    "wasi:http/outgoing-handler@0.2.12",
    "wasi:http/types@0.2.12",
    "wasi:io/error@0.2.12",
    "wasi:io/poll@0.2.12",
    "wasi:io/streams@0.2.12",
    "wasi:keyvalue/store@0.2.0-draft",
    "wasi:random/insecure-seed@0.2.12",
    "wasi:random/insecure@0.2.12",
    "wasi:random/random@0.2.12",
];

/// What one instance was granted.
pub(crate) struct Capabilities {
    pub(crate) basic: BasicContext,
    pub(crate) sql: Option<SqlContext>,
    pub(crate) http: Option<HttpClientContext>,
    pub(crate) key_values: Option<KeyValueContext>,
    pub(crate) events: Option<EventsContext>,
}

impl Capabilities {
    pub(crate) fn new(component: &ComponentId, grants: &Grants, recorder: &Recorder) -> Self {
        Self {
            basic: BasicContext {
                component: component.clone(),
                recorder: recorder.clone(),
                grants: grants.basic.clone(),
                services: grants.services.clone(),
                lines: host_basic::Lines::default(),
            },
            sql: grants
                .sql
                .as_ref()
                .map(|pool| SqlContext::new(pool.clone(), recorder.clone())),
            http: grants
                .http
                .as_ref()
                .map(|client| HttpClientContext::new(client.clone(), recorder.clone(), grants.lease_left.clone())),
            key_values: grants
                .key_values
                .as_ref()
                .map(|stores| KeyValueContext::new(stores.clone(), recorder.clone(), grants.lease_left.clone())),
            events: grants
                .events
                .as_ref()
                .map(|grant| EventsContext::new(grant.clone(), recorder.clone())),
        }
    }
}

/// Links what the component was granted; what it was not is missing, so that a component that imports it is refused.
pub(crate) fn link(linker: &mut Linker<InstanceState>, grants: &Grants) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    host_basic::shadow_wasi(linker, basic)?;
    host_basic::add_to_linker(linker, basic)?;
    if grants.sql.is_some() {
        host_sql::add_to_linker(linker, sql)?;
    }
    if grants.http.is_some() {
        host_http_client::add_to_linker(linker)?;
    }
    if grants.key_values.is_some() {
        host_keyvalue::add_to_linker(linker, key_values)?;
    }
    if grants.events.is_some() {
        host_events::add_to_linker(linker, events)?;
    }
    Ok(())
}

fn basic(state: &mut InstanceState) -> BasicView<'_> {
    BasicView(&mut state.capabilities.basic)
}

fn sql(state: &mut InstanceState) -> SqlView<'_> {
    let context = state
        .capabilities
        .sql
        .as_mut()
        .expect("linked only where a schema is granted");
    SqlView {
        context,
        table: &mut state.table,
    }
}

fn key_values(state: &mut InstanceState) -> KeyValueView<'_> {
    let context = state
        .capabilities
        .key_values
        .as_mut()
        .expect("linked only where a store is granted");
    KeyValueView {
        context,
        table: &mut state.table,
    }
}

fn events(state: &mut InstanceState) -> EventsView<'_> {
    let context = state.capabilities.events.as_mut();
    EventsView(context.expect("linked only where a topic is granted"))
}

impl HttpClientHost for InstanceState {
    fn http_client(&mut self) -> HttpClientView<'_> {
        let context = self
            .capabilities
            .http
            .as_mut()
            .expect("linked only where a host is granted");
        HttpClientView {
            context,
            table: &mut self.table,
        }
    }
}
