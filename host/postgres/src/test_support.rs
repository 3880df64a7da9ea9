//! For tests and benchmarks: a server that vanishes with its process, and a fresh database per test.
//!
//! `cargo xtask test` starts one server for the whole run and names it in [`DATABASE_URL`]. Without it, all tests that
//! run at the same time share a server that the first of them starts and that goes away after the last.

use std::env;
use std::path::{Path, PathBuf};

mod database;
mod recovery;
mod shared;
mod tls;

pub use database::{TestDatabase, fresh_database};
pub use shared::shared_test_server;
pub use tls::Certificates;

pub use crate::TemporaryServer as TestServer;

/// The environment variable with the URL of a superuser on the server that all tests use.
pub const DATABASE_URL: &str = "NEXUS_TEST_DATABASE_URL";

/// The folder cargo builds into, found from the running test program; the folder for temporary files without one.
fn target_dir() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    target.map_or_else(env::temp_dir, Path::to_owned)
}
