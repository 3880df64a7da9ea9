//! The light capabilities as an instance sees them, and as its replay does.

mod nexus;
mod support;
mod wasi;
