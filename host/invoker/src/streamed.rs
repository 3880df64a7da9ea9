//! Components that are not journaled: their requests, and their calls of modules, each of which is an invocation of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use host_journal::{Header, InvocationStatus, Seed};
use host_runtime::{CallModules, ModuleCall};
use host_types::{Fault, InvocationId, StreamedCall, StreamedOutcome};

use crate::http::Caller;
use crate::invoker::Inner;
use crate::run::{Ended, Output, Run};

/// Between two looks at an invocation that goes on without this task.
const POLL: Duration = Duration::from_millis(100);

/// Runs the call until the head of its answer is there. It takes a turn as any invocation does, and holds it as long as it runs.
pub(crate) async fn handle(inner: &Arc<Inner>, call: StreamedCall) -> StreamedOutcome {
    let overloaded = StreamedOutcome::Overloaded { retry_after_s: 1 };
    if inner.is_draining() {
        return overloaded;
    }
    let Ok(turn) = inner.turn(&call.component).await else {
        return overloaded;
    };
    let Some(deployment) = inner.current().deployment() else {
        return StreamedOutcome::Failed;
    };
    let modules = Arc::new(Modules(Arc::clone(inner)));
    deployment.serve(call, modules, turn).await
}

/// Modules, as components that are not journaled reach them.
struct Modules(Arc<Inner>);

impl CallModules for Modules {
    fn call(&self, call: ModuleCall) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, Fault>> + Send + '_>> {
        Box::pin(call_module(&self.0, call))
    }
}

/// Whoever leaves before the answer ends what is not durable, and changes nothing else.
async fn call_module(inner: &Arc<Inner>, call: ModuleCall) -> Result<Vec<u8>, Fault> {
    let ModuleCall {
        deployment,
        component,
        function,
        params,
        trace_parent,
    } = call;
    let invocation = InvocationId::new(inner.clock.unix_ms(), inner.rng.bytes());
    let started_ms = inner.clock.unix_ms();
    let within_ms = deployment.deadline_of_function(&component, &function);
    let header = Header {
        function,
        deployment: deployment.number(),
        input: params.into(),
        seed: Seed::new(inner.rng.bytes()),
        subject: String::new(),
        trace_parent: trace_parent.unwrap_or_default(),
        memory_limit_bytes: deployment.memory_limit_bytes(&component),
        started_ms,
        workflow: None,
        deadline_ms: within_ms.map(|within_ms| started_ms.saturating_add(within_ms)),
        component,
    };
    let run = Run::fresh(Arc::clone(inner), invocation, deployment, header, None, None);
    let mut caller = Caller::new(inner, run);
    match caller.wait().await {
        Some(Ended::Output(Output::Sent(result))) => Ok(result),
        Some(Ended::Failed(fault)) => Err(fault),
        Some(Ended::Open) => elsewhere(inner, invocation).await,
        Some(Ended::Output(_) | Ended::KeyTaken) | None => Err(Fault::Transient(format!(
            "invocation {invocation} of a module has no answer"
        ))),
    }
}

/// Waits for the result of an invocation that goes on without this task. Whoever waits bounds how long.
async fn elsewhere(inner: &Inner, invocation: InvocationId) -> Result<Vec<u8>, Fault> {
    let without = |how: &str| Fault::Transient(format!("invocation {invocation} of a module {how}"));
    loop {
        let row = inner.store.row(invocation).await.ok().flatten();
        match row.map(|row| row.status) {
            Some(InvocationStatus::Paused) => return Err(without("is paused")),
            // A record may be long: it is read once there is a result.
            Some(status) if status.is_final() => {
                if let Ok(Some(loaded)) = inner.store.load(invocation).await {
                    return match crate::recovery::output(&loaded.entries) {
                        Some(Output::Sent(result)) => Ok(result),
                        _ => Err(without(status.as_str())),
                    };
                }
            }
            _ => {}
        }
        tokio::time::sleep(POLL).await;
    }
}
