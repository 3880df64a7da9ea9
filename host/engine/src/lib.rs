//! Wasmtime settings, compile cache and limits: the only crate that configures wasmtime.

mod cache;
mod component_type;
mod engine;
mod error;
mod kind;
mod limits;
mod pace;
mod statements;

pub use cache::{CacheOutcome, CompileCache, Loaded};
pub use component_type::{Interfaces, exported_functions, imported_functions, interfaces};
pub use engine::{Allocation, Engine, EngineOptions, MAX_MEMORY_BYTES, TICK_MS};
pub use error::{Error, LimitExceeded};
pub use kind::Kind;
pub use limits::{Limits, StoreLimits, apply_limits};
pub use pace::Pace;
pub use statements::{MAX_STATEMENTS, Statement, statements};
