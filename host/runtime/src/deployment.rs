//! The revisions that answer together, and how each is entered: a fresh instance per call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use host_bindings::exports::nexus::events::subscriber as wit_subscriber;
use host_bindings::exports::nexus::http::handler as wit_handler;
use host_bindings::nexus::http::types as wit_http;
use host_engine::{Pace, apply_limits};
use host_journal::{Acquired, RetryPolicy};
use host_manifest::App;
use host_recorder::{Delivered, Recorder, SCHEDULED_FUNCTION, SUBSCRIBER_FUNCTION, ScheduledInput};
use host_sql::ModulePool;
use host_types::{
    ComponentId, DeploymentNumber, Digest, Fault, HttpRequest, HttpResponse, Identity, StreamedCall, StreamedOutcome,
};
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::answer;
use crate::component::{Export, Loaded};
use crate::error::fault;
use crate::instance::InstanceState;
use crate::linked::{Answers, Linked};
use crate::stock::{self, CallModules, StockLoaded};

/// The revisions that answer together. An invocation is pinned to one deployment for its whole call tree.
pub struct Deployment {
    number: DeploymentNumber,
    app: Arc<App>,
    absent: Vec<ComponentId>,
    linked: BTreeMap<ComponentId, Arc<Linked>>,
    components: BTreeMap<ComponentId, Arc<Loaded>>,
    /// Those of the stock engine.
    stock: BTreeMap<ComponentId, Arc<StockLoaded>>,
    pace: Pace,
}

impl Deployment {
    pub(crate) fn new(
        number: DeploymentNumber,
        app: Arc<App>,
        linked: BTreeMap<ComponentId, Arc<Linked>>,
        absent: Vec<ComponentId>,
        pace: Pace,
    ) -> Self {
        let (mut components, mut stock) = (BTreeMap::new(), BTreeMap::new());
        for (id, linked) in &linked {
            match &linked.answers {
                Answers::Plain(loaded) => drop(components.insert(id.clone(), Arc::clone(loaded))),
                Answers::Stock(loaded) => drop(stock.insert(id.clone(), Arc::clone(loaded))),
            }
        }
        Self {
            number,
            app,
            absent,
            linked,
            components,
            stock,
            pace,
        }
    }

    pub(crate) fn linked(&self) -> impl Iterator<Item = (&ComponentId, &Linked)> {
        self.linked.iter().map(|(id, linked)| (id, &**linked))
    }

    /// Its number, which pins it.
    pub fn number(&self) -> DeploymentNumber {
        self.number
    }

    /// What it keeps of the manifest, and in all else what the manifest says today.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Components it was registered with that the manifest has not got today: nobody here knows their variables, so they cannot be called.
    pub fn absent(&self) -> &[ComponentId] {
        &self.absent
    }

    /// The sessions of a component's module. None: it has no schema.
    pub fn module(&self, component: &ComponentId) -> Option<&Arc<ModulePool>> {
        let plain = self.components.get(component).map(|loaded| &loaded.grants);
        let grants = plain.or_else(|| self.stock.get(component).map(|loaded| &loaded.grants));
        grants?.sql.as_ref()
    }

    /// Which revision answers for each component.
    pub fn revisions(&self) -> impl Iterator<Item = (&ComponentId, Digest)> {
        let stock = self.stock.iter().map(|(id, component)| (id, component.revision));
        self.components
            .iter()
            .map(|(id, component)| (id, component.revision))
            .chain(stock)
    }

    /// Whether the component takes its requests as streams: it runs on the stock engine, and nothing of it is recorded.
    pub fn is_streamed(&self, component: &ComponentId) -> bool {
        self.stock.contains_key(component)
    }

    /// Runs a request of a component of the stock engine until the head of its answer is there; then for as long as the answer's
    /// body is read. `turn` is held as long as its instance is.
    pub async fn serve(
        self: &Arc<Self>,
        call: StreamedCall,
        modules: Arc<dyn CallModules>,
        turn: impl Send + 'static,
    ) -> StreamedOutcome {
        match self.stock.get(&call.component) {
            Some(loaded) => stock::serve(Arc::clone(self), Arc::clone(loaded), call, modules, turn).await,
            None => StreamedOutcome::Failed,
        }
    }

    /// What the types of a function are known by that an invocation begins with. The host's own have one shape for all. None: the component
    /// has no such function.
    pub fn shape(&self, component: &ComponentId, function: &str) -> Option<[u8; 8]> {
        let loaded = self.components.get(component)?;
        match function {
            SCHEDULED_FUNCTION => loaded.scheduled.is_some().then_some([0; 8]),
            SUBSCRIBER_FUNCTION => loaded.subscriber.is_some().then_some([0; 8]),
            exported => {
                let (interface, function) = exported.rsplit_once('.')?;
                Some(loaded.export(interface, function)?.signature.hash())
            }
        }
    }

    /// How much memory an instance of the component may have, bytes.
    pub fn memory_limit_bytes(&self, component: &ComponentId) -> u64 {
        self.app
            .components
            .get(component)
            .map_or(0, |component| component.limits.memory_limit_bytes)
    }

    /// How many attempts of the component a node makes at once, and how many requests of it may wait for their turn.
    pub fn turn_limits(&self, component: &ComponentId) -> (usize, usize) {
        let limits = self.app.components.get(component).map(|granted| granted.limits);
        let limits = limits.unwrap_or_default();
        let size = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        (size(limits.attempt_limit), size(limits.waiting_limit))
    }

    /// How many invocations of the component may be open before this request of it is refused. None: it is let in whatever is open.
    pub fn open_limit_of_request(&self, component: &ComponentId, method: &str, path: &str) -> Option<u64> {
        self.app.components.get(component)?.open_limit_of_request(method, path)
    }

    /// How long the idempotency key of this request of the component is remembered, milliseconds.
    pub fn key_retention_ms(&self, component: &ComponentId, method: &str, path: &str) -> u64 {
        let granted = self.app.components.get(component);
        granted.map_or(0, |granted| granted.key_retention_ms(method, path))
    }

    /// How long the id of a workflow of the component is known after the workflow's end, milliseconds.
    pub fn workflow_retention_ms(&self, component: &ComponentId) -> u64 {
        let granted = self.app.components.get(component);
        granted.map_or(0, |component| component.limits.workflow_retention_ms)
    }

    /// How long an instance is kept while an invocation of the component waits.
    pub fn wait_hold(&self, component: &ComponentId) -> Duration {
        let granted = self.app.components.get(component);
        Duration::from_millis(granted.map_or(0, |component| component.limits.wait_hold_ms))
    }

    /// How long after its begin what an invocation of this request of the component awaits may come, milliseconds.
    pub fn deadline_of_request(&self, component: &ComponentId, method: &str, path: &str) -> Option<u64> {
        self.app.components.get(component)?.deadline_of_request(method, path)
    }

    /// The same of an invocation of this function.
    pub fn deadline_of_function(&self, component: &ComponentId, function: &str) -> Option<u64> {
        self.app.components.get(component)?.deadline_of_function(function)
    }

    /// What follows when an attempt of an invocation that began with this request of the component fails.
    pub fn retry_of_request(&self, component: &ComponentId, method: &str, path: &str) -> RetryPolicy {
        let granted = self.app.components.get(component);
        granted.map_or_else(RetryPolicy::default, |granted| {
            policy(granted.retry_of_request(method, path))
        })
    }

    /// What follows when an attempt of an invocation that began with this function of the component fails.
    pub fn retry_of_function(&self, component: &ComponentId, function: &str) -> RetryPolicy {
        let granted = self.app.components.get(component);
        granted.map_or_else(RetryPolicy::default, |granted| {
            policy(granted.retry_of_function(function))
        })
    }

    /// The recorded answer of a call, as an operator reads it; `target` is the call's name in the journal.
    pub fn answer_json(&self, target: &str, answer: &[u8]) -> Option<serde_json::Value> {
        let (component, qualified) = target.split_once(':')?;
        let (interface, function) = qualified.rsplit_once('.')?;
        let export = self.components.get(component)?.export(interface, function)?;
        export.signature.result_to_json(answer).ok()
    }

    /// A person's answer to the command of this target, as it is recorded. What it looks like is what `invocations show` shows: of a
    /// call, the JSON of its result; of an HTTP request, `{"status", "headers", "body"}`; of a key-value write, null.
    pub fn answer_from_json(&self, target: &str, json: &serde_json::Value) -> Result<Vec<u8>, String> {
        answer::from_json(target, json).unwrap_or_else(|| self.called(target)?.signature.result_from_json(json))
    }

    /// Whether these bytes are an answer to the command of this target.
    pub fn check_answer(&self, target: &str, recorded: &[u8]) -> Result<(), String> {
        answer::check(target, recorded).unwrap_or_else(|| {
            let called = self.called(target)?.signature.result_to_json(recorded);
            called
                .map(drop)
                .map_err(|error| format!("these bytes are no result of it: {error}"))
        })
    }

    /// The errors that the type of this call's function declares, each encoded as a result: for tests that have a call fail.
    pub fn declared_errors(&self, target: &str) -> Vec<(String, Vec<u8>)> {
        self.called(target)
            .map(|export| export.signature.declared_errors())
            .unwrap_or_default()
    }

    /// What a call's name in the journal stands for.
    fn called(&self, target: &str) -> Result<&Export, String> {
        let found = || {
            let (component, qualified) = target.split_once(':')?;
            let (interface, function) = qualified.rsplit_once('.')?;
            self.components.get(component)?.export(interface, function)
        };
        found().ok_or_else(|| format!("{target} is none of this deployment's functions"))
    }

    pub(crate) fn component(&self, id: &ComponentId) -> Option<&Arc<Loaded>> {
        self.components.get(id)
    }

    /// Calls `nexus:http/handler.handle`.
    pub async fn call_http(
        self: &Arc<Self>,
        recorder: Recorder,
        component: &ComponentId,
        request: HttpRequest,
    ) -> Result<HttpResponse, Fault> {
        let loaded = self.loaded(component)?;
        let indices = loaded
            .http
            .as_ref()
            .ok_or_else(|| Fault::Guest(format!("{component} does not answer HTTP")))?;
        let (mut store, instance) = self.enter(loaded, recorder).await?;
        let called = async {
            let guest = indices.load(&mut store, &instance)?;
            guest.call_handle(&mut store, &to_wit(request)).await
        };
        let called = self.pace.keep(called).await;
        let response = self.paced(ended(&store, called)).await?;
        from_wit(component, response)
    }

    /// Calls `nexus:durable/scheduled.run`.
    pub async fn call_scheduled(
        self: &Arc<Self>,
        recorder: Recorder,
        component: &ComponentId,
        input: ScheduledInput,
    ) -> Result<Result<(), String>, Fault> {
        let loaded = self.loaded(component)?;
        let indices = loaded.scheduled.as_ref();
        let indices = indices.ok_or_else(|| Fault::Guest(format!("{component} exports no nexus:durable/scheduled")))?;
        let (mut store, instance) = self.enter(loaded, recorder).await?;
        let called = async {
            let guest = indices.load(&mut store, &instance)?;
            guest.call_run(&mut store, &input.name, &input.argument).await
        };
        let called = self.pace.keep(called).await;
        self.paced(ended(&store, called)).await
    }

    /// Calls what a component exports to others, for an invocation that begins with it.
    pub async fn call_sent(
        self: &Arc<Self>,
        recorder: Recorder,
        component: &ComponentId,
        interface: &str,
        function: &str,
        params: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let called = self.call_export(recorder, component, interface, function, params);
        self.paced(called).await
    }

    /// In turns of its own, beside those of other guests.
    pub(crate) async fn paced<F: Future>(&self, work: F) -> F::Output {
        self.pace.keep(work).await
    }

    /// Calls `nexus:durable/compensate.run`.
    pub async fn call_compensate(
        self: &Arc<Self>,
        recorder: Recorder,
        component: &ComponentId,
        name: &str,
        argument: &[u8],
    ) -> Result<Result<(), String>, Fault> {
        let loaded = self.loaded(component)?;
        let indices = loaded.compensate.as_ref();
        let indices =
            indices.ok_or_else(|| Fault::Guest(format!("{component} exports no nexus:durable/compensate")))?;
        let (mut store, instance) = self.enter(loaded, recorder).await?;
        let called = async {
            let guest = indices.load(&mut store, &instance)?;
            guest.call_run(&mut store, name, argument).await
        };
        let called = self.pace.keep(called).await;
        self.paced(ended(&store, called)).await
    }

    /// Calls `nexus:events/subscriber.handle`. What the guest refuses is a fault: of another delivery something else may come.
    pub async fn call_subscriber(
        self: &Arc<Self>,
        recorder: Recorder,
        component: &ComponentId,
        delivered: Delivered,
    ) -> Result<(), Fault> {
        let loaded = self.loaded(component)?;
        let indices = loaded.subscriber.as_ref();
        let indices = indices.ok_or_else(|| Fault::Guest(format!("{component} exports no nexus:events/subscriber")))?;
        let (mut store, instance) = self.enter(loaded, recorder).await?;
        let called = async {
            let guest = indices.load(&mut store, &instance)?;
            guest.call_handle(&mut store, &event(delivered)).await
        };
        let called = self.pace.keep(called).await;
        match called.map_err(|error| fault(&error, &store.data().limits))? {
            Ok(()) => Ok(()),
            Err(wit_subscriber::Refusal::Retry(reason)) => Err(Fault::Transient(format!(
                "{component} does not take the event yet: {reason}"
            ))),
            Err(wit_subscriber::Refusal::Reject(reason)) => {
                Err(Fault::Guest(format!("{component} rejects the event: {reason}")))
            }
        }
    }

    /// Calls what a component exports to others. Parameters and result are encoded.
    pub(crate) async fn call_export(
        self: &Arc<Self>,
        recorder: Recorder,
        component: &ComponentId,
        interface: &str,
        function: &str,
        params: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let loaded = self.loaded(component)?;
        let export = loaded.export(interface, function);
        let export =
            export.ok_or_else(|| Fault::Guest(format!("{component} does not export {interface}.{function}")))?;
        if let Some(key) = export.key(component, interface, function, params)?
            && let Some(reason) = match recorder.acquire(&key).await? {
                Acquired::Held => None,
                Acquired::Refused => Some(
                    "it would wait for an exclusive key that is held by one that waits for this one: let go, and try again later",
                ),
                Acquired::TimedOut => Some("the deadline came before its turn for an exclusive key"),
            }
        {
            return export
                .signature
                .refusal(reason)
                .ok_or_else(|| Fault::Guest(format!("{interface}.{function}: {reason}")));
        }
        let (mut store, instance) = self.enter(loaded, recorder).await?;
        let exported = instance.get_func(&mut store, export.index);
        let exported = exported.ok_or_else(|| Fault::Guest(format!("{interface}.{function} is not a function")))?;
        let called = host_link::call_export(&mut store, &exported, params).await;
        ended(&store, called).await
    }

    fn loaded(&self, component: &ComponentId) -> Result<&Arc<Loaded>, Fault> {
        self.components.get(component).ok_or_else(|| {
            match self.app.components.contains_key(component) {
                true => Fault::Guest(format!("there is no component {component} that could be called")),
                // Another node may have it, or this one when it is started again.
                false => Fault::Transient(format!(
                    "the manifest of this node has no component {component}, which deployment {} was registered with: start a node whose \
                     manifest has it",
                    self.number
                )),
            }
        })
    }

    async fn enter(
        self: &Arc<Self>,
        loaded: &Loaded,
        recorder: Recorder,
    ) -> Result<(Store<InstanceState>, Instance), Fault> {
        let Ok(slot) = Arc::clone(&loaded.slots).try_acquire_owned() else {
            loaded.metrics.refused.inc();
            let text = format!("{} has as many instances as one component may have", loaded.id);
            return Err(Fault::Overloaded(text));
        };
        let state = InstanceState::new(Arc::clone(self), loaded, recorder, slot);
        let mut store = Store::new(loaded.pre.engine(), state);
        apply_limits(
            &mut store,
            |state: &mut InstanceState| &mut state.limits,
            |state| state.recorder.is_replaying(),
        );
        match loaded.pre.instantiate_async(&mut store).await {
            Ok(instance) => {
                loaded.metrics.started.inc();
                Ok((store, instance))
            }
            Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
                loaded.metrics.refused.inc();
                Err(Fault::Overloaded("every instance slot is in use".into()))
            }
            Err(error) => Err(fault(&error, &store.data().limits)),
        }
    }
}

/// What an instance came to: its guest has returned, and then so has all that it began. Takes no time where nothing was begun.
fn ended<T: Send>(
    store: &Store<InstanceState>,
    called: wasmtime::Result<T>,
) -> impl Future<Output = Result<T, Fault>> + Send + use<T> {
    let InstanceState { recorder, limits, .. } = store.data();
    let returned = called.map_err(|error| recorder.failed(fault(&error, limits)));
    let begun = recorder.has_begun().then(|| recorder.clone());
    async move {
        match (returned, begun) {
            (Ok(value), Some(recorder)) => recorder.end_begun().await.map(|()| value),
            (returned, _) => returned,
        }
    }
}

fn policy(given: host_manifest::RetryPolicy) -> RetryPolicy {
    let host_manifest::RetryPolicy {
        attempts,
        initial_ms,
        factor,
        max_ms,
        deadline_ms,
        ..
    } = given;
    RetryPolicy {
        attempts,
        initial_ms,
        factor,
        max_ms,
        deadline_ms,
    }
}

fn event(delivered: Delivered) -> wit_subscriber::Event {
    let Delivered {
        event,
        subscription,
        topic,
        key,
        content_type,
        payload,
        published_ms,
        source,
    } = delivered;
    wit_subscriber::Event {
        id: event,
        subscription,
        topic,
        key,
        content_type,
        payload,
        published_ms,
        source,
    }
}

fn to_wit(request: HttpRequest) -> wit_handler::Request {
    let HttpRequest {
        method,
        path,
        query,
        headers,
        identity,
        peer,
        body,
    } = request;
    let identity = match identity {
        Identity::Anonymous => wit_http::Identity::Anonymous,
        Identity::Invalid(reason) => wit_http::Identity::Invalid(reason),
        Identity::Verified(claims) => wit_http::Identity::Verified(wit_http::Claims {
            subject: claims.subject,
            payload: claims.payload,
        }),
    };
    wit_handler::Request {
        method,
        path,
        query,
        headers,
        identity,
        peer,
        body: body.into(),
    }
}

/// Headers of a response: more would be more than clients and proxies take.
const MAX_HEADERS: usize = 256;
/// Their names and values together, bytes.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Of a name that is none, so much is told.
const TOLD_BYTES: usize = 64;

/// A response that is none would be sent to a client: it is the guest's fault, as a trap would be.
fn from_wit(component: &ComponentId, response: wit_handler::Response) -> Result<HttpResponse, Fault> {
    let wit_handler::Response { status, headers, body } = response;
    let named = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let valued = |value: &str| {
        value
            .bytes()
            .all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
    };
    if !(200..=599).contains(&status) {
        return Err(Fault::Trap(format!(
            "{component} answered with the status {status}, which is none"
        )));
    }
    let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > MAX_HEADERS || size > MAX_HEADER_BYTES {
        let count = headers.len();
        return Err(Fault::Trap(format!(
            "{component} answered with {count} headers of {size} bytes; at most {MAX_HEADERS} of {MAX_HEADER_BYTES} are sent",
        )));
    }
    if let Some((name, _)) = headers.iter().find(|(name, value)| !named(name) || !valued(value)) {
        let name = &name[..name.floor_char_boundary(TOLD_BYTES)];
        return Err(Fault::Trap(format!(
            "{component} answered with the header {name:?}, which is none"
        )));
    }
    Ok(HttpResponse {
        status,
        headers,
        body: body.into(),
    })
}
