//! `nexus:events/publisher`: events under the topics granted to a component.

mod host;

use std::sync::Arc;

use host_bindings::nexus::events::publisher;
use host_manifest::TopicPattern;
use host_recorder::Recorder;
use host_types::{ComponentId, Fault};
use wasmtime::component::{HasData, Linker};

/// What the manifest grants one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsGrant {
    /// Who publishes.
    pub component: ComponentId,
    /// Under which topics.
    pub publishes: Vec<TopicPattern>,
    /// How long its events are kept at least, milliseconds.
    pub retention_ms: u64,
}

/// What one instance needs to publish.
pub struct EventsContext {
    grant: Arc<EventsGrant>,
    recorder: Recorder,
}

impl EventsContext {
    /// A context for one instance.
    pub fn new(grant: Arc<EventsGrant>, recorder: Recorder) -> Self {
        Self { grant, recorder }
    }

    /// Ends the attempt.
    fn refuse(&self, reason: String) -> Fault {
        self.recorder.attempt().fail(Fault::Guest(reason))
    }
}

/// What the host functions see of an instance.
pub struct EventsView<'a>(pub &'a mut EventsContext);

struct EventsData;

impl HasData for EventsData {
    type Data<'a> = EventsView<'a>;
}

/// Answers `nexus:events/publisher`.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> EventsView<'_>,
) -> wasmtime::Result<()> {
    publisher::add_to_linker::<T, EventsData>(linker, get)
}
