//! What a component of the stock engine can be granted. Nothing of it is recorded, so none of it is what a module has.

use std::sync::Arc;

use host_basic::SpinVariablesView;
use host_keyvalue::{SpinKeyValues, SpinKeyValuesView};
use host_sql::{SpinPostgres, SpinPostgresView};
use wasmtime::component::Linker;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView, p2, p3};

use crate::component::Grants;
use crate::stock::StockState;

/// Interfaces the host answers on the stock engine, beside those of WASI 0.2 that a module has too.
pub const STOCK_PLATFORM: &[&str] = &[
    "fermyon:spin/key-value@2.0.0",
    "fermyon:spin/variables@2.0.0",
    "spin:key-value/key-value@3.0.0",
    "spin:postgres/postgres@4.2.0",
    "spin:variables/variables@3.0.0",
    "wasi:cli/environment@0.2.12",
    "wasi:cli/environment@0.3.0",
    "wasi:cli/exit@0.2.12",
    "wasi:cli/exit@0.3.0",
    "wasi:cli/stderr@0.2.12",
    "wasi:cli/stderr@0.3.0",
    "wasi:cli/stdin@0.2.12",
    "wasi:cli/stdin@0.3.0",
    "wasi:cli/stdout@0.2.12",
    "wasi:cli/stdout@0.3.0",
    "wasi:cli/terminal-input@0.2.12",
    "wasi:cli/terminal-input@0.3.0",
    "wasi:cli/terminal-output@0.2.12",
    "wasi:cli/terminal-output@0.3.0",
    "wasi:cli/terminal-stderr@0.2.12",
    "wasi:cli/terminal-stderr@0.3.0",
    "wasi:cli/terminal-stdin@0.2.12",
    "wasi:cli/terminal-stdin@0.3.0",
    "wasi:cli/terminal-stdout@0.2.12",
    "wasi:cli/terminal-stdout@0.3.0",
    "wasi:clocks/monotonic-clock@0.2.12",
    "wasi:clocks/monotonic-clock@0.3.0",
    "wasi:clocks/system-clock@0.3.0",
    "wasi:clocks/wall-clock@0.2.12",
    "wasi:filesystem/preopens@0.2.12",
    "wasi:filesystem/preopens@0.3.0",
    "wasi:filesystem/types@0.2.12",
    "wasi:filesystem/types@0.3.0",
    "wasi:http/client@0.3.0",
    "wasi:http/outgoing-handler@0.2.12",
    "wasi:http/types@0.2.12",
    "wasi:http/types@0.3.0",
    "wasi:io/error@0.2.12",
    "wasi:io/poll@0.2.12",
    "wasi:io/streams@0.2.12",
    "wasi:random/insecure-seed@0.2.12",
    "wasi:random/insecure-seed@0.3.0",
    "wasi:random/insecure@0.2.12",
    "wasi:random/insecure@0.3.0",
    "wasi:random/random@0.2.12",
    "wasi:random/random@0.3.0",
    // Libraries of many languages import them unused: they are there, and lead nowhere.
    "wasi:sockets/instance-network@0.2.12",
    "wasi:sockets/ip-name-lookup@0.2.12",
    "wasi:sockets/ip-name-lookup@0.3.0",
    "wasi:sockets/network@0.2.12",
    "wasi:sockets/tcp-create-socket@0.2.12",
    "wasi:sockets/tcp@0.2.12",
    "wasi:sockets/types@0.3.0",
    "wasi:sockets/udp-create-socket@0.2.12",
    "wasi:sockets/udp@0.2.12",
];

/// What one instance was granted. Outbound HTTP stands in its state's hooks.
pub(crate) struct StockCapabilities {
    variables: Arc<host_basic::Grants>,
    key_values: Option<SpinKeyValues>,
    postgres: Option<SpinPostgres>,
}

impl StockCapabilities {
    /// `schema` is the name of the granted one.
    pub(crate) fn new(grants: &Grants, schema: &str) -> Self {
        Self {
            variables: Arc::clone(&grants.basic),
            key_values: grants.key_values.clone().map(SpinKeyValues::new),
            postgres: grants
                .sql
                .clone()
                .map(|pool| SpinPostgres::new(pool, schema.to_owned())),
        }
    }
}

/// Links what the component was granted; what it was not is missing, so that a component that imports it is refused.
pub(crate) fn link(linker: &mut Linker<StockState>, grants: &Grants) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    let options = p2::bindings::LinkOptions::default();
    p2::bindings::http::types::add_to_linker::<_, WasiHttp>(linker, &(&options).into(), StockState::http)?;
    p3::bindings::http::types::add_to_linker::<_, WasiHttp>(linker, StockState::http)?;
    linker.allow_shadowing(true);
    host_http_client::bound_p2(linker, StockState::http)?;
    host_http_client::bound_p3(linker, StockState::http)?;
    linker.allow_shadowing(false);
    if grants.http.is_some() {
        p2::bindings::http::outgoing_handler::add_to_linker::<_, WasiHttp>(linker, StockState::http)?;
        p3::bindings::http::client::add_to_linker::<_, WasiHttp>(linker, StockState::http)?;
    }
    host_basic::add_spin_to_linker(linker, variables)?;
    if grants.key_values.is_some() {
        host_keyvalue::add_spin_to_linker(linker, key_values)?;
    }
    if grants.sql.is_some() {
        host_sql::add_spin_to_linker(linker, postgres)?;
    }
    Ok(())
}

fn variables(state: &mut StockState) -> SpinVariablesView<'_> {
    SpinVariablesView(&state.capabilities.variables)
}

fn key_values(state: &mut StockState) -> SpinKeyValuesView<'_> {
    let context = state
        .capabilities
        .key_values
        .as_mut()
        .expect("linked only where a store is granted");
    SpinKeyValuesView {
        context,
        table: &mut state.table,
    }
}

fn postgres(state: &mut StockState) -> SpinPostgresView<'_> {
    let context = state
        .capabilities
        .postgres
        .as_mut()
        .expect("linked only where a schema is granted");
    SpinPostgresView {
        context,
        table: &mut state.table,
    }
}
