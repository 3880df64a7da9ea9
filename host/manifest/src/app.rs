//! The application as the manifest describes it, checked. Nothing here changes after `App::load`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{
    ComponentId, ConfigValue, CronRule, DeadlineRule, EffectRule, EventRules, ExclusiveRule, InterfaceName, KeyName,
    Location, OutboundHost, RateLimit, Retention, RetryPolicy, RetryRule, RoutePattern, SchemaName, StoreName,
};

/// What `spin.toml` describes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct App {
    /// The manifest's name, for messages.
    pub file: String,
    /// The application's name.
    pub name: String,
    /// Its semantic version; empty when the manifest gives none.
    pub version: String,
    /// For the reader; may be empty.
    pub description: String,
    /// May be empty.
    pub authors: Vec<String>,
    /// Every component.
    pub components: BTreeMap<ComponentId, Component>,
    /// Every HTTP route, in the order of the file; no two stand for the same paths.
    pub routes: Vec<Route>,
}

/// An HTTP route: `[[trigger.http]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// Which paths.
    pub pattern: RoutePattern,
    /// Who answers; a component of the application.
    pub component: ComponentId,
    /// Where the manifest says so.
    pub at: Location,
}

/// A component and what it is granted: `[component.<id>]`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Component {
    /// Its name.
    pub id: ComponentId,
    /// Where its table begins.
    pub at: Location,
    /// The compiled component, relative to the manifest's folder.
    pub source: PathBuf,
    /// Where the manifest names the source.
    pub source_at: Location,
    /// For the reader; may be empty.
    pub description: String,
    /// How to build it; none when it comes built.
    pub build: Option<Build>,
    /// Where it may send HTTP requests; empty: nowhere.
    pub allowed_outbound_hosts: Vec<OutboundHost>,
    /// Those of them that a variable has a part in.
    pub variable_hosts: Vec<OutboundHost>,
    /// What the manifest says of effects at some of these hosts; at the others the default rule holds.
    pub effect_rules: BTreeMap<OutboundHost, EffectRule>,
    /// The key-value stores it may open.
    pub key_value_stores: Vec<StoreName>,
    /// Its configuration, templates resolved.
    pub variables: BTreeMap<String, ConfigValue>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// Which components answer its imports.
    pub dependencies: Vec<Dependency>,
    /// Which components it may choose from by name, per interface.
    pub providers: Vec<Providers>,
    /// The PostgreSQL schema it owns; grants `nexus:sql`.
    pub schema: Option<SchemaName>,
    /// The token keys it may use; grants `nexus:crypto/tokens`.
    pub keys: Vec<KeyName>,
    /// How the bearer tokens on its routes are verified; without it every caller is anonymous.
    pub identity: Option<IdentityRule>,
    /// Requests whose payloads are erased when their invocation ends.
    pub sensitive: Vec<RequestPattern>,
    /// What it may use up.
    pub limits: Limits,
    /// Requests that are let in however many of its invocations are open: those by which open ones go on.
    pub open_limit_except: Vec<RequestPattern>,
    /// When a failed attempt is tried again.
    pub retry: RetryPolicy,
    /// The same for some of its requests and functions.
    pub retry_for: Vec<RetryRule>,
    /// How long what has ended is remembered.
    pub retention: Retention,
    /// What it may publish and stream, and what it subscribes to.
    pub events: EventRules,
    /// How long what its invocations await may take, for some of its requests and functions.
    pub deadline_for: Vec<DeadlineRule>,
    /// When its scheduled function is called by the clock.
    pub cron: Vec<CronRule>,
    /// Which of its functions run one at a time for each key.
    pub exclusive: Vec<ExclusiveRule>,
    /// How often a caller may ask for some of its requests.
    pub rate_limits: Vec<RateLimit>,
}

/// How a component is built: `[component.<id>.build]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Build {
    /// Shell commands, run in order; at least one.
    pub commands: Vec<String>,
    /// Where they run, relative to the manifest's folder; that folder itself when none.
    pub workdir: Option<PathBuf>,
    /// Paths and globs whose change calls for a new build.
    pub watch: Vec<String>,
}

/// One line of `[component.<id>.dependencies]`: calls through the host to another component.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dependency {
    /// The imports it answers: an interface, or all of a package.
    pub interface: InterfaceName,
    /// Who answers; a component of the application.
    pub component: ComponentId,
    /// The interface that component exports for it; the import's own when none.
    pub export: Option<InterfaceName>,
    /// Where the manifest says so.
    pub at: Location,
}

/// One line of `providers`: components that export one interface, chosen by name at each call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Providers {
    /// The interface all of them export.
    pub interface: InterfaceName,
    /// In the manifest's order; may be empty.
    pub components: Vec<ComponentId>,
    /// Where the manifest says so.
    pub at: Location,
}

/// How a bearer token becomes an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdentityRule {
    /// The key that verifies the token.
    pub key: KeyName,
    /// The claim that names the subject.
    pub subject: String,
    /// Requests whose token may come as `token` in their query, for clients that cannot send a header.
    pub token_in_query: Vec<RequestPattern>,
}

/// Requests that are singled out: those whose payloads, or whose addresses, hold a secret; those that a limit is not for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestPattern {
    /// Upper case.
    pub method: String,
    /// Which paths; all of them within the component's routes.
    pub pattern: RoutePattern,
}

impl RequestPattern {
    fn matches(&self, method: &str, path: &str) -> bool {
        self.method == method && self.pattern.matches(path)
    }
}

/// What one instance and one request may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Linear memory of an instance, bytes.
    pub memory_limit_bytes: u64,
    /// CPU time of the guest in one attempt, milliseconds; waiting does not count.
    pub time_limit_ms: u64,
    /// How long an HTTP caller waits for the answer, milliseconds; the invocation goes on after it.
    pub request_timeout_ms: u64,
    /// How long an instance is kept while it waits for a moment or a promise, milliseconds; then the invocation is suspended.
    pub wait_hold_ms: u64,
    /// The largest request body, bytes; at most [`Limits::MAX_BODY_BYTES`] where it is recorded.
    pub body_limit_bytes: u64,
    /// Attempts of invocations that began with the component, at once on a node.
    pub attempt_limit: u64,
    /// Requests that wait for their turn, on a node; more are refused.
    pub waiting_limit: u64,
    /// Open invocations that began with the component, of all nodes; a request that may begin another one is refused.
    pub open_limit: u64,
    /// How long the id of a workflow of its is known after the workflow's end, milliseconds.
    pub workflow_retention_ms: u64,
}

impl Limits {
    /// The largest linear memory: an engine reserves no more for one.
    pub const MAX_MEMORY_BYTES: u64 = 128 << 20;
    /// What any component may allow. A request is the first entry of its invocation's journal, and an entry holds a mebibyte: the
    /// rest is left to the path, the headers and the caller's claims.
    pub const MAX_BODY_BYTES: u64 = (1 << 20) - (64 << 10);
    /// What a component may allow that reads bodies as they come: nobody holds them whole.
    pub const MAX_STREAMED_BODY_BYTES: u64 = 16 << 30;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_limit_bytes: 64 << 20,
            time_limit_ms: 5_000,
            request_timeout_ms: 30_000,
            wait_hold_ms: 5_000,
            body_limit_bytes: Self::MAX_BODY_BYTES,
            attempt_limit: 128,
            waiting_limit: 256,
            open_limit: 1_000_000,
            workflow_retention_ms: 30 * 24 * 3_600_000,
        }
    }
}

/// Who answers an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// One component, by a line of `dependencies`.
    Component {
        /// Who.
        component: &'a ComponentId,
        /// The interface it exports for the import, when it is not the import's own.
        export: Option<&'a InterfaceName>,
    },
    /// The one of these that the call names, by a line of `providers`.
    Providers(&'a [ComponentId]),
}

impl App {
    /// Who answers `import` of `component`; none when the manifest does not say, which for interfaces of the platform is right.
    pub fn answer(&self, component: &ComponentId, import: &InterfaceName) -> Option<Answer<'_>> {
        self.components.get(component)?.answer(import)
    }

    /// The most specific route that stands for this path (percent-encoded, without its query).
    pub fn route(&self, path: &str) -> Option<&Route> {
        let matching = self.routes.iter().filter(|route| route.pattern.matches(path));
        matching.max_by_key(|route| route.pattern.specificity())
    }

    /// The components that do not own this schema.
    pub fn components_without(&self, schema: &str) -> Vec<ComponentId> {
        let owns = |component: &Component| component.schema.as_ref().is_some_and(|own| own.as_str() == schema);
        let others = self.components.values().filter(|component| !owns(component));
        others.map(|component| component.id.clone()).collect()
    }
}

impl Component {
    /// Who answers this import of the component; none when the manifest does not say. Who answers an interface answers its variants.
    pub fn answer(&self, import: &InterfaceName) -> Option<Answer<'_>> {
        let (base, _) = import.delivery();
        let covers = |interface: &InterfaceName| interface.covers(import) || interface.covers(&base);
        let dependency = self
            .dependencies
            .iter()
            .find(|dependency| covers(&dependency.interface));
        let listed = || self.providers.iter().find(|providers| covers(&providers.interface));
        match dependency {
            Some(Dependency { component, export, .. }) => Some(Answer::Component {
                component,
                export: export.as_ref(),
            }),
            None => listed().map(|providers| Answer::Providers(&providers.components)),
        }
    }

    /// How requests that change something are treated at this host, one of `allowed_outbound_hosts`.
    pub fn effect_rule(&self, host: &OutboundHost) -> EffectRule {
        self.effect_rules.get(host).copied().unwrap_or_default()
    }

    /// Whether the token of this request (method in upper case, path percent-encoded) may come in its query.
    pub fn has_token_in_query(&self, method: &str, path: &str) -> bool {
        let mut requests = self.identity.iter().flat_map(|identity| &identity.token_in_query);
        requests.any(|request| request.matches(method, path))
    }

    /// How many invocations of the component may be open before this request (method in upper case, path percent-encoded) is refused. None: it
    /// is let in whatever is open, since it only reads, or is one by which open ones go on.
    pub fn open_limit_of_request(&self, method: &str, path: &str) -> Option<u64> {
        let only_reads = matches!(method, "GET" | "HEAD" | "OPTIONS");
        let mut excepted = self.open_limit_except.iter();
        let is_let_in = only_reads || excepted.any(|request| request.matches(method, path));
        (!is_let_in).then_some(self.limits.open_limit)
    }

    /// Whether the payloads of this request (method in upper case, path percent-encoded) are erased when its invocation ends.
    pub fn is_sensitive(&self, method: &str, path: &str) -> bool {
        self.sensitive.iter().any(|request| request.matches(method, path))
    }
}
