//! One component's requests: its grants, bounds and slots.

use std::sync::Arc;
use std::time::Duration;

use host_types::{ComponentId, Fault};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::exchange::{Exchange, exchange};
use crate::grant::find;
use crate::record::Outcome;
use crate::request::{Added, OutgoingRequest};
use crate::{Connector, Grant};

/// Bounds of one component's requests. A guest may ask for less, never for more.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Until there is a connection: resolution, TCP and TLS.
    pub connect: Duration,
    /// From the request to the head of its response.
    pub first_byte: Duration,
    /// The whole exchange of a read.
    pub total: Duration,
    /// The whole exchange of an effect, where its grant does not say.
    pub effect_total: Duration,
    /// The same, whatever its grant says. As much of the node's lease must be left for one to begin, so it must be shorter than what
    /// the lease still has right before a heartbeat renews it; else no effect ever begins.
    pub longest_effect: Duration,
    /// How long a guest may keep a request's body open after it handed the request over.
    pub open: Duration,
    /// Bytes of a request's body.
    pub request_bytes: usize,
    /// Bytes of a response's body. What is read is recorded, so with its head it must fit one entry of the record (1 MiB).
    pub response_bytes: usize,
    /// Requests at once.
    pub concurrent: usize,
    /// How long a request waits for others to end before the node counts as overloaded.
    pub wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(10),
            total: Duration::from_secs(10),
            // Of a lease of 5 s with a heartbeat every second there are always about 4 s left.
            effect_total: Duration::from_secs(3),
            longest_effect: Duration::from_secs(3),
            open: Duration::from_secs(30),
            request_bytes: 1 << 20,
            // 64 KiB of the entry are left for the head.
            response_bytes: (1 << 20) - (64 << 10),
            concurrent: 32,
            wait: Duration::from_secs(1),
        }
    }
}

/// What one component needs to send requests; shared by its instances.
pub struct HttpClient {
    component: ComponentId,
    grants: Vec<Grant>,
    pub(crate) limits: Limits,
    pub(crate) connector: Arc<Connector>,
    pub(crate) slots: Arc<Semaphore>,
}

impl HttpClient {
    /// A component's client.
    pub fn new(component: ComponentId, grants: Vec<Grant>, limits: Limits, connector: Arc<Connector>) -> Self {
        let slots = Arc::new(Semaphore::new(limits.concurrent));
        Self {
            component,
            grants,
            limits,
            connector,
            slots,
        }
    }

    /// The grant for this request, if there is one.
    pub(crate) fn grant(&self, request: &OutgoingRequest) -> Option<&Grant> {
        let found = find(&self.grants, &request.origin);
        if found.is_none() {
            tracing::info!(
                component.id = %self.component,
                server.address = %request.origin.host,
                server.port = request.origin.port,
                "an outbound request was denied: no line of allowed_outbound_hosts covers it",
            );
        }
        found
    }

    /// Waits until another request may begin.
    pub(crate) async fn slot(&self) -> Result<SemaphorePermit<'_>, Fault> {
        match timeout(self.limits.wait, self.slots.acquire()).await {
            Ok(slot) => Ok(slot.expect("the slots are never closed")),
            Err(_) => Err(self.overloaded()),
        }
    }

    pub(crate) fn overloaded(&self) -> Fault {
        Fault::Overloaded(format!(
            "{} already has {} outbound requests under way",
            self.component, self.limits.concurrent,
        ))
    }

    /// Sends a request that only reads. `left` is what is left until a deadline.
    pub(crate) async fn read(
        &self,
        grant: &Grant,
        request: &OutgoingRequest,
        added: &Added,
        left: Option<Duration>,
    ) -> Outcome {
        let total = left.map_or(self.limits.total, |left| left.min(self.limits.total));
        exchange(&self.connector, &self.limits, total, grant, request, added)
            .await
            .outcome
    }

    /// How long an effect may take under this grant.
    pub(crate) fn effect_total(&self, grant: &Grant) -> Duration {
        let limits = &self.limits;
        grant
            .effect_total
            .unwrap_or(limits.effect_total)
            .min(limits.longest_effect)
    }

    /// Sends any other request. `left` as above.
    pub(crate) async fn effect(
        &self,
        grant: &Grant,
        request: &OutgoingRequest,
        added: &Added,
        left: Option<Duration>,
    ) -> Exchange {
        let total = self.effect_total(grant);
        let total = left.map_or(total, |left| left.min(total));
        exchange(&self.connector, &self.limits, total, grant, request, added).await
    }
}
