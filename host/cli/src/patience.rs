//! How long a node counts as alive, and with that how long its requests to other hosts may take: no effect begins that may outlast its lease.

use std::time::Duration;

use anyhow::{Result, ensure};
use host_manifest::App;

/// How long a node counts as alive after its last heartbeat, unless it is told.
pub(crate) const LEASE_SECONDS: u64 = 5;
/// The same, of what only looks at a database.
pub(crate) const LEASE: Duration = Duration::from_secs(LEASE_SECONDS);
/// How long an effect outside of the database may take, unless its grant says it.
pub(crate) const EFFECT: Duration = Duration::from_secs(3);

/// What of a lease may be over right before a heartbeat renews it: the beat's own second, and one more for a database that is slow.
const SPENT: Duration = Duration::from_secs(2);

/// How long an effect may take on a node with this lease, whatever its grant says.
pub(crate) fn longest_effect(lease: Duration) -> Duration {
    lease.saturating_sub(SPENT)
}

/// How long a stopping node waits, at least, for what it has begun.
const DRAIN: Duration = Duration::from_secs(30);

/// How long a stopping node with this lease waits for what it has begun. No effect outlasts the lease, those of earlier manifests included: a
/// request that its grant has patience with is not cut off, which would leave its outcome unknown.
pub(crate) fn drain(lease: Duration) -> Duration {
    DRAIN.max(lease)
}

/// Whether a node with this lease can do what the manifest says. One that cannot would cut requests off that others have patience with.
pub(crate) fn check(app: &App, lease: Duration) -> Result<()> {
    let longest = longest_effect(lease);
    for component in app.components.values() {
        for host in &component.allowed_outbound_hosts {
            let Some(timeout_ms) = component.effect_rule(host).timeout_ms else {
                continue;
            };
            let needed = (Duration::from_millis(timeout_ms) + SPENT).as_millis().div_ceil(1_000);
            ensure!(
                Duration::from_millis(timeout_ms) <= longest,
                "component {} waits {timeout_ms} ms for {host}, and with a lease of {} s no request may take longer than {} ms: start every host \
                 with `--lease-seconds {needed}`, or say less in `timeout_ms`",
                component.id,
                lease.as_secs(),
                longest.as_millis(),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn app(timeout_ms: u64) -> App {
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"shop\"\n[trigger]\n[component.cart]\nsource = \"cart.wasm\"\n\
             allowed_outbound_hosts = [\"https://api.example.com\", \"https://other.example.com\"]\n\
             [component.cart.tool.nexus]\noutbound = {{ \"https://api.example.com\" = {{ timeout_ms = {timeout_ms} }} }}\n"
        );
        App::load("spin.toml", &text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("\n{errors}"))
    }

    #[test]
    fn a_stop_waits_for_every_request_that_may_have_begun() {
        assert_eq!(drain(LEASE), Duration::from_secs(30));
        for lease in (5..=120).map(Duration::from_secs) {
            assert!(longest_effect(lease) + SPENT <= drain(lease), "{lease:?}");
        }
    }

    #[test]
    fn a_node_waits_for_nobody_longer_than_its_lease_allows() {
        assert!(
            EFFECT <= longest_effect(LEASE),
            "what is the case where nothing is said"
        );
        assert!(check(&app(3_000), LEASE).is_ok());
        let refused = check(&app(20_001), LEASE).unwrap_err().to_string();
        assert!(
            refused.contains("waits 20001 ms for https://api.example.com") && refused.contains("`--lease-seconds 23`"),
            "{refused}"
        );
        assert!(check(&app(20_001), Duration::from_secs(22)).is_err());
        assert!(check(&app(20_001), Duration::from_secs(23)).is_ok());
    }
}
