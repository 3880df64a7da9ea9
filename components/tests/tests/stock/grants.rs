//! What a component is not granted it may not even ask for: it is refused before anything starts.

use std::net::SocketAddr;

use anyhow::Result;
use component_tests::check_application;

use crate::world::{Application, options};

fn check(change: impl FnOnce(&str) -> String) -> Result<Result<(), String>> {
    let application = Application::new(change)?;
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let output = check_application(&application.manifest(), &options(peer), &[])?;
    Ok(match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    })
}

#[test]
fn a_component_that_imports_what_it_is_not_granted_is_refused() -> Result<()> {
    assert_eq!(check(str::to_owned)?, Ok(()));
    let without_store = check(|manifest| manifest.replace("key_value_stores = [\"shared\"]\n", ""))?;
    let refused = without_store.expect_err("it imports spin:key-value");
    assert!(
        refused.contains("`other` imports `spin:key-value/key-value@3.0.0` without the grant"),
        "{refused}"
    );
    assert!(refused.contains("key_value_stores = [\"default\"]"), "{refused}");
    let without_hosts =
        check(|manifest| manifest.replace("allowed_outbound_hosts = [\"https://api.example.com\"]\n", ""))?;
    let refused = without_hosts.expect_err("it imports wasi:http/client");
    assert!(
        refused.contains("`short` imports `wasi:http/client@0.3.0` without the grant"),
        "{refused}"
    );
    Ok(())
}
