//! Whose word on a client's address is believed.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Proxies in front of the hosts. What one of them says in `X-Forwarded-For` of whom it speaks for is believed; of others it is not.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// Where a proxy is: an address, or a network as in `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy(IpNet);

/// Neither an address nor a network.
#[derive(Debug, thiserror::Error)]
#[error("neither an address nor a network; write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")]
pub struct NoProxy;

impl FromStr for TrustedProxy {
    type Err = NoProxy;

    fn from_str(text: &str) -> Result<Self, NoProxy> {
        let network = text.parse::<IpNet>().ok();
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        network.or_else(address).map(Self).ok_or(NoProxy)
    }
}

impl FromIterator<TrustedProxy> for TrustedProxies {
    fn from_iter<T: IntoIterator<Item = TrustedProxy>>(proxies: T) -> Self {
        Self(proxies.into_iter().map(|TrustedProxy(network)| network).collect())
    }
}

impl TrustedProxies {
    /// The client that the other end of the connection speaks for: read from the end, where each proxy adds whom it was asked by, the first
    /// that is no trusted proxy itself. None when the other end is a client's own.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.trusts(peer) {
            return None;
        }
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let mut client = None;
        for line in lines.into_iter().rev() {
            for hop in line.to_str().ok()?.rsplit(',') {
                // What is no address was not written by one that is trusted: before it nothing is worth believing.
                let Some(address) = address(hop.trim()) else {
                    return client;
                };
                client = Some(address);
                if !self.trusts(address) {
                    return client;
                }
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Some proxies add the port.
fn address(hop: &str) -> Option<IpAddr> {
    let alone = || {
        hop.strip_prefix('[')
            .and_then(|hop| hop.strip_suffix(']'))
            .unwrap_or(hop)
            .parse()
    };
    let address = alone().or_else(|_| hop.parse().map(|socket: SocketAddr| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, lines: &[&'static str]) -> Option<String> {
        let proxies = ["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"];
        let proxies: TrustedProxies = proxies.iter().map(|text| text.parse().expect("a proxy")).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let client = proxies.client(peer.parse().expect("an address"), &headers);
        client.map(|client| client.to_string())
    }

    #[test]
    fn the_last_that_is_no_trusted_proxy_is_the_client() {
        for (peer, lines, expected) in [
            ("10.1.2.3", &["198.51.100.9"] as &[_], "198.51.100.9"),
            (
                "192.0.2.7",
                &["203.0.113.5, 198.51.100.9:4711, 10.0.0.1"],
                "198.51.100.9",
            ),
            (
                "10.1.2.3",
                &["203.0.113.5", "198.51.100.9 ,10.0.0.1", "[2001:db8:1::2]:443"],
                "198.51.100.9",
            ),
            ("10.1.2.3", &["::ffff:198.51.100.9"], "198.51.100.9"),
            ("10.1.2.3", &["2001:db8:2::9"], "2001:db8:2::9"),
            // All of them are proxies: the first of them asked.
            ("10.1.2.3", &["10.0.0.2, 10.0.0.1"], "10.0.0.2"),
            // Nothing before what is no address.
            ("10.1.2.3", &["203.0.113.5, unknown, 10.0.0.1"], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, lines).as_deref(), Some(expected), "{peer} {lines:?}");
        }
    }

    #[test]
    fn who_is_not_trusted_or_says_nothing_speaks_for_itself() {
        for (peer, lines) in [
            ("198.51.100.9", &["203.0.113.5"] as &[_]),
            ("192.0.2.8", &["203.0.113.5"]),
            ("10.1.2.3", &[]),
            ("10.1.2.3", &["unknown"]),
            ("10.1.2.3", &[""]),
        ] {
            assert_eq!(client(peer, lines), None, "{peer} {lines:?}");
        }
        assert_eq!(
            TrustedProxies::default().client("10.1.2.3".parse().expect("one"), &HeaderMap::new()),
            None
        );
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for text in ["", "10.0.0.0/33", "example.com", "10.0.0.0/8,10.1.0.0/16"] {
            assert!(text.parse::<TrustedProxy>().is_err(), "{text}");
        }
    }
}
