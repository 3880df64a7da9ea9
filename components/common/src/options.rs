//! What the granted providers offer. They are asked each time: an option is on sale as long as its provider says so.

use sdk::Uuid;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::{
    nexus::link::{providers, types::Target},
    shop::{payment::provider, transport::carrier},
};

/// What an option is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Payment,
    Transport,
}

impl Kind {
    /// None for kinds that no provider offers.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        match name {
            "payment" => Some(Self::Payment),
            "transport" => Some(Self::Transport),
            _ => None,
        }
    }
}

/// An option as clients read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Choice {
    id: String,
    #[serde(rename = "type")]
    kind: Kind,
    provider: String,
    is_enabled: bool,
    name: String,
    description: String,
    priority: i32,
    /// Pictures belong to no module yet.
    logo_rs_id: Option<Uuid>,
    /// Public fields alone: secrets stay with the provider's configuration.
    data: Map<String, Value>,
    /// The caller's own. Options of accounts do not exist yet.
    owned: bool,
}

impl Choice {
    /// `component` is who answers for the option; clients may know it by another name, which it then gives in its data.
    fn new(kind: Kind, component: &str, offered: Offered) -> Self {
        let mut data: Map<_, _> = offered
            .data
            .into_iter()
            .map(|(key, value)| (key, Value::String(value)))
            .collect();
        let provider = match data.remove(PROVIDER_KEY) {
            Some(Value::String(name)) => name,
            _ => component.to_owned(),
        };
        Self {
            id: offered.id,
            kind,
            provider,
            is_enabled: true,
            name: offered.name,
            description: offered.description,
            priority: offered.priority,
            logo_rs_id: None,
            data,
            owned: false,
        }
    }
}

/// What both kinds of provider say of an option.
struct Offered {
    id: String,
    name: String,
    description: String,
    priority: i32,
    data: Vec<(String, String)>,
}

impl Offered {
    fn new(id: String, name: String, description: String, priority: i32, data: Vec<(String, String)>) -> Self {
        Self {
            id,
            name,
            description,
            priority,
            data,
        }
    }
}

/// The one public field that is not shown among the others.
const PROVIDER_KEY: &str = "provider";

/// All options of a kind, by priority and then by id. Asks the providers.
pub(crate) fn of(kind: Kind) -> Vec<Choice> {
    let mut choices = match kind {
        Kind::Payment => granted(kind, "shop:payment/provider", |target| {
            let offered = provider::options(target).into_iter();
            offered
                .map(|it| Offered::new(it.id, it.name, it.description, it.priority, it.data))
                .collect()
        }),
        Kind::Transport => granted(kind, "shop:transport/carrier", |target| {
            let offered = carrier::options(target).into_iter();
            offered
                .map(|it| Offered::new(it.id, it.name, it.description, it.priority, it.data))
                .collect()
        }),
    };
    sort(&mut choices);
    choices
}

fn granted(kind: Kind, interface: &str, offered: impl Fn(&Target) -> Vec<Offered>) -> Vec<Choice> {
    let asked = providers::granted(interface).into_iter();
    let choices = asked.flat_map(|component| {
        let offered = offered(&Target {
            provider: component.clone(),
        })
        .into_iter();
        offered.map(move |offered| Choice::new(kind, &component, offered))
    });
    choices.collect()
}

fn sort(choices: &mut [Choice]) {
    choices.sort_by(|a, b| (a.priority, &a.id).cmp(&(b.priority, &b.id)));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn choice(id: &str, priority: i32, data: &[(&str, &str)]) -> Choice {
        let data = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let offered = Offered::new(id.to_owned(), "System - COD".to_owned(), String::new(), priority, data);
        Choice::new(Kind::Payment, "payment-cod", offered)
    }

    #[test]
    fn an_option_has_every_key_clients_read() {
        assert_eq!(
            serde_json::to_value(choice("system-cod", 0, &[("provider", "system"), ("method", "cod")])).unwrap(),
            json!({
                "id": "system-cod", "type": "payment", "provider": "system", "is_enabled": true, "name": "System - COD",
                "description": "", "priority": 0, "logo_rs_id": null, "data": { "method": "cod" }, "owned": false
            })
        );
    }

    #[test]
    fn a_provider_without_another_name_is_known_by_its_component() {
        assert_eq!(choice("x", 0, &[]).provider, "payment-cod");
    }

    #[test]
    fn options_are_sorted_by_priority_and_then_by_id() {
        let mut choices = vec![choice("b", 1, &[]), choice("c", 0, &[]), choice("a", 1, &[])];
        sort(&mut choices);
        let ids: Vec<_> = choices.iter().map(|choice| choice.id.as_str()).collect();
        assert_eq!(ids, ["c", "a", "b"]);
    }

    #[test]
    fn kinds_nobody_offers_are_unknown() {
        assert_eq!(Kind::by_name("transport"), Some(Kind::Transport));
        assert_eq!(Kind::by_name("object_store"), None);
    }
}
