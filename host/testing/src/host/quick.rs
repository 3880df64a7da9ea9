//! The components of the application, with a policy for tests: what fails is tried again at once, and what waits gives its instance up at
//! once, so that nothing but the test decides about time.

use std::sync::Arc;
use std::time::Duration;

use host_invoker::{Handlers, Revision};
use host_journal::RetryPolicy;
use host_recorder::{Answer, Recorder, ScheduledInput};
use host_runtime::{Deployment, Runtime};
use host_types::{ComponentId, DeploymentNumber, Fault, HttpRequest, HttpResponse};

pub(crate) struct Quick(pub(crate) Arc<Deployment>);

const RETRIES: RetryPolicy = RetryPolicy {
    attempts: 4,
    initial_ms: 1,
    factor: 1.0,
    max_ms: 1,
    deadline_ms: None,
};

impl Handlers for Quick {
    fn number(&self) -> DeploymentNumber {
        self.0.number()
    }

    fn has(&self, component: &ComponentId) -> bool {
        Handlers::has(&*self.0, component)
    }

    fn memory_limit_bytes(&self, component: &ComponentId) -> u64 {
        self.0.memory_limit_bytes(component)
    }

    fn wait_hold(&self, _: &ComponentId) -> Duration {
        Duration::ZERO
    }

    fn retry_of_request(&self, _: &ComponentId, _: &str, _: &str) -> RetryPolicy {
        RETRIES
    }

    fn retry_of_function(&self, _: &ComponentId, _: &str) -> RetryPolicy {
        RETRIES
    }

    fn is_committed(&self, record: &[u8]) -> bool {
        Handlers::is_committed(&*self.0, record)
    }

    fn call_http<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        request: HttpRequest,
    ) -> Answer<'a, Result<HttpResponse, Fault>> {
        Handlers::call_http(Arc::clone(&self.0), recorder, component, request)
    }

    fn call_scheduled<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        input: ScheduledInput,
    ) -> Answer<'a, Result<Result<(), String>, Fault>> {
        Handlers::call_scheduled(Arc::clone(&self.0), recorder, component, input)
    }

    fn call_sent<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        interface: &'a str,
        function: &'a str,
        params: &'a [u8],
    ) -> Answer<'a, Result<Vec<u8>, Fault>> {
        Handlers::call_sent(Arc::clone(&self.0), recorder, component, interface, function, params)
    }

    fn call_compensate<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        component: &'a ComponentId,
        name: &'a str,
        argument: &'a [u8],
    ) -> Answer<'a, Result<Result<(), String>, Fault>> {
        Handlers::call_compensate(Arc::clone(&self.0), recorder, component, name, argument)
    }

    fn deployment(self: Arc<Self>) -> Option<Arc<Deployment>> {
        Some(Arc::clone(&self.0))
    }
}

/// Makes such deployments.
pub(crate) struct Deploy(pub(crate) Runtime);

impl host_invoker::Deploy for Deploy {
    fn deploy(
        &self,
        number: DeploymentNumber,
        revisions: Vec<Revision>,
    ) -> Answer<'_, Result<Arc<dyn Handlers>, Fault>> {
        Box::pin(async move {
            let deployment = self.0.deploy(number, revisions).await;
            let deployment = deployment.map_err(|error| Fault::Transient(error.to_string()))?;
            Ok(Arc::new(Quick(Arc::new(deployment))) as Arc<dyn Handlers>)
        })
    }
}
