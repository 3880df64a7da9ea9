//! Asks a database as anybody's component for Spin does, built with Spin's SDK for Rust, version 7, and nothing of ours.

#[cfg(target_family = "wasm")]
#[allow(
    unsafe_code,
    missing_docs,
    clippy::allow_attributes_without_reason,
    reason = "what Spin's macro makes of the handler"
)]
mod service;
