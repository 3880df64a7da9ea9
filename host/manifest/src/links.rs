//! What only the compiled components can tell: that every import has an answer and a grant, and that what the manifest promises is exported.

use std::collections::BTreeMap;

use crate::error::{Error, Errors, Problem};
use crate::{Answer, App, Component, ComponentId, InterfaceName, Limits, Location, Retried};

/// The interfaces of a compiled component, by their names in its type: `namespace:package/interface@version`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// The imported interfaces that have functions. One that holds types alone needs nobody to answer it and must be left out.
    pub imports: Vec<String>,
    /// The exported interfaces.
    pub exports: Vec<String>,
    /// It runs on the stock engine: nothing of it is journaled, and the host offers it other interfaces.
    pub is_stock: bool,
}

/// The interfaces the host offers, by their names (`nexus:sql/sql@0.1.0`). Versions that are compatible count as equal.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'a> {
    /// To modules and providers.
    pub plain: &'a [&'a str],
    /// To components of the stock engine.
    pub stock: &'a [&'a str],
}

/// A setting without which an interface of the platform is useless.
struct Grant {
    interface: &'static str,
    is_given: fn(&Component) -> bool,
    /// Where the setting belongs, after `[component.<id>`.
    table: &'static str,
    line: fn(&ComponentId) -> String,
}

static GRANTS: &[Grant] = &[
    Grant {
        interface: "nexus:sql",
        is_given: has_schema,
        table: ".tool.nexus",
        line: schema_line,
    },
    Grant {
        interface: "spin:postgres",
        is_given: has_schema,
        table: ".tool.nexus",
        line: schema_line,
    },
    Grant {
        interface: "nexus:crypto/tokens",
        is_given: |component| !component.keys.is_empty(),
        table: ".tool.nexus",
        line: |_| "keys = [\"access\"]".into(),
    },
    Grant {
        interface: "nexus:events/publisher",
        is_given: |component| !component.events.publishes.is_empty(),
        table: ".tool.nexus",
        line: |id| format!("publishes = [\"{id}.*\"]"),
    },
    Grant {
        interface: "wasi:http",
        is_given: has_host,
        table: "",
        line: host_line,
    },
    Grant {
        interface: "wasi:keyvalue",
        is_given: has_store,
        table: "",
        line: store_line,
    },
    Grant {
        interface: "spin:key-value",
        is_given: has_store,
        table: "",
        line: store_line,
    },
    Grant {
        interface: "fermyon:spin/key-value",
        is_given: has_store,
        table: "",
        line: store_line,
    },
];

/// What a component of the stock engine needs `allowed_outbound_hosts` for: the rest of `wasi:http` it answers with.
static CALLING: [Grant; 2] = [
    Grant {
        interface: "wasi:http/outgoing-handler",
        is_given: has_host,
        table: "",
        line: host_line,
    },
    Grant {
        interface: "wasi:http/client",
        is_given: has_host,
        table: "",
        line: host_line,
    },
];

fn has_schema(component: &Component) -> bool {
    component.schema.is_some()
}

fn schema_line(id: &ComponentId) -> String {
    format!("schema = \"{}\"", id.as_str().replace('-', "_"))
}

fn has_host(component: &Component) -> bool {
    !component.allowed_outbound_hosts.is_empty()
}

fn host_line(_: &ComponentId) -> String {
    "allowed_outbound_hosts = [\"https://api.example.com\"]".into()
}

fn has_store(component: &Component) -> bool {
    !component.key_value_stores.is_empty()
}

fn store_line(_: &ComponentId) -> String {
    "key_value_stores = [\"default\"]".into()
}

/// What a component with a route exports; one of the stock engine answers `wasi:http` instead.
const HANDLER: &str = "nexus:http/handler";
const STREAMED: [&str; 2] = ["wasi:http/handler", "wasi:http/incoming-handler"];
/// What a component that schedules work imports, and what it then exports.
const TIMER: &str = "nexus:durable/timer";
const SCHEDULED: &str = "nexus:durable/scheduled";
/// What a component that can undo what it did imports, and what it then exports.
const COMPENSATION: &str = "nexus:durable/compensation";
const COMPENSATE: &str = "nexus:durable/compensate";
/// What a component with subscriptions exports.
const SUBSCRIBER: &str = "nexus:events/subscriber";

impl App {
    /// Checks the manifest against its compiled components, of which `components` holds one entry for each.
    ///
    /// # Errors
    /// Every import without an answer or a grant, every answer that is not exported, every export that is missing.
    pub fn check_links(
        &self,
        components: &BTreeMap<ComponentId, Interfaces>,
        offered: Offered<'_>,
    ) -> Result<(), Errors> {
        let names = |texts: &[&str]| -> Vec<InterfaceName> {
            texts
                .iter()
                .filter_map(|name| InterfaceName::parse(name).ok())
                .collect()
        };
        let links = Links {
            app: self,
            exports: components
                .iter()
                .map(|(id, interfaces)| (id, exported(&interfaces.exports)))
                .collect(),
            plain: names(offered.plain),
            stock: names(offered.stock),
        };
        let mut problems = Vec::new();
        for (id, component) in &self.components {
            match components.get(id) {
                Some(interfaces) => links.check(component, interfaces, &mut problems),
                None => problems.push(Problem {
                    at: component.at,
                    error: Error::NotCompiled { component: id.clone() },
                }),
            }
        }
        Errors::check(&self.file, problems)
    }
}

/// The names that can be read; a component may also import or export functions outside any interface, which link to nothing.
fn exported(texts: &[String]) -> Vec<InterfaceName> {
    texts
        .iter()
        .filter_map(|text| InterfaceName::parse(text).ok())
        .collect()
}

struct Links<'a> {
    app: &'a App,
    exports: BTreeMap<&'a ComponentId, Vec<InterfaceName>>,
    plain: Vec<InterfaceName>,
    stock: Vec<InterfaceName>,
}

impl Links<'_> {
    fn check(&self, component: &Component, interfaces: &Interfaces, problems: &mut Vec<Problem>) {
        let mut broken = |at: Location, error: Error| problems.push(Problem { at, error });
        let mut reported = Vec::new();
        let (platform, others) = match interfaces.is_stock {
            false => (&self.plain, &self.stock),
            true => (&self.stock, &self.plain),
        };
        for text in &interfaces.imports {
            let Ok(import) = InterfaceName::parse(text) else {
                let error = Error::NotOffered {
                    component: component.id.clone(),
                    import: text.clone(),
                    offered: Vec::new(),
                };
                broken(component.at, error);
                continue;
            };
            if platform.iter().any(|offered| offered.covers(&import)) {
                for grant in missing_grants(component, &import, interfaces.is_stock) {
                    // One line grants all interfaces of a package: what is missing is said once.
                    if !reported.contains(&grant.interface) {
                        reported.push(grant.interface);
                        broken(component.at, missing_grant(component, &import, grant));
                    }
                }
            } else if others.iter().any(|offered| offered.covers(&import)) {
                let error = Error::OfferedToOthers {
                    component: component.id.clone(),
                    import: import.to_string(),
                    is_stock: interfaces.is_stock,
                };
                broken(component.at, error);
            } else if platform
                .iter()
                .chain(others)
                .any(|offered| offered.namespace() == import.namespace())
            {
                broken(component.at, not_offered(platform, component, &import));
            } else {
                self.check_answer(component, &import, &mut broken);
            }
        }
        let imports = exported(&interfaces.imports);
        let is_routed = self.app.routes.iter().any(|route| route.component == component.id);
        let is_answered = match interfaces.is_stock {
            false => self.exports(&component.id, HANDLER),
            true => STREAMED.iter().any(|handler| self.exports(&component.id, handler)),
        };
        if !interfaces.is_stock && component.limits.body_limit_bytes > Limits::MAX_BODY_BYTES {
            let error = Error::RecordedBody {
                component: component.id.clone(),
                limit_bytes: component.limits.body_limit_bytes,
            };
            broken(component.at, error);
        }
        if !interfaces.is_stock
            && let Some(name) = component.environment.keys().next()
        {
            let error = Error::NoEnvironment {
                component: component.id.clone(),
                name: name.clone(),
            };
            broken(component.at, error);
        }
        if is_routed && !is_answered {
            let handler = if interfaces.is_stock { STREAMED[0] } else { HANDLER };
            broken(component.at, missing_export(component, handler, "has a route"));
        }
        if imports.iter().any(|import| is(import, TIMER)) && !self.exports(&component.id, SCHEDULED) {
            broken(component.at, missing_export(component, SCHEDULED, "schedules work"));
        }
        if let Some(rule) = component.cron.first()
            && !self.exports(&component.id, SCHEDULED)
        {
            broken(rule.at, missing_export(component, SCHEDULED, "is called by the clock"));
        }
        if imports.iter().any(|import| is(import, COMPENSATION)) && !self.exports(&component.id, COMPENSATE) {
            broken(
                component.at,
                missing_export(component, COMPENSATE, "names compensations"),
            );
        }
        if let Some(subscription) = component.events.subscriptions.first()
            && !self.exports(&component.id, SUBSCRIBER)
        {
            broken(
                subscription.at,
                missing_export(component, SUBSCRIBER, "subscribes to events"),
            );
        }
        for rule in &component.exclusive {
            let exports = self.exports.get(&component.id).into_iter().flatten();
            if !exports.clone().any(|export| rule.interface.covers(export)) {
                let error = Error::ExclusiveNotExported {
                    component: component.id.clone(),
                    function: rule.to_string(),
                    exports: exports.map(ToString::to_string).collect(),
                };
                broken(rule.at, error);
            }
        }
        let retried = component.retry_for.iter().map(|rule| (&rule.of, rule.at));
        let deadlines = component.deadline_for.iter().map(|rule| (&rule.of, rule.at));
        for (of, at) in retried.chain(deadlines) {
            if let Retried::Function { interface, .. } = of {
                let exports = self.exports.get(&component.id).into_iter().flatten();
                if !exports.clone().any(|export| interface.covers(export)) {
                    let error = Error::RetryNotExported {
                        component: component.id.clone(),
                        function: of.to_string(),
                        exports: exports.map(ToString::to_string).collect(),
                    };
                    broken(at, error);
                }
            }
        }
    }

    fn check_answer(&self, component: &Component, import: &InterfaceName, broken: &mut impl FnMut(Location, Error)) {
        let (base, _) = import.delivery();
        let (wanted, answerers) = match component.answer(import) {
            None => return broken(component.at, self.unresolved(component, &base)),
            Some(Answer::Component { component, export }) => (export.unwrap_or(&base), std::slice::from_ref(component)),
            Some(Answer::Providers(components)) => (&base, components),
        };
        for answerer in answerers {
            // One that is not compiled is reported as that.
            let Some(exports) = self.exports.get(answerer) else {
                continue;
            };
            if !exports.iter().any(|export| export.covers(wanted)) {
                let error = Error::NotExported {
                    component: component.id.clone(),
                    import: wanted.to_string(),
                    answerer: answerer.clone(),
                    exports: exports.iter().map(ToString::to_string).collect(),
                };
                broken(line_of(component, import), error);
            }
        }
    }

    fn unresolved(&self, component: &Component, import: &InterfaceName) -> Error {
        let exporters = self
            .exports
            .iter()
            .filter(|(_, exports)| exports.iter().any(|export| export.covers(import)));
        Error::UnresolvedImport {
            component: component.id.clone(),
            import: import.to_string(),
            exporters: exporters.map(|(id, _)| (*id).clone()).collect(),
        }
    }

    fn exports(&self, component: &ComponentId, interface: &str) -> bool {
        self.exports
            .get(component)
            .is_some_and(|exports| exports.iter().any(|export| is(export, interface)))
    }
}

fn not_offered(platform: &[InterfaceName], component: &Component, import: &InterfaceName) -> Error {
    let offered = platform
        .iter()
        .filter(|offered| offered.package() == import.package() && offered.interface() == import.interface());
    Error::NotOffered {
        component: component.id.clone(),
        import: import.to_string(),
        offered: offered.map(ToString::to_string).collect(),
    }
}

/// Where the manifest answers the import.
fn line_of(component: &Component, import: &InterfaceName) -> Location {
    let dependencies = component.dependencies.iter().map(|line| (&line.interface, line.at));
    let providers = component.providers.iter().map(|line| (&line.interface, line.at));
    let mut lines = dependencies.chain(providers);
    lines
        .find(|(interface, _)| interface.covers(import) || interface.covers(&import.delivery().0))
        .map_or(component.at, |(_, at)| at)
}

fn missing_grants(
    component: &Component,
    import: &InterfaceName,
    is_stock: bool,
) -> impl Iterator<Item = &'static Grant> {
    let grants = GRANTS
        .iter()
        .filter(move |grant| !is_stock || grant.interface != "wasi:http");
    let calling = CALLING.iter().filter(move |_| is_stock);
    grants
        .chain(calling)
        .filter(|grant| is(import, grant.interface) && !(grant.is_given)(component))
}

fn missing_grant(component: &Component, import: &InterfaceName, grant: &Grant) -> Error {
    Error::MissingGrant {
        component: component.id.clone(),
        import: import.to_string(),
        table: format!("[component.{}{}]", component.id, grant.table),
        line: (grant.line)(&component.id),
    }
}

fn missing_export(component: &Component, export: &'static str, because: &'static str) -> Error {
    Error::MissingExport {
        component: component.id.clone(),
        export,
        because,
    }
}

/// Whether the name is this interface or of this package, in any version.
fn is(name: &InterfaceName, pattern: &str) -> bool {
    match pattern.split_once('/') {
        Some((package, interface)) => name.package() == package && name.interface() == Some(interface),
        None => name.package() == pattern,
    }
}
