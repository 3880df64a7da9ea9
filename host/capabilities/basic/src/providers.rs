//! Which components answer an interface for a caller. Kept with the deployment the invocation is pinned to, so nothing is
//! recorded.

use std::collections::BTreeMap;

/// Names by interface, in the manifest's order.
#[derive(Debug, Clone, Default)]
pub struct Providers {
    by_interface: BTreeMap<String, Vec<String>>,
}

impl Providers {
    /// The names listed for an interface, which may be given with or without its version.
    pub fn granted(&self, interface: &str) -> &[String] {
        self.by_interface
            .get(without_version(interface))
            .map_or(&[], Vec::as_slice)
    }
}

impl FromIterator<(String, Vec<String>)> for Providers {
    fn from_iter<I: IntoIterator<Item = (String, Vec<String>)>>(lists: I) -> Self {
        let by_interface = lists
            .into_iter()
            .map(|(interface, names)| (without_version(&interface).to_owned(), names));
        Self {
            by_interface: by_interface.collect(),
        }
    }
}

fn without_version(interface: &str) -> &str {
    interface.split_once('@').map_or(interface, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_keeps_its_order_and_needs_no_version() {
        let names = vec!["payment-sepay".to_owned(), "payment-cod".to_owned()];
        let providers: Providers = [("shop:payment/provider@0.1.0".to_owned(), names.clone())]
            .into_iter()
            .collect();
        assert_eq!(providers.granted("shop:payment/provider"), names);
        assert_eq!(providers.granted("shop:payment/provider@0.1.0"), names);
        assert!(providers.granted("shop:transport/carrier").is_empty());
    }
}
