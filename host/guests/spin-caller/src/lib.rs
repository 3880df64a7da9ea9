//! Calls a module as a dependency, as anybody's component for Spin does.

#[cfg(target_family = "wasm")]
#[allow(
    unsafe_code,
    missing_docs,
    clippy::allow_attributes_without_reason,
    reason = "what Spin's macro makes of the handler"
)]
mod service;
