//! `allowed_outbound_hosts`: where a component may send HTTP requests. A subset of Spin's patterns, so that what is not understood is refused.

use std::fmt;
use std::net::Ipv6Addr;

/// One pattern: `https://host`, `https://*.host`, `http://host:port`, `https://*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboundHost {
    /// Plain or TLS; each pattern grants one.
    pub scheme: Scheme,
    /// Which hosts.
    pub host: HostPattern,
    /// The one port that is granted: 80 or 443 unless the pattern names another.
    pub port: u16,
}

/// How requests that change something are treated at a granted host: `outbound` of `[component.<id>.tool.nexus]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EffectRule {
    /// What a replay does about a request that was begun and whose outcome was not recorded.
    pub unknown: Unknown,
    /// Whether the effect's key is sent as `Idempotency-Key`.
    pub sends_key: bool,
    /// How long such a request may take, where the manifest says it, milliseconds.
    pub timeout_ms: Option<u64>,
}

/// What a replay does about a request in doubt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unknown {
    /// `"report"`: tells the guest, which asks the peer what became of it.
    #[default]
    Report,
    /// `"repeat"`: sends it again; the peer recognises a repetition.
    Repeat,
}

/// The protocol of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Without TLS; port 80 unless another is given.
    Http,
    /// With TLS; port 443 unless another is given.
    Https,
}

/// The hosts of a pattern, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// `*`: any host.
    Any,
    /// This name or address; an IPv6 address has no brackets here.
    Exact(String),
    /// `*.example.com`, held as `example.com`: every host below it, at any depth, but not itself.
    Below(String),
}

impl Scheme {
    /// As in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl OutboundHost {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("has no scheme");
        };
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err("has a scheme other than http and https"),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err("holds more than scheme, host and port");
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => scheme.default_port(),
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or("has a port that is not 1 to 65535")?,
        };
        Ok(Self {
            scheme,
            host: HostPattern::parse(host)?,
            port,
        })
    }

    /// Whether a request to this host (lower or upper case, an IPv6 address without brackets) and port is granted.
    pub fn matches(&self, scheme: Scheme, host: &str, port: u16) -> bool {
        self.scheme == scheme && self.port == port && self.host.matches(host)
    }
}

/// Host and port; the brackets of an IPv6 address stay.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    let host_end = match authority.starts_with('[') {
        true => authority.find(']').ok_or("has an unclosed `[`")? + 1,
        false => authority.find(':').unwrap_or(authority.len()),
    };
    match authority[host_end..].strip_prefix(':') {
        Some(port) => Ok((&authority[..host_end], Some(port))),
        None if host_end == authority.len() => Ok((authority, None)),
        None => Err("has something other than a port after the address"),
    }
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("has no host");
        }
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: Ipv6Addr = address.parse().map_err(|_| "has an IPv6 address that cannot be read")?;
            return Ok(Self::Exact(address.to_string()));
        }
        let (name, is_below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err("may have `*` only as the whole first label");
        }
        if !name.split('.').all(is_label) {
            return Err("has a host that is neither a name nor an address");
        }
        let name = name.to_ascii_lowercase();
        Ok(if is_below { Self::Below(name) } else { Self::Exact(name) })
    }

    fn matches(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        match self {
            Self::Any => true,
            Self::Exact(name) => *name == host,
            Self::Below(name) => host
                .strip_suffix(name.as_str())
                .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
        }
    }
}

/// A label of a DNS name, underscores included since container networks use them.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for OutboundHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        match &self.host {
            HostPattern::Any => f.write_str("*")?,
            HostPattern::Exact(name) if name.contains(':') => write!(f, "[{name}]")?,
            HostPattern::Exact(name) => f.write_str(name)?,
            HostPattern::Below(name) => write!(f, "*.{name}")?,
        }
        match self.port == self.scheme.default_port() {
            true => Ok(()),
            false => write!(f, ":{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OutboundHost, Scheme};

    fn host(text: &str) -> OutboundHost {
        OutboundHost::parse(text).unwrap_or_else(|reason| panic!("{text} {reason}"))
    }

    #[test]
    fn patterns_are_read_and_written_alike() {
        for text in [
            "https://api.example.com",
            "https://*.example.com",
            "http://localhost:8080",
            "https://*",
            "http://[::1]:80",
        ] {
            assert_eq!(host(text).to_string(), text.trim_end_matches(":80"));
        }
        assert_eq!(
            host("https://API.Example.com:443/").to_string(),
            "https://api.example.com"
        );
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for text in [
            "*",
            "example.com",
            "ftp://example.com",
            "*://example.com",
            "https://",
            "https://:80",
            "https://a.*.com",
            "https://*a.com",
            "https://u@h",
            "https://h/path",
            "https://h:0",
            "https://h:99999",
            "https://h:*",
            "https://a b",
            "https://[::1",
            "https://-a.b",
            "https://a..b",
        ] {
            assert!(OutboundHost::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_grant_is_for_its_scheme_host_and_port_alone() {
        assert!(host("https://example.com").matches(Scheme::Https, "Example.COM", 443));
        assert!(!host("https://example.com").matches(Scheme::Http, "example.com", 80));
        assert!(!host("https://example.com").matches(Scheme::Https, "example.com", 8443));
        assert!(!host("https://example.com").matches(Scheme::Https, "example.com.evil.net", 443));
    }

    #[test]
    fn a_wildcard_stands_for_hosts_below_but_not_beside() {
        let below = host("https://*.example.com");
        assert!(below.matches(Scheme::Https, "api.example.com", 443));
        assert!(below.matches(Scheme::Https, "a.b.example.com", 443));
        assert!(!below.matches(Scheme::Https, "example.com", 443));
        assert!(!below.matches(Scheme::Https, "badexample.com", 443));
        assert!(!below.matches(Scheme::Https, ".example.com", 443));
    }
}
