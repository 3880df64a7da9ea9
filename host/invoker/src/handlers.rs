//! What attempts enter: the components of a deployment, or the native handlers of the simulation (`host/testing`).

use std::sync::Arc;
use std::time::Duration;

use host_journal::RetryPolicy;
use host_manifest::{AfterDeadLetter, CronRule, Limits, Retention};
use host_recorder::{Answer, Delivered, Recorder, ScheduledInput};
use host_runtime::{Deployment, FetchRevisions, Runtime};
use host_store::{Deployment as StoredDeployment, Subscription};
use host_types::{ComponentId, DeploymentNumber, Fault, HttpRequest, HttpResponse};

use crate::deployments::NotBuilt;

/// The handlers that answer together, and what is said of each. An invocation is pinned to one of these for its whole call tree.
pub trait Handlers: Send + Sync + 'static {
    /// Which deployment.
    fn number(&self) -> DeploymentNumber;
    /// Whether there is such a component.
    fn has(&self, component: &ComponentId) -> bool;
    /// What the types of a function are known by that an invocation begins with: of two deployments that give the same, each can begin what
    /// was sent on the other. None: there is no such function.
    fn shape(&self, component: &ComponentId, function: &str) -> Option<[u8; 8]> {
        let _ = (component, function);
        None
    }
    /// How much memory an instance of the component may have, bytes.
    fn memory_limit_bytes(&self, component: &ComponentId) -> u64;
    /// How long an instance is kept while an invocation of the component waits.
    fn wait_hold(&self, component: &ComponentId) -> Duration;
    /// How many attempts of the component a node makes at once, and how many requests of it may wait for their turn.
    fn turn_limits(&self, _component: &ComponentId) -> (usize, usize) {
        let limits = Limits::default();
        (limits.attempt_limit as usize, limits.waiting_limit as usize)
    }
    /// How many invocations of the component may be open before this request is refused, which may begin another one. None: it is let in
    /// whatever is open.
    fn open_limit_of_request(&self, component: &ComponentId, method: &str, path: &str) -> Option<u64> {
        let _ = (component, method, path);
        None
    }
    /// How long the idempotency key of a request is remembered, milliseconds.
    fn key_retention_ms(&self, _component: &ComponentId, _method: &str, _path: &str) -> u64 {
        Retention::default().keys_ms
    }

    /// How long after its begin what an invocation of this request awaits may come, milliseconds.
    fn deadline_of_request(&self, component: &ComponentId, method: &str, path: &str) -> Option<u64> {
        let _ = (component, method, path);
        None
    }
    /// The same of an invocation of this function.
    fn deadline_of_function(&self, component: &ComponentId, function: &str) -> Option<u64> {
        let _ = (component, function);
        None
    }
    /// What follows when an attempt that began with this request fails.
    fn retry_of_request(&self, component: &ComponentId, method: &str, path: &str) -> RetryPolicy;
    /// What follows when an attempt that began with this function fails.
    fn retry_of_function(&self, component: &ComponentId, function: &str) -> RetryPolicy;
    /// Whether a transaction with this record was committed.
    fn is_committed(&self, record: &[u8]) -> bool;

    /// The clock's lines, each with its component.
    fn cron(&self) -> Vec<(&ComponentId, &CronRule)> {
        Vec::new()
    }

    /// What the components subscribe to.
    fn subscriptions(&self) -> Vec<Subscription> {
        Vec::new()
    }

    /// Enters `nexus:http/handler.handle`.
    fn call_http<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        request: HttpRequest,
    ) -> Answer<'a, Result<HttpResponse, Fault>>;

    /// Enters `nexus:durable/scheduled.run`.
    fn call_scheduled<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        input: ScheduledInput,
    ) -> Answer<'a, Result<Result<(), String>, Fault>>;

    /// Enters a function that was sent to; parameters and result are encoded.
    fn call_sent<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        interface: &'a str,
        function: &'a str,
        params: &'a [u8],
    ) -> Answer<'a, Result<Vec<u8>, Fault>>;

    /// Enters `nexus:durable/compensate.run`.
    fn call_compensate<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        name: &'a str,
        argument: &'a [u8],
    ) -> Answer<'a, Result<Result<(), String>, Fault>>;

    /// Enters `nexus:events/subscriber.handle`.
    fn call_subscriber<'a>(
        self: Arc<Self>,
        _: Recorder,
        component: &'a ComponentId,
        _: Delivered,
    ) -> Answer<'a, Result<(), Fault>> {
        Box::pin(async move { Err(Fault::Guest(format!("{component} takes no events"))) })
    }

    /// Components it was registered with that this node has not got.
    fn absent(&self) -> &[ComponentId] {
        &[]
    }

    /// What a deployment of the same manifest keeps of it.
    fn manifest(&self) -> Option<String> {
        None
    }

    /// The components themselves, for whoever shows them. `None`: what answers is none.
    fn deployment(self: Arc<Self>) -> Option<Arc<Deployment>> {
        None
    }
}

/// Makes the handlers of a deployment from its revisions and what it keeps of the manifest.
pub trait Deploy: Send + Sync + 'static {
    /// Everything a component imports must be answered in the shape it asks for.
    fn deploy<'a>(
        &'a self,
        stored: &'a StoredDeployment,
        bytes: &'a dyn FetchRevisions,
    ) -> Answer<'a, Result<Arc<dyn Handlers>, NotBuilt>>;
}

impl Handlers for Deployment {
    fn number(&self) -> DeploymentNumber {
        self.number()
    }

    fn has(&self, component: &ComponentId) -> bool {
        self.app().components.contains_key(component)
    }

    fn shape(&self, component: &ComponentId, function: &str) -> Option<[u8; 8]> {
        self.shape(component, function)
    }

    fn memory_limit_bytes(&self, component: &ComponentId) -> u64 {
        self.memory_limit_bytes(component)
    }

    fn wait_hold(&self, component: &ComponentId) -> Duration {
        self.wait_hold(component)
    }

    fn turn_limits(&self, component: &ComponentId) -> (usize, usize) {
        self.turn_limits(component)
    }

    fn open_limit_of_request(&self, component: &ComponentId, method: &str, path: &str) -> Option<u64> {
        self.open_limit_of_request(component, method, path)
    }

    fn key_retention_ms(&self, component: &ComponentId, method: &str, path: &str) -> u64 {
        self.key_retention_ms(component, method, path)
    }

    fn deadline_of_request(&self, component: &ComponentId, method: &str, path: &str) -> Option<u64> {
        self.deadline_of_request(component, method, path)
    }

    fn deadline_of_function(&self, component: &ComponentId, function: &str) -> Option<u64> {
        self.deadline_of_function(component, function)
    }

    fn retry_of_request(&self, component: &ComponentId, method: &str, path: &str) -> RetryPolicy {
        self.retry_of_request(component, method, path)
    }

    fn retry_of_function(&self, component: &ComponentId, function: &str) -> RetryPolicy {
        self.retry_of_function(component, function)
    }

    fn is_committed(&self, record: &[u8]) -> bool {
        host_runtime::is_committed(record)
    }

    fn cron(&self) -> Vec<(&ComponentId, &CronRule)> {
        let components = self.app().components.values();
        let rules = components.flat_map(|component| component.cron.iter().map(|rule| (&component.id, rule)));
        rules.collect()
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let components = self.app().components.values();
        let lines =
            components.flat_map(|component| component.events.subscriptions.iter().map(|line| (&component.id, line)));
        let subscription = |(component, line): (&ComponentId, &host_manifest::Subscription)| Subscription {
            component: component.clone(),
            name: line.name.clone(),
            patterns: line.topics.iter().map(ToString::to_string).collect(),
            blocks: line.after_dead_letter == AfterDeadLetter::Wait,
        };
        lines.map(subscription).collect()
    }

    fn call_http<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        request: HttpRequest,
    ) -> Answer<'a, Result<HttpResponse, Fault>> {
        Box::pin(async move { Deployment::call_http(&self, recorder, component, request).await })
    }

    fn call_scheduled<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        input: ScheduledInput,
    ) -> Answer<'a, Result<Result<(), String>, Fault>> {
        Box::pin(async move { Deployment::call_scheduled(&self, recorder, component, input).await })
    }

    fn call_sent<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        interface: &'a str,
        function: &'a str,
        params: &'a [u8],
    ) -> Answer<'a, Result<Vec<u8>, Fault>> {
        Box::pin(async move { Deployment::call_sent(&self, recorder, component, interface, function, params).await })
    }

    fn call_compensate<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        name: &'a str,
        argument: &'a [u8],
    ) -> Answer<'a, Result<Result<(), String>, Fault>> {
        Box::pin(async move { Deployment::call_compensate(&self, recorder, component, name, argument).await })
    }

    fn call_subscriber<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        delivered: Delivered,
    ) -> Answer<'a, Result<(), Fault>> {
        Box::pin(async move { Deployment::call_subscriber(&self, recorder, component, delivered).await })
    }

    fn absent(&self) -> &[ComponentId] {
        self.absent()
    }

    fn manifest(&self) -> Option<String> {
        Some(self.app().pinned())
    }

    fn deployment(self: Arc<Self>) -> Option<Arc<Deployment>> {
        Some(self)
    }
}

impl Deploy for Runtime {
    fn deploy<'a>(
        &'a self,
        stored: &'a StoredDeployment,
        bytes: &'a dyn FetchRevisions,
    ) -> Answer<'a, Result<Arc<dyn Handlers>, NotBuilt>> {
        let StoredDeployment {
            number,
            components,
            manifest,
        } = stored;
        Box::pin(async move {
            let deployment = self
                .deploy_pinned(*number, manifest.as_deref(), components, bytes)
                .await?;
            Ok(Arc::new(deployment) as Arc<dyn Handlers>)
        })
    }
}
