//! One request of a component of the stock engine: a fresh instance, run by a task of its own until its answer has been read and it
//! has nothing more to do, or its client is gone.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use host_basic::Author;
use host_engine::apply_limits;
use host_traces::{TraceId, trace_id};
use host_types::{Fault, InvocationId, StreamBody, StreamedCall, StreamedOutcome};
use http_body_util::BodyExt;
use tokio::time::{sleep, timeout};
use tracing::Instrument;
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::handler::{Prepared, Proxy, ProxyPre, Request, Response};
use wasmtime_wasi_http::{Error as WasiError, WasiHttpView};

use crate::deployment::Deployment;
use crate::error::fault;
use crate::stock::body::{AnswerBody, Progress, Stop};
use crate::stock::{CallModules, StockLoaded, StockState};

/// Runs the call until the head of its answer is there. `turn` is held as long as the instance is.
pub(crate) async fn serve(
    deployment: Arc<Deployment>,
    loaded: Arc<StockLoaded>,
    call: StreamedCall,
    modules: Arc<dyn CallModules>,
    turn: impl Send + 'static,
) -> StreamedOutcome {
    let StreamedCall {
        invocation,
        request,
        trace_parent,
        wait_ms,
        ..
    } = call;
    let patience = Duration::from_millis(wait_ms);
    let overloaded = StreamedOutcome::Overloaded { retry_after_s: 1 };
    let Ok(slot) = Arc::clone(&loaded.slots).try_acquire_owned() else {
        tracing::info!(component.id = %loaded.id, "it has as many instances as one component may have");
        return overloaded;
    };
    let author = Author {
        component: loaded.id.clone(),
        invocation,
        trace_id: trace_id(trace_parent.as_deref().unwrap_or_default(), invocation.0.as_u128()),
    };
    let trace_id = author.trace_id;
    let state = StockState::new(deployment, &loaded, author, trace_parent, modules, slot);
    let progress = Arc::new(Progress::default());
    let (answer, answered) = oneshot::channel();
    let run = Run {
        loaded,
        invocation,
        trace_id,
        patience,
        progress: Arc::clone(&progress),
    };
    let task = async move {
        run.drive(state, request.map(to_guest), answer).await;
        drop(turn);
    };
    let stop = Stop::new(tokio::spawn(task.in_current_span()).abort_handle());
    match timeout(patience, answered).await {
        Ok(Ok(Ok(response))) => StreamedOutcome::Response(
            response.map(|body| AnswerBody::new(body, patience, progress, stop).boxed_unsync()),
        ),
        Ok(Ok(Err(error))) if error.is::<wasmtime::PoolConcurrencyLimitError>() => overloaded,
        Ok(Ok(Err(error))) => {
            tracing::warn!(invocation.id = %invocation, %trace_id, %error, "a component answered with an error instead of a response");
            StreamedOutcome::Failed
        }
        // Its task says why.
        Ok(Err(_)) => StreamedOutcome::Failed,
        Err(_) => StreamedOutcome::TimedOut,
    }
}

fn to_guest(body: StreamBody) -> wasmtime_wasi_http::WasiBody {
    let broken = |error: host_types::StreamError| WasiError::InternalError(Some(error.to_string()));
    body.map_err(broken).boxed_unsync()
}

type Answer = oneshot::Sender<Result<Response, wasmtime::Error>>;

struct Run {
    loaded: Arc<StockLoaded>,
    invocation: InvocationId,
    trace_id: TraceId,
    patience: Duration,
    progress: Arc<Progress>,
}

impl Run {
    async fn drive(self, state: StockState, request: Request, answer: Answer) {
        let loaded = &self.loaded;
        let Some(pre) = &loaded.proxy else {
            self.failed(&Fault::Guest(format!("{} does not answer HTTP", loaded.id)));
            return;
        };
        let engine = match pre {
            ProxyPre::P2(pre) => pre.engine().clone(),
            ProxyPre::P3(pre) => pre.engine().clone(),
        };
        let mut store = Store::new(&engine, state);
        apply_limits(&mut store, |state: &mut StockState| &mut state.limits, |_| false);
        let proxy = match loaded.pace.keep(pre.instantiate_async(&mut store)).await {
            Ok(proxy) => proxy,
            Err(error) => {
                if error.is::<wasmtime::PoolConcurrencyLimitError>() {
                    // Nobody may be waiting any more.
                    let _ = answer.send(Err(error));
                } else {
                    self.failed(&fault(&error, &store.data().limits));
                }
                return;
            }
        };
        let proxy = &proxy;
        let work = store.run_concurrent(async move |accessor| handle(accessor, proxy, request, answer).await);
        let ended = tokio::select! {
            ended = loaded.pace.keep(work) => ended.flatten(),
            () = self.overdue() => Err(wasmtime::format_err!("it went on for {:?} after its answer", self.patience)),
        };
        if let Err(error) = ended {
            self.failed(&fault(&error, &store.data().limits));
        }
        // Only now: with the store ends what the answer's body is read from.
        drop(store);
    }

    /// Returns when the component has had its time after its answer.
    async fn overdue(&self) {
        self.progress.answered().await;
        sleep(self.patience).await;
    }

    fn failed(&self, fault: &Fault) {
        self.progress.fail();
        tracing::warn!(
            invocation.id = %self.invocation, component.id = %self.loaded.id, trace_id = %self.trace_id, %fault, "a component failed"
        );
    }
}

/// Calls the handler, and runs what it leaves to be done after its answer.
async fn handle(
    accessor: &Accessor<StockState>,
    proxy: &Proxy,
    request: Request,
    answer: Answer,
) -> wasmtime::Result<()> {
    let prepared =
        accessor.with(|mut access| Prepared::new(access.as_context_mut(), proxy, request, StockState::http, answer))?;
    prepared.run(accessor, std::future::pending()).await?;
    poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
    Ok(())
}
