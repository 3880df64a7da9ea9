//! The functions of `wasi:http` that differ from wasmtime's.
//!
//! wasmtime sends a request in a task of its own while the guest goes on, and the guest sees the response when it comes. Here a
//! request has a place among the guest's commands, so it is sent while the guest waits: in `handle` when its body is complete by
//! then, otherwise in the `finish` of its body. One that only reads goes on beside the guest from `handle` on, and is waited for when
//! its response is taken. Guests see a response that is there at once, so that none can tell which of several came first; nothing else
//! changes for them.

use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use host_recorder::Attempt;
use host_types::Fault;
use http_body_util::{BodyExt, Empty, Full};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable, ResourceType};
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode};
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types::HostFutureIncomingResponse as _};
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::p2::{HttpError, bindings};
use wasmtime_wasi_http::{
    Error as WasiError, FieldMap, RequestOptions, WasiBody, WasiHttp, WasiHttpCtxView, WasiHttpHooks,
};

use crate::bodies::{BodyState, Collector, HandedOver, Waiting, collect};
use crate::bounds::{CHUNK_BYTES, P2_TYPES, bound_p2};
use crate::journaled::{Reading, begin, send};
use crate::record::Outcome;
use crate::request::OutgoingRequest;
use crate::{Failure, HttpClientContext, HttpClientHost};

/// The version wasmtime's linker defines; imports of any compatible one find it.
const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// Bodies an instance may hold: they are in the host's memory, not in the guest's.
const MAX_BODIES: usize = 16;

/// Reads that go on beside the guest; a further one is sent while it waits.
const MAX_READING: usize = 16;

/// What wasmtime asks about requests: here, only to be handed them.
pub(crate) struct Hooks {
    attempt: Weak<Attempt>,
    max_open: Duration,
    handed_over: Option<HandedOver>,
}

impl Hooks {
    /// Weak, since whoever waits for the attempt's end counts those who still hold it.
    pub(crate) fn new(attempt: Weak<Attempt>, max_open: Duration) -> Self {
        Self {
            attempt,
            max_open,
            handed_over: None,
        }
    }
}

type Sent = Result<
    (
        http::Response<WasiBody>,
        Box<dyn Future<Output = Result<(), WasiError>> + Send>,
    ),
    WasiError,
>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), WasiError>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        // The body is a placeholder: the real one is collected apart.
        let (head, _) = request.into_parts();
        self.handed_over = Some(HandedOver {
            head,
            options: options.unwrap_or_default(),
        });
        let (attempt, max_open) = (self.attempt.clone(), self.max_open);
        // Ended when the request is answered. A guest that waits for the response while it keeps the body open would otherwise
        // wait for ever, since it is the end of the body that sends the request.
        Box::new(async move {
            tokio::time::sleep(max_open).await;
            if let Some(attempt) = attempt.upgrade() {
                let text = "the body of an outgoing request was not finished: its request cannot be sent, nor answered";
                attempt.fail(Fault::Guest(text.into()));
            }
            Err(WasiError::HttpProtocolError)
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }
}

/// Links `wasi:http/types` and `wasi:http/outgoing-handler`.
pub(crate) fn add_to_linker<T: HttpClientHost + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let options = bindings::LinkOptions::default();
    types::add_to_linker::<T, WasiHttp>(linker, &(&options).into(), wasi)?;

    linker.allow_shadowing(true);
    bound_p2(linker, wasi)?;
    let mut types = linker.instance(P2_TYPES)?;
    types.func_wrap(
        "[method]outgoing-request.body",
        |mut store, (request,): (Resource<HostOutgoingRequest>,)| Ok((body(store.data_mut(), request)?,)),
    )?;
    types.func_wrap_async(
        "[static]outgoing-body.finish",
        |store, (body, trailers): (Resource<HostOutgoingBody>, Option<Resource<FieldMap>>)| {
            Box::new(async move { Ok((finish(store, body, trailers).await?,)) })
        },
    )?;
    types.func_wrap_async(
        "[method]future-incoming-response.get",
        |store, (response,): (Resource<HostFutureIncomingResponse>,)| {
            Box::new(async move { Ok((get(store, response).await?,)) })
        },
    )?;
    types.resource(
        "outgoing-body",
        ResourceType::host::<HostOutgoingBody>(),
        |mut store, rep| drop_body(store.data_mut(), rep),
    )?;
    types.resource(
        "outgoing-request",
        ResourceType::host::<HostOutgoingRequest>(),
        |mut store, rep| {
            store.data_mut().http_client().context.bodies.forget_request(rep);
            types::HostOutgoingRequest::drop(&mut wasi(store.data_mut()), Resource::new_own(rep))
        },
    )?;
    types.resource(
        "future-incoming-response",
        ResourceType::host::<HostFutureIncomingResponse>(),
        |mut store, rep| {
            let context = store.data_mut().http_client().context;
            context.bodies.forget_response(rep);
            // It goes on, and nobody learns what came of it.
            context.reading.remove(&rep);
            wasi(store.data_mut()).drop(Resource::new_own(rep))
        },
    )?;
    linker.allow_shadowing(false);

    linker.instance(OUTGOING_HANDLER)?.func_wrap_async(
        "handle",
        |store, (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>)| {
            Box::new(async move { Ok((handle(store, request, options).await?,)) })
        },
    )
}

fn wasi<T: HttpClientHost>(state: &mut T) -> WasiHttpCtxView<'_> {
    let view = state.http_client();
    WasiHttpCtxView {
        hooks: &mut view.context.hooks,
        table: view.table,
        ctx: &mut view.context.wasi,
    }
}

fn body<T: HttpClientHost>(
    state: &mut T,
    request: Resource<HostOutgoingRequest>,
) -> wasmtime::Result<Result<Resource<HostOutgoingBody>, ()>> {
    let number = request.rep();
    let context = state.http_client().context;
    if context.bodies.held() >= MAX_BODIES {
        let text = format!("an instance may have {MAX_BODIES} bodies of outgoing requests at once, not more");
        return Err(context.recorder.attempt().fail(Fault::LimitExceeded(text)).into());
    }
    let Ok(body) = types::HostOutgoingRequest::body(&mut wasi(state), request)? else {
        return Ok(Err(()));
    };
    let view = state.http_client();
    let request = view
        .table
        .get_mut(&Resource::<HostOutgoingRequest>::new_borrow(number))?;
    // The placeholder says that the body was taken.
    let placeholder = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    if let Some(written) = request.body.replace(placeholder) {
        let collector = collect(written, view.context.client.limits.request_bytes);
        view.context.bodies.begin(number, body.rep(), collector);
    }
    Ok(Ok(body))
}

async fn finish<T: HttpClientHost>(
    mut store: StoreContextMut<'_, T>,
    body: Resource<HostOutgoingBody>,
    trailers: Option<Resource<FieldMap>>,
) -> wasmtime::Result<Result<(), ErrorCode>> {
    let number = body.rep();
    let finished = told(types::HostOutgoingBody::finish(
        &mut wasi(store.data_mut()),
        body,
        trailers,
    ))?;
    let view = store.data_mut().http_client();
    if let Some((collector, Waiting { request, response })) = view.context.bodies.end(number) {
        let outcome = view.context.send(request, Some(collector)).await?;
        if let Some(response) = response {
            answer(view.table, response, outcome)?;
        }
    }
    Ok(finished)
}

fn drop_body<T: HttpClientHost>(state: &mut T, number: u32) -> wasmtime::Result<()> {
    types::HostOutgoingBody::drop(&mut wasi(state), Resource::new_own(number))?;
    let view = state.http_client();
    match view.context.bodies.end(number) {
        Some((
            _,
            Waiting {
                response: Some(response),
                ..
            },
        )) => answer(view.table, response, Err(Failure::BodyNotCompleted)),
        _ => Ok(()),
    }
}

async fn handle<T: HttpClientHost>(
    mut store: StoreContextMut<'_, T>,
    request: Resource<HostOutgoingRequest>,
    options: Option<Resource<RequestOptions>>,
) -> wasmtime::Result<Result<Resource<HostFutureIncomingResponse>, ErrorCode>> {
    let body = store.data_mut().http_client().context.bodies.hand_over(request.rep());
    let response = match told(outgoing_handler::Host::handle(
        &mut wasi(store.data_mut()),
        request,
        options,
    ))? {
        Ok(response) => response,
        Err(error) => return Ok(Err(error)),
    };
    let view = store.data_mut().http_client();
    let request = view
        .context
        .hooks
        .handed_over
        .take()
        .expect("a request that was accepted was handed over");
    let collector = match body {
        BodyState::None => None,
        BodyState::Complete(collector) => Some(collector),
        BodyState::Open(body) => {
            view.context.bodies.wait(
                body,
                Waiting {
                    request,
                    response: Some(response.rep()),
                },
            );
            return Ok(Ok(response));
        }
    };
    let outcome = match view.context.begin(request, collector).await? {
        Reading::Ended(outcome) => outcome,
        Reading::Beside(reading) => {
            view.context.reading.insert(response.rep(), reading);
            // Ready to be taken, which waits for what came of it.
            Err(Failure::BodyNotCompleted)
        }
    };
    answer(view.table, response.rep(), outcome)?;
    Ok(Ok(response))
}

type Taken = Option<Result<Result<Resource<HostIncomingResponse>, ErrorCode>, ()>>;

async fn get<T: HttpClientHost>(
    mut store: StoreContextMut<'_, T>,
    response: Resource<HostFutureIncomingResponse>,
) -> wasmtime::Result<Taken> {
    let view = store.data_mut().http_client();
    if let Some(reading) = view.context.reading.remove(&response.rep()) {
        let recorder = &view.context.recorder;
        recorder.check_may_wait("wasi:http/types.future-incoming-response.get")?;
        let outcome = reading.outcome(recorder).await?;
        answer(view.table, response.rep(), outcome)?;
    }
    types::HostFutureIncomingResponse::get(&mut wasi(store.data_mut()), response)
}

impl HttpClientContext {
    /// Begins a request that only reads; sends any other.
    async fn begin(&self, request: HandedOver, body: Option<Collector>) -> wasmtime::Result<Reading> {
        let request = match outgoing(request, body).await {
            Ok(request) if request.is_read() && self.reading.len() < MAX_READING => {
                return Ok(begin(&self.client, &self.recorder, request)?);
            }
            request => request,
        };
        Ok(Reading::Ended(match request {
            Ok(request) => send(&self.client, &self.recorder, &self.lease_left, &request).await?,
            Err(failure) => Err(failure),
        }))
    }

    async fn send(&self, request: HandedOver, body: Option<Collector>) -> wasmtime::Result<Outcome> {
        match outgoing(request, body).await {
            Ok(request) => Ok(send(&self.client, &self.recorder, &self.lease_left, &request).await?),
            Err(failure) => Ok(Err(failure)),
        }
    }
}

/// The whole request, once its body is there.
async fn outgoing(request: HandedOver, body: Option<Collector>) -> Result<OutgoingRequest, Failure> {
    let body = match body {
        None => Bytes::new(),
        Some(collector) => collector.await?,
    };
    OutgoingRequest::new(request.head, body, request.options)
}

/// Puts the outcome where the guest looks for it.
fn answer(table: &mut ResourceTable, response: u32, outcome: Outcome) -> wasmtime::Result<()> {
    let whole = |body: Bytes| Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let ready = match outcome {
        Ok(response) => Ok((response.map(whole), spawn(async {}))),
        Err(failure) => Err(failure.to_http()),
    };
    *table.get_mut(&Resource::<HostFutureIncomingResponse>::new_borrow(response))? =
        HostFutureIncomingResponse::Ready(ready);
    Ok(())
}

/// Parts an answer to the guest from what ends it.
fn told<T>(result: Result<T, HttpError>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => error.downcast().map(Err),
    }
}
