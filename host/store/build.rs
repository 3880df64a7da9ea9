//! Builds again when a migration of the host's schema changes: they are embedded.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/host");
}
