//! Where a component may send requests, and what is done about one in doubt.

use std::net::IpAddr;
use std::time::Duration;

use host_manifest::{EffectRule, HostPattern, OutboundHost, Unknown};

use crate::address::is_public;
use crate::request::Origin;

/// One entry of a component's allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Which origins.
    pub host: OutboundHost,
    /// What a replay does about a request that was begun and whose outcome was not recorded.
    pub unknown: Unknown,
    /// Whether the effect's key is sent as `Idempotency-Key`.
    pub sends_key: bool,
    /// How long an effect may take, where that is said.
    pub effect_total: Option<Duration>,
}

impl From<OutboundHost> for Grant {
    /// The grant of a plain `allowed_outbound_hosts` line.
    fn from(host: OutboundHost) -> Self {
        Self::new(host, EffectRule::default())
    }
}

impl Grant {
    /// The grant of an `allowed_outbound_hosts` line, with what the manifest says of effects there.
    pub fn new(host: OutboundHost, effects: EffectRule) -> Self {
        let EffectRule {
            unknown,
            sends_key,
            timeout_ms,
            ..
        } = effects;
        Self {
            host,
            unknown,
            sends_key,
            effect_total: timeout_ms.map(Duration::from_millis),
        }
    }

    /// Whether a connection for this grant may go to this address. An address that is not public must be the grant itself:
    /// neither a name nor a wildcard leads there, whatever DNS says.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        match &self.host.host {
            HostPattern::Exact(name) if name == "localhost" => address.is_loopback(),
            HostPattern::Exact(name) => match name.parse::<IpAddr>() {
                Ok(named) => named == address,
                Err(_) => is_public(address),
            },
            HostPattern::Any | HostPattern::Below(_) => is_public(address),
        }
    }
}

/// The narrowest grant for this origin, so that what a manifest says of one host is not undone by a wildcard beside it.
pub(crate) fn find<'a>(grants: &'a [Grant], origin: &Origin) -> Option<&'a Grant> {
    let matching = grants
        .iter()
        .filter(|grant| grant.host.matches(origin.scheme, &origin.host, origin.port));
    matching.max_by_key(|grant| match &grant.host.host {
        HostPattern::Any => (0, 0),
        HostPattern::Below(name) => (1, name.len()),
        HostPattern::Exact(_) => (2, 0),
    })
}

#[cfg(test)]
mod tests {
    use host_manifest::Scheme;

    use super::*;

    fn grant(host: HostPattern) -> Grant {
        OutboundHost {
            scheme: Scheme::Https,
            host,
            port: 443,
        }
        .into()
    }

    fn exact(name: &str) -> HostPattern {
        HostPattern::Exact(name.into())
    }

    fn admits(host: HostPattern, address: &str) -> bool {
        grant(host).admits(address.parse().expect("an address"))
    }

    #[test]
    fn a_name_never_leads_to_a_private_address() {
        for host in [
            HostPattern::Any,
            exact("db.example.com"),
            HostPattern::Below("example.com".into()),
        ] {
            assert!(admits(host.clone(), "8.8.8.8"));
            for private in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:8.8.8.8"] {
                assert!(!admits(host.clone(), private), "{host:?} {private}");
            }
        }
    }

    #[test]
    fn an_address_is_its_own_grant_and_no_other() {
        assert!(admits(exact("10.0.0.1"), "10.0.0.1"));
        assert!(!admits(exact("10.0.0.1"), "10.0.0.2"));
        assert!(!admits(exact("8.8.8.8"), "8.8.4.4"));
        assert!(admits(exact("::1"), "::1"));
    }

    #[test]
    fn localhost_is_loopback_alone() {
        assert!(admits(exact("localhost"), "127.0.0.1"));
        assert!(admits(exact("localhost"), "::1"));
        assert!(!admits(exact("localhost"), "10.0.0.1"));
        assert!(!admits(exact("localhost"), "8.8.8.8"));
    }

    #[test]
    fn the_narrowest_grant_counts() {
        let narrow = Grant {
            unknown: Unknown::Repeat,
            ..grant(exact("api.example.com"))
        };
        let below = grant(HostPattern::Below("example.com".into()));
        let grants = [grant(HostPattern::Any), narrow.clone(), below.clone()];
        let origin = |host: &str| Origin {
            scheme: Scheme::Https,
            host: host.into(),
            port: 443,
        };
        assert_eq!(find(&grants, &origin("api.example.com")), Some(&narrow));
        assert_eq!(find(&grants, &origin("www.example.com")), Some(&below));
        assert_eq!(find(&grants, &origin("example.org")), Some(&grants[0]));
        assert_eq!(find(&grants[1..], &origin("example.org")), None);
        assert_eq!(
            find(
                &grants,
                &Origin {
                    port: 8443,
                    ..origin("api.example.com")
                }
            ),
            None
        );
    }
}
