//! The guest library of the marketplace's modules: HTTP envelopes, validation, pages, SQL rows, sagas.
//!
//! Code here is plain and blocking. What makes it durable is the host behind the imports, so nothing in this crate speaks
//! of journals. Functions that reach an import say so ("asks the host"); everything else runs in a native unit test.

pub mod bindings;
pub mod config;
pub mod deadline;
pub mod events;
pub mod http;
pub mod id;
pub mod invocation;
pub mod join;
pub mod json;
pub mod log;
pub mod money;
#[cfg(feature = "outbound")]
pub mod outbound;
pub mod page;
pub mod promise;
pub mod saga;
pub mod sql;
pub mod text_enum;
pub mod time;
pub mod timer;
pub mod uuid;
pub mod validate;
#[cfg(feature = "webhook")]
pub mod webhook;
pub mod workflow;

/// The generator behind [`component!`], for components that need it directly.
pub use wit_bindgen;

pub use crate::{
    id::AccountId,
    invocation::{new_id, now, random_bytes, sleep, try_again},
    join::{begin, join, join_all},
    json::Patch,
    money::{Currency, Money},
    page::{Page, PageRequest},
    promise::Promise,
    saga::{Compensation, Undo, compensate, saga, trap},
    time::Timestamp,
    uuid::Uuid,
    validate::{Checks, Input},
    workflow::Workflow,
};

/// Generates a private module `bindings` for a world of `wit/worlds.wit`, or of other folders:
/// `"test:crowd/crowd@0.1.0" in ["../../../wit", "wit"]`.
///
/// Interfaces this crate binds are mapped to [`bindings`](crate::bindings), so that its helpers and the component share one
/// type for a request, a row, a transaction. Those that not every world has follow the name: `timer` for `nexus:durable/timer`,
/// `promises` for `nexus:durable/promises`, `compensation` for `nexus:durable/compensation`, `events` for `nexus:events/publisher`,
/// `workflows` and `deadlines` likewise.
///
/// ```ignore
/// sdk::component!("account");
/// struct Account;
/// bindings::export!(Account with_types_in bindings);
/// ```
#[macro_export]
macro_rules! component {
    (@with $world:tt $path:tt [$($with:tt)*] timer $($more:ident)*) => {
        $crate::component!(@with $world $path
            [$($with)* "nexus:durable/timer@0.1.0": ::sdk::bindings::nexus::durable::timer,] $($more)*);
    };
    (@with $world:tt $path:tt [$($with:tt)*] promises $($more:ident)*) => {
        $crate::component!(@with $world $path
            [$($with)* "nexus:durable/promises@0.1.0": ::sdk::bindings::nexus::durable::promises,] $($more)*);
    };
    (@with $world:tt $path:tt [$($with:tt)*] compensation $($more:ident)*) => {
        $crate::component!(@with $world $path
            [$($with)* "nexus:durable/compensation@0.1.0": ::sdk::bindings::nexus::durable::compensation,] $($more)*);
    };
    (@with $world:tt $path:tt [$($with:tt)*] workflows $($more:ident)*) => {
        $crate::component!(@with $world $path
            [$($with)* "nexus:durable/workflows@0.1.0": ::sdk::bindings::nexus::durable::workflows,] $($more)*);
    };
    (@with $world:tt $path:tt [$($with:tt)*] deadlines $($more:ident)*) => {
        $crate::component!(@with $world $path
            [$($with)* "nexus:durable/deadlines@0.1.0": ::sdk::bindings::nexus::durable::deadlines,] $($more)*);
    };
    (@with $world:tt $path:tt [$($with:tt)*] events $($more:ident)*) => {
        $crate::component!(@with $world $path
            [$($with)* "nexus:events/publisher@0.1.0": ::sdk::bindings::nexus::events::publisher,] $($more)*);
    };
    (@with $world:tt $path:tt [$($with:tt)*]) => {
        #[allow(
            missing_docs, unsafe_code, unreachable_pub, unused_qualifications, dead_code, clippy::all,
            clippy::allow_attributes_without_reason, reason = "generated"
        )]
        mod bindings {
            ::sdk::wit_bindgen::generate!({
                world: $world,
                path: $path,
                runtime_path: "::sdk::wit_bindgen::rt",
                generate_all,
                additional_derives: [PartialEq],
                export_macro_name: "export_component",
                with: {
                    $($with)*
                    "nexus:sql/sql@0.1.0": ::sdk::bindings::nexus::sql::sql,
                    "nexus:durable/invocation@0.1.0": ::sdk::bindings::nexus::durable::invocation,
                    "nexus:durable/derived@0.1.0": ::sdk::bindings::nexus::durable::derived,
                    "nexus:log/log@0.1.0": ::sdk::bindings::nexus::log::log,
                    "nexus:http/types@0.1.0": ::sdk::bindings::nexus::http::types,
                    "wasi:config/store@0.2.0-rc.1": ::sdk::bindings::wasi::config::store,
                },
            });

            pub(crate) use ::sdk::export_on_wasm as export;
        }
    };
    ($world:tt in $path:tt $(, $more:ident)*) => {
        $crate::component!(@with $world $path [] $($more)*);
    };
    ($world:tt $(, $more:ident)*) => {
        $crate::component!(@with $world "../../wit" [] $($more)*);
    };
}

/// `bindings::export!` of a component. Its symbols have names that only wasm has; a native build (unit tests, doc tests,
/// `cargo build --workspace`) has nobody who would call them, and its linker refuses them.
#[doc(hidden)]
#[macro_export]
macro_rules! export_on_wasm {
    ($type:ident with_types_in $bindings:ident) => {
        #[cfg(target_family = "wasm")]
        $bindings::export_component!($type with_types_in $bindings);
        // Names the type, so that what it implements is not dead code.
        #[cfg(not(target_family = "wasm"))]
        const _: Option<$type> = None;
    };
}
