//! The journal's machine has no I/O: what it is built of has none either.

use std::path::Path;
use std::process::Command;

/// An executor, an engine, a database, a way to other machines.
const FORBIDDEN: [&str; 8] = [
    "tokio",
    "wasmtime",
    "sqlx",
    "sqlx-core",
    "tokio-postgres",
    "hyper",
    "reqwest",
    "async-std",
];

#[test]
fn the_journal_is_built_without_an_executor_an_engine_or_a_database() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tree = Command::new(env!("CARGO"))
        .current_dir(root)
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--package",
            "host-journal",
        ])
        .output()
        .expect("cargo starts");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("names are UTF-8");
    let built_of: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(
        built_of.contains(&"minicbor"),
        "what it is built of is listed: {built_of:?}"
    );
    let forbidden: Vec<_> = built_of.iter().filter(|name| FORBIDDEN.contains(name)).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}
