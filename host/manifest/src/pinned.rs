//! What a deployment keeps of the manifest, so that what began on it ends on it whatever the manifest says by then: who answers whom, who may be
//! chosen, what each component is granted, and its limits.
//!
//! What a variable has a part in is not kept, for it may be a secret: values and hosts of that kind are today's. So are the database's
//! schemas, which there is one of, and all that is decided where an invocation begins or fails: routes, retries, retention.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    App, Component, ComponentId, Dependency, EffectRule, ExclusiveRule, InterfaceName, KeyName, OutboundHost,
    Providers, StoreName, TopicPattern, Unknown,
};

/// Text that is none of [`App::pinned`]'s, or of a program that knows more than this one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what the deployment keeps of the manifest cannot be read: {0}")]
pub struct NotPinned(String);

/// Written in this order, so that the same manifest is the same text.
#[derive(Serialize, Deserialize)]
struct Pinned {
    components: BTreeMap<String, PinnedComponent>,
}

#[derive(Serialize, Deserialize)]
struct PinnedComponent {
    memory_limit_bytes: u64,
    time_limit_ms: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<PinnedDependency>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    providers: Vec<PinnedProviders>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<PinnedHost>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stores: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclusive: Vec<PinnedExclusive>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    publishes: Vec<String>,
    event_retention_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct PinnedDependency {
    interface: String,
    component: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    export: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct PinnedProviders {
    interface: String,
    components: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct PinnedHost {
    host: String,
    #[serde(default)]
    repeats: bool,
    #[serde(default)]
    sends_key: bool,
}

#[derive(Serialize, Deserialize)]
struct PinnedExclusive {
    interface: String,
    function: String,
    parameter: String,
}

impl App {
    /// What a deployment of this application keeps of the manifest. The same for two manifests that differ in nothing else than in what is
    /// not kept.
    pub fn pinned(&self) -> String {
        let components = self.components.values();
        let components = components.map(|component| (component.id.to_string(), PinnedComponent::of(component)));
        text(&Pinned {
            components: components.collect(),
        })
    }

    /// The application of a deployment of these components: as it kept it, and in all else as it is today. A component that today's manifest
    /// has not got is not in it, since nobody knows its variables. `None`: the deployment was registered before any kept something; then it is
    /// today's, without the components that came later.
    ///
    /// # Errors
    /// When the text cannot be read.
    pub fn as_pinned(&self, pinned: Option<&str>, of: &BTreeSet<&ComponentId>) -> Result<Self, NotPinned> {
        let mut app = self.clone();
        app.components.retain(|id, _| of.contains(id));
        app.routes.retain(|route| of.contains(&route.component));
        let Some(pinned) = pinned else {
            let providers = app
                .components
                .values_mut()
                .flat_map(|component| &mut component.providers);
            providers.for_each(|providers| providers.components.retain(|id| of.contains(id)));
            return Ok(app);
        };
        let mut pinned: Pinned = serde_json::from_str(pinned).map_err(|error| NotPinned(error.to_string()))?;
        for (id, component) in &mut app.components {
            let pinned = pinned.components.remove(id.as_str());
            let pinned = pinned.ok_or_else(|| NotPinned(format!("it says nothing of {id}")))?;
            pinned
                .apply(component)
                .map_err(|reason| NotPinned(format!("{id}: {reason}")))?;
        }
        Ok(app)
    }
}

impl Component {
    /// The component's part of [`App::pinned`].
    pub fn pinned(&self) -> String {
        text(&PinnedComponent::of(self))
    }
}

fn text(pinned: &impl Serialize) -> String {
    // Numbers, texts, and maps with texts as keys.
    serde_json::to_string(pinned).expect("what is kept has a JSON form")
}

impl PinnedComponent {
    fn of(component: &Component) -> Self {
        let dependencies = component.dependencies.iter().map(|dependency| PinnedDependency {
            interface: dependency.interface.to_string(),
            component: dependency.component.to_string(),
            export: dependency.export.as_ref().map(ToString::to_string),
        });
        let providers = component.providers.iter().map(|providers| PinnedProviders {
            interface: providers.interface.to_string(),
            components: texts(&providers.components),
        });
        let hosts = component.allowed_outbound_hosts.iter();
        let hosts = hosts.filter(|host| !component.variable_hosts.contains(host));
        let hosts = hosts.map(|host| {
            // How long a request may take is for those who send it, and changes nothing of what is recorded.
            let EffectRule { unknown, sends_key, .. } = component.effect_rule(host);
            PinnedHost {
                host: host.to_string(),
                repeats: unknown == Unknown::Repeat,
                sends_key,
            }
        });
        let mut hosts: Vec<_> = hosts.collect();
        // Their order says nothing, and one is there twice that is a variable's, too.
        hosts.sort_by(|one, other| one.host.cmp(&other.host));
        hosts.dedup_by(|one, other| one.host == other.host);
        let exclusive = component.exclusive.iter().map(|rule| PinnedExclusive {
            interface: rule.interface.to_string(),
            function: rule.function.clone(),
            parameter: rule.parameter.clone(),
        });
        Self {
            memory_limit_bytes: component.limits.memory_limit_bytes,
            time_limit_ms: component.limits.time_limit_ms,
            dependencies: dependencies.collect(),
            providers: providers.collect(),
            hosts,
            stores: texts(&component.key_value_stores),
            keys: texts(&component.keys),
            exclusive: exclusive.collect(),
            publishes: texts(&component.events.publishes),
            event_retention_ms: component.events.retention_ms,
        }
    }

    fn apply(self, component: &mut Component) -> Result<(), String> {
        let at = component.at;
        component.limits.memory_limit_bytes = self.memory_limit_bytes;
        component.limits.time_limit_ms = self.time_limit_ms;
        let dependencies = self.dependencies.into_iter().map(|kept| {
            Ok(Dependency {
                interface: interface(&kept.interface)?,
                component: kept.component.into(),
                export: kept.export.as_deref().map(interface).transpose()?,
                at,
            })
        });
        component.dependencies = dependencies.collect::<Result<_, String>>()?;
        let providers = self.providers.into_iter().map(|kept| {
            Ok(Providers {
                interface: interface(&kept.interface)?,
                components: kept.components.into_iter().map(ComponentId::from).collect(),
                at,
            })
        });
        component.providers = providers.collect::<Result<_, String>>()?;
        let exclusive = self.exclusive.into_iter().map(|kept| {
            Ok(ExclusiveRule {
                interface: interface(&kept.interface)?,
                function: kept.function,
                parameter: kept.parameter,
                at,
            })
        });
        component.exclusive = exclusive.collect::<Result<_, String>>()?;
        component.key_value_stores = parsed(&self.stores, StoreName::parse)?;
        component.keys = parsed(&self.keys, KeyName::parse)?;
        component.events.publishes = parsed(&self.publishes, TopicPattern::parse)?;
        component.events.retention_ms = self.event_retention_ms;

        let (mut hosts, mut rules) = (Vec::new(), BTreeMap::new());
        for kept in self.hosts {
            let host = OutboundHost::parse(&kept.host).map_err(|reason| format!("{} {reason}", kept.host))?;
            let unknown = match kept.repeats {
                true => Unknown::Repeat,
                false => Unknown::Report,
            };
            let sends_key = kept.sends_key;
            let today = component.effect_rule(&host);
            rules.insert(
                host.clone(),
                EffectRule {
                    unknown,
                    sends_key,
                    ..today
                },
            );
            hosts.push(host);
        }
        component.variable_hosts.retain(|host| !hosts.contains(host));
        for host in &component.variable_hosts {
            rules.insert(host.clone(), component.effect_rule(host));
            hosts.push(host.clone());
        }
        component.allowed_outbound_hosts = hosts;
        component.effect_rules = rules;
        Ok(())
    }
}

fn texts(names: &[impl ToString]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn interface(text: &str) -> Result<InterfaceName, String> {
    InterfaceName::parse(text).map_err(|error| format!("{text}: {error}"))
}

fn parsed<T>(texts: &[String], parse: impl Fn(&str) -> Result<T, &'static str>) -> Result<Vec<T>, String> {
    let parsed = texts
        .iter()
        .map(|text| parse(text).map_err(|reason| format!("{text} {reason}")));
    parsed.collect()
}
