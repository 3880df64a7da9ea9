//! An HTTP call: how its caller waits, leaves, or joins an earlier call of the same key.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use host_journal::{Claim, Header, InvocationStatus, Seed};
use host_types::{
    ComponentId, Fault, HttpCall, HttpOutcome, HttpResponse, Identity, InvocationClient, InvocationId, StreamedCall,
    StreamedOutcome,
};
use tokio::time::Instant;

use crate::claims::Entered;
use crate::handlers::Handlers;
use crate::invoker::{Inner, Invoker, Running};
use crate::run::{Ended, HTTP_FUNCTION, Output, Progress, Run, encode};
use crate::streamed;

/// How long a call that found its key in use waits for the first one's answer.
const JOIN_WAIT: Duration = Duration::from_secs(2);
/// Between two looks at an invocation that goes on without its caller: at first, and at last.
const JOIN_POLL: Duration = Duration::from_millis(50);
const JOIN_POLL_LONGEST: Duration = Duration::from_secs(1);

impl InvocationClient for Invoker {
    fn handle_http(&self, call: HttpCall) -> Pin<Box<dyn Future<Output = HttpOutcome> + Send + '_>> {
        Box::pin(handle(&self.inner, call))
    }

    fn is_streamed(&self, component: &ComponentId) -> bool {
        let deployment = self.inner.current().deployment();
        deployment.is_some_and(|deployment| deployment.is_streamed(component))
    }

    fn handle_stream(&self, call: StreamedCall) -> Pin<Box<dyn Future<Output = StreamedOutcome> + Send + '_>> {
        Box::pin(streamed::handle(&self.inner, call))
    }
}

async fn handle(inner: &Arc<Inner>, call: HttpCall) -> HttpOutcome {
    if inner.is_draining() {
        return HttpOutcome::Overloaded { retry_after_s: 1 };
    }
    // Once: all that is said of this call is said by what it runs on.
    let deployment = inner.current();
    let retention_ms = || {
        let request = &call.request;
        deployment.key_retention_ms(&call.component, &request.method, &request.path)
    };
    let Some(claim) = inner.claims.claim(&call, inner.clock.unix_ms(), retention_ms) else {
        return run(inner, deployment, call, None).await;
    };
    match inner.claims.enter(&claim, call.invocation) {
        Entered::First(ticket) => {
            let outcome = run(inner, deployment, call, Some(claim)).await;
            ticket.tell(&outcome);
            outcome
        }
        Entered::Mismatch => HttpOutcome::KeyMismatch,
        Entered::Joins(invocation, mut first) => {
            let until = Instant::now() + JOIN_WAIT;
            let told = tokio::time::timeout_at(until, first.wait_for(Option::is_some)).await;
            match told.map(|told| told.ok().and_then(|told| told.clone())) {
                Ok(Some(HttpOutcome::Response {
                    invocation, response, ..
                })) => HttpOutcome::Response {
                    invocation,
                    response,
                    replayed: true,
                },
                // The first caller left, or has waited long enough; what it began may go on, or be paused.
                Ok(None | Some(HttpOutcome::Pending { .. })) => {
                    let joined = join(inner, &claim, None, until).await;
                    joined.unwrap_or(HttpOutcome::KeyInProgress {
                        invocation,
                        paused: false,
                        retry_after_s: 1,
                    })
                }
                Ok(Some(outcome)) => outcome,
                Err(_) => HttpOutcome::KeyInProgress {
                    invocation,
                    paused: false,
                    retry_after_s: 1,
                },
            }
        }
    }
}

async fn run(inner: &Arc<Inner>, deployment: Arc<dyn Handlers>, call: HttpCall, claim: Option<Claim>) -> HttpOutcome {
    let limit = deployment.open_limit_of_request(&call.component, &call.request.method, &call.request.path);
    let admitted = match limit {
        None => None,
        Some(open_limit) => match inner.admit(&call.component, open_limit) {
            Some(admitted) => Some(admitted),
            None => return refused(inner, call.component, open_limit, claim.as_ref()).await,
        },
    };
    let invocation = call.invocation;
    // One bound for all that this caller waits for, here and elsewhere.
    let until = Instant::now() + Duration::from_millis(call.wait_ms);
    let subject = match &call.request.identity {
        Identity::Verified(claims) => claims.subject.clone(),
        Identity::Anonymous | Identity::Invalid(_) => String::new(),
    };
    let started_ms = inner.clock.unix_ms();
    let within_ms = deployment.deadline_of_request(&call.component, &call.request.method, &call.request.path);
    let header = Header {
        function: HTTP_FUNCTION.into(),
        deployment: deployment.number(),
        input: encode(&call.request),
        seed: Seed::new(inner.rng.bytes()),
        subject,
        trace_parent: call.trace_parent.unwrap_or_default(),
        memory_limit_bytes: deployment.memory_limit_bytes(&call.component),
        started_ms,
        workflow: None,
        deadline_ms: within_ms.map(|within_ms| started_ms.saturating_add(within_ms)),
        component: call.component,
    };
    let salt = call.sensitive.then(|| inner.rng.bytes());
    let run = Run::fresh(Arc::clone(inner), invocation, deployment, header, salt, claim.clone());
    let run = run.admitted_by(admitted);
    let mut caller = Caller::new(inner, run);
    let ended = tokio::time::timeout_at(until, caller.wait()).await;
    let pending = HttpOutcome::Pending {
        invocation,
        retry_after_s: 1,
    };
    match ended {
        Ok(Some(Ended::Output(Output::Http(response)))) => {
            // Nothing of a refusal is stored under its key. But the key may be taken, and what was refused was only a
            // second look at what the first request did.
            if let Some(claim) = &claim
                && response.status >= 400
                && let Some(outcome) = join(inner, claim, Some(invocation), Instant::now() + JOIN_WAIT).await
            {
                return outcome;
            }
            HttpOutcome::Response {
                invocation,
                response,
                replayed: false,
            }
        }
        Ok(Some(Ended::KeyTaken)) => match &claim {
            Some(claim) => join(inner, claim, None, Instant::now() + JOIN_WAIT)
                .await
                .unwrap_or(HttpOutcome::Overloaded { retry_after_s: 1 }),
            None => HttpOutcome::Failed { invocation },
        },
        Ok(Some(Ended::Failed(Fault::Overloaded(_) | Fault::Transient(_) | Fault::RepeatTransaction(_)))) => {
            HttpOutcome::Overloaded { retry_after_s: 1 }
        }
        Ok(Some(Ended::Failed(_))) => HttpOutcome::Failed { invocation },
        Ok(Some(Ended::Open)) => elsewhere(inner, invocation, until).await.unwrap_or(pending),
        Ok(Some(Ended::Output(Output::Scheduled(_) | Output::Sent(_))) | None) => HttpOutcome::Failed { invocation },
        Ok(Some(Ended::Output(Output::Cancelled))) => HttpOutcome::Cancelled { invocation },
        Err(_) if caller.progress.is_durable() => pending,
        Err(_) => HttpOutcome::Overloaded { retry_after_s: 1 },
    }
}

/// There is no room for another invocation. Whoever asks for what an earlier request has begun is told of that.
async fn refused(inner: &Arc<Inner>, component: ComponentId, open_limit: u64, claim: Option<&Claim>) -> HttpOutcome {
    if let Some(claim) = claim
        && let Some(earlier) = join(inner, claim, None, Instant::now() + JOIN_WAIT).await
    {
        return earlier;
    }
    inner.metrics.full(&component);
    HttpOutcome::Full {
        component,
        open_limit,
        retry_after_s: 1,
    }
}

/// A caller and what it waits for, which runs on the caller's own task: a task for each call would cost it two hand-overs.
///
/// Dropped with the caller's future: a client that disconnects ends what is not durable, and changes nothing else.
pub(crate) struct Caller<'a> {
    inner: &'a Inner,
    running: Option<Running>,
    progress: Arc<Progress>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(inner: &'a Arc<Inner>, run: Run) -> Self {
        let progress = run.progress();
        Self {
            inner,
            running: inner.enter(run),
            progress,
        }
    }

    /// `None` after a panic of ours: whatever is durable is taken over.
    pub(crate) async fn wait(&mut self) -> Option<Ended> {
        let running = self.running.as_mut()?;
        let ended = AssertUnwindSafe(running).catch_unwind().await;
        self.running = None;
        ended.ok()
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.running.take()
            && self.progress.is_durable()
        {
            self.inner.spawn_run(running);
        }
    }
}

/// The answer of the invocation that owns the key, if one other than `own` does.
async fn join(inner: &Arc<Inner>, claim: &Claim, own: Option<InvocationId>, until: Instant) -> Option<HttpOutcome> {
    let patience = tokio::time::sleep_until(until);
    tokio::pin!(patience);
    let looking = inner.lookers.try_acquire();
    let mut pause = JOIN_POLL;
    loop {
        let owner = match inner.store.find_key(claim).await {
            Ok(owner) => owner?,
            Err(error) => {
                tracing::warn!(%error, "an idempotency key cannot be looked up");
                return Some(HttpOutcome::Overloaded { retry_after_s: 1 });
            }
        };
        let invocation = owner.invocation;
        if own == Some(invocation) {
            return None;
        }
        if owner.fingerprint != claim.fingerprint {
            return Some(HttpOutcome::KeyMismatch);
        }
        let in_progress = |paused| HttpOutcome::KeyInProgress {
            invocation,
            paused,
            retry_after_s: 1,
        };
        match stored(inner, invocation, owner.status).await {
            Stored::Answer(response) => {
                return Some(HttpOutcome::Response {
                    invocation,
                    response,
                    replayed: true,
                });
            }
            Stored::Ended(status) => {
                let ended = status.as_str();
                return Some(HttpOutcome::KeySpent { invocation, ended });
            }
            Stored::Paused => return Some(in_progress(true)),
            Stored::Open if looking.is_err() => return Some(in_progress(false)),
            Stored::Open => {}
        }
        tokio::select! {
            biased;
            () = &mut patience => return Some(in_progress(false)),
            () = tokio::time::sleep(pause) => pause = longer(pause),
        }
    }
}

/// Waits for the answer of an invocation that goes on without this task.
async fn elsewhere(inner: &Arc<Inner>, invocation: InvocationId, until: Instant) -> Option<HttpOutcome> {
    let _looking = inner.lookers.try_acquire().ok()?;
    let answer = async {
        let mut pause = JOIN_POLL;
        loop {
            let found = match inner.store.row(invocation).await {
                Ok(Some(row)) => stored(inner, invocation, row.status).await,
                Ok(None) => Stored::Open,
                Err(error) => {
                    tracing::warn!(invocation.id = %invocation, %error, "an invocation cannot be looked up");
                    Stored::Open
                }
            };
            match found {
                Stored::Answer(response) => {
                    return Some(HttpOutcome::Response {
                        invocation,
                        response,
                        replayed: false,
                    });
                }
                Stored::Ended(InvocationStatus::Cancelled) => return Some(HttpOutcome::Cancelled { invocation }),
                Stored::Paused | Stored::Ended(_) => return None,
                Stored::Open => {
                    tokio::time::sleep(pause).await;
                    pause = longer(pause);
                }
            }
        }
    };
    tokio::time::timeout_at(until, answer).await.ok().flatten()
}

/// What takes long is looked at less often.
fn longer(pause: Duration) -> Duration {
    (pause * 5 / 4).min(JOIN_POLL_LONGEST)
}

/// What the database says of an invocation's answer.
enum Stored {
    Answer(HttpResponse),
    /// It has not ended, or the database does not answer.
    Open,
    /// A person has to move it on.
    Paused,
    /// It ended like this, and there is no answer to read: it failed, or its payloads were erased at its end.
    Ended(InvocationStatus),
}

/// Of one that stands like this. A record may be long, and those who wait for an answer look often: it is read once there is one.
async fn stored(inner: &Inner, invocation: InvocationId, status: InvocationStatus) -> Stored {
    match status {
        InvocationStatus::Paused => return Stored::Paused,
        status if !status.is_final() => return Stored::Open,
        _ => {}
    }
    match inner.store.load(invocation).await {
        Ok(Some(loaded)) => match crate::recovery::output(&loaded.entries) {
            Some(Output::Http(response)) => Stored::Answer(response),
            _ => Stored::Ended(status),
        },
        Ok(None) => Stored::Open,
        // What a sensitive route answered is nobody's to read any more; its row says how it ended.
        Err(error) if error.is_erased() => Stored::Ended(status),
        Err(error) => {
            tracing::warn!(invocation.id = %invocation, %error, "an invocation cannot be loaded");
            Stored::Open
        }
    }
}
