//! One invocation, attempt after attempt, until it has an answer.

use std::sync::Arc;
use std::time::Duration;

use host_journal::{
    Body, Cause, Claim, Decision, Entry, FenceReason, Header, InvocationStatus, Machine, Payload, Start, WorkflowEnd,
    decide,
};
use host_recorder::{
    Attempt, AttemptOptions, Delivered, SCHEDULED_FUNCTION, SUBSCRIBER_FUNCTION, ScheduledInput, Unwritten,
};
use host_traces::{Parent, Span, SpanKind, Trace, TraceId};
use host_types::{Blame, Fault, HttpRequest, HttpResponse, InvocationId};
use minicbor::{Decode, Encode};
use parking_lot::Mutex;

use crate::admission::Admitted;
use crate::compensate;
use crate::halt::Halt;
use crate::handlers::Handlers;
use crate::invoker::Inner;
use crate::recovery::{HELD_RETRY_MS, Recovered};
use crate::turns::Turn;

/// The function an HTTP invocation calls.
pub(crate) const HTTP_FUNCTION: &str = "nexus:http/handler.handle";

/// Attempts in a row that may end with an append that the database refuses, whatever the retry policy allows: it has said why, and a person
/// can see to that.
const MAX_REFUSALS: u32 = 5;

/// What a handler returned.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) enum Output {
    #[n(0)]
    Http(#[n(0)] HttpResponse),
    /// None: it succeeded, as deliveries of events do. Some: a final error.
    #[n(1)]
    Scheduled(#[n(0)] Option<String>),
    /// An operator ended it, and what it had to undo is undone.
    #[n(2)]
    Cancelled,
    /// What a function that was sent to returned, encoded: an error of its WIT is a result.
    #[n(3)]
    Sent(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// The handler returned.
    Output(Output),
    /// Nothing was durable, and nothing happened.
    Failed(Fault),
    /// The idempotency key belongs to another invocation.
    KeyTaken,
    /// Durable; another node, another attempt or a person goes on with it.
    Open,
}

/// What a caller can see while its invocation runs.
#[derive(Default)]
pub(crate) struct Progress(Mutex<Seen>);

#[derive(Default)]
enum Seen {
    /// Nothing of it is in the database.
    #[default]
    Nothing,
    Attempt(Arc<Attempt>),
    /// Between attempts, and in the database, as far as anybody knows.
    Durable,
}

/// One invocation under way on this node.
pub(crate) struct Run {
    inner: Arc<Inner>,
    invocation: InvocationId,
    deployment: Arc<dyn Handlers>,
    machine: Machine,
    unwritten: Unwritten,
    salt: Option<[u8; 32]>,
    attempts: u32,
    progress: Arc<Progress>,
    halt: Arc<Halt>,
    /// The turn it came with; a request asks for its own.
    turn: Option<Turn>,
    /// What a request was let in by.
    admitted: Option<Admitted>,
}

/// How often, in a row, an attempt has begun once more in the place of one that ended like this. What the database wants again, and what
/// found no room on this node, is nobody's failure until it was so for a while; one says nothing of the other.
#[derive(Default)]
struct Repeats {
    transactions: u32,
    overloads: u32,
}

impl Repeats {
    const TRANSACTIONS: u32 = 10;
    /// About four seconds together, with jitter: what is under way then has had its time to make room.
    const OVERLOADS: u32 = 16;

    /// The longest wait, milliseconds, before it begins once more. `None`: it has failed.
    fn again_within_ms(&mut self, fault: &Fault) -> Option<u64> {
        let (repeats, most, doublings) = match fault {
            Fault::RepeatTransaction(_) => (&mut self.transactions, Self::TRANSACTIONS, 7),
            Fault::Overloaded(_) => (&mut self.overloads, Self::OVERLOADS, 10),
            _ => return None,
        };
        if *repeats == most {
            return None;
        }
        *repeats += 1;
        Some(1 << (*repeats).min(doublings))
    }
}

impl Progress {
    /// Something is in the database, or on its way there: the invocation goes on without its caller.
    pub(crate) fn is_durable(&self) -> bool {
        match &*self.0.lock() {
            Seen::Nothing => false,
            Seen::Attempt(attempt) => attempt.may_be_durable(),
            Seen::Durable => true,
        }
    }

    fn set(&self, seen: Seen) {
        *self.0.lock() = seen;
    }
}

impl Run {
    /// An invocation of which no row exists yet.
    pub(crate) fn fresh(
        inner: Arc<Inner>,
        invocation: InvocationId,
        deployment: Arc<dyn Handlers>,
        header: Header,
        salt: Option<[u8; 32]>,
        claim: Option<Claim>,
    ) -> Self {
        let start = Start {
            component: header.component.clone(),
            function: header.function.clone(),
            deployment: header.deployment,
            erasure_salt: salt,
            parent: None,
        };
        let machine = Machine::start(header);
        let unwritten = Unwritten::new(Some(start), claim);
        Self {
            inner,
            invocation,
            deployment,
            machine,
            unwritten,
            salt,
            attempts: 0,
            progress: Arc::default(),
            halt: Arc::default(),
            turn: None,
            admitted: None,
        }
    }

    /// An invocation whose last entry is a fence of this node, and whose turn it is.
    pub(crate) fn continued(
        inner: Arc<Inner>,
        deployment: Arc<dyn Handlers>,
        recovered: Recovered,
        turn: Turn,
    ) -> Self {
        let Recovered {
            invocation,
            machine,
            salt,
            attempts,
        } = recovered;
        Self {
            inner,
            invocation,
            deployment,
            machine,
            unwritten: Unwritten::default(),
            salt,
            attempts,
            progress: Arc::default(),
            halt: Arc::default(),
            turn: Some(turn),
            admitted: None,
        }
    }

    /// What it leaves open counts among what may be.
    pub(crate) fn admitted_by(self, admitted: Option<Admitted>) -> Self {
        Self { admitted, ..self }
    }

    pub(crate) fn invocation(&self) -> InvocationId {
        self.invocation
    }

    pub(crate) fn halt(&self) -> Arc<Halt> {
        Arc::clone(&self.halt)
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Attempt after attempt.
    pub(crate) async fn drive(mut self) -> Ended {
        let admitted = self.admitted.take();
        let (inner, component) = (Arc::clone(&self.inner), self.machine.header().component.clone());
        let ended = self.drive_to_end().await;
        inner.metrics.ran(&component, &ended);
        if let (Ended::Open, Some(admitted)) = (&ended, admitted) {
            admitted.leave_open();
        }
        ended
    }

    async fn drive_to_end(mut self) -> Ended {
        let turn = match self.turn.take() {
            Some(turn) => turn,
            None => match self.inner.turn(&self.machine.header().component).await {
                Ok(turn) => turn,
                Err(fault) => return Ended::Failed(fault),
            },
        };
        let mut repeats = Repeats::default();
        loop {
            let (result, cause) = self.attempt().await;
            let fault = match result {
                Ok(output) => return Ended::Output(output),
                Err(fault) => fault,
            };
            // A request that is not durable yet is better told to come again than kept waiting for room.
            let is_refused = matches!(fault, Fault::Overloaded(_)) && !self.machine.is_durable();
            let again_within_ms = match is_refused {
                true => None,
                false => repeats.again_within_ms(&fault),
            };
            if let Some(bound_ms) = again_within_ms {
                let ended = match &fault {
                    // Perhaps others were faster with a promise or a workflow: that is for another look to say.
                    Fault::RepeatTransaction(_) if self.unwritten.is_contested() => self.look_again().await,
                    _ => self.hold(self.inner.rng.below(bound_ms)).await,
                };
                match ended {
                    Some(ended) => return ended,
                    None => continue,
                }
            }
            match &fault {
                Fault::KeyTaken => return Ended::KeyTaken,
                Fault::Suspended => return Ended::Open,
                Fault::CommitUnknown(_) | Fault::Fenced => match self.recover().await {
                    Some(ended) => return ended,
                    None => continue,
                },
                fault if !self.machine.is_durable() => {
                    tracing::warn!(
                        invocation.id = %self.invocation, component.id = %self.machine.header().component,
                        trace_id = %self.trace_id(), fault = %cause.text,
                        "an invocation failed before its first effect",
                    );
                    return Ended::Failed(fault.clone());
                }
                _ => {}
            }
            repeats = Repeats::default();
            match self.after_failure(&fault, cause).await {
                Some(ended) => {
                    drop(turn);
                    return ended;
                }
                None => continue,
            }
        }
    }

    async fn attempt(&mut self) -> (Result<Output, Fault>, Cause) {
        let compensations = self.machine.compensate();
        let header = self.machine.header().clone();
        let mut span = self.begin_span(&header);
        let seal = self.inner.store.seal(self.invocation, self.salt);
        let claim = self.unwritten.claim.clone();
        let attempt = Attempt::new(AttemptOptions {
            invocation: self.invocation,
            node: self.inner.store.node(),
            machine: std::mem::replace(&mut self.machine, Machine::start(header.clone())),
            unwritten: std::mem::take(&mut self.unwritten),
            journal: Arc::clone(&self.inner.store) as _,
            seal,
            clock: Arc::clone(&self.inner.clock),
            promises: Arc::clone(&self.inner.waits) as _,
            wait_hold: self.deployment.wait_hold(&header.component),
            trace: Trace {
                traces: self.inner.traces.clone(),
                within: span.as_parent(),
            },
        });
        self.progress.set(Seen::Attempt(Arc::clone(&attempt)));
        let work = async {
            match compensations {
                Ok(None) => call(&self.deployment, &attempt, &header).await,
                Ok(Some(compensations)) => compensate::run(&self.deployment, &attempt, &compensations)
                    .await
                    .map(|()| Output::Cancelled),
                Err(reason) => Err(Fault::Guest(format!("what is to be undone cannot be told: {reason}"))),
            }
        };
        let branches = Branches(&attempt);
        let ended = tokio::select! {
            biased;
            ended = work => ended,
            // What its guest began beside itself has failed: that is the end of all.
            () = attempt.branch_failed() => Err(attempt.fault().unwrap_or(Fault::Fenced)),
            // Somebody has appended after us: what this guest does from here on comes to nothing.
            () = self.halt.asked() => Err(Fault::Fenced),
        };
        attempt.end_branches().await;
        drop(branches);
        if let (Ok(output), Some(_)) = (&ended, &header.workflow) {
            attempt.end_workflow(&match output {
                Output::Sent(returned) => WorkflowEnd::Returned(returned.clone()),
                Output::Cancelled | Output::Http(_) | Output::Scheduled(_) => WorkflowEnd::Cancelled,
            });
        }
        let result = match ended {
            Ok(output @ Output::Cancelled) => attempt.finish_cancelled(encode(&output)).await.map(|()| output),
            // The next event of its key waits for it.
            Ok(output) if header.function == SUBSCRIBER_FUNCTION => {
                attempt.finish_at_once(encode(&output)).await.map(|()| output)
            }
            Ok(output) => {
                let keep = !matches!(&output, Output::Http(response) if response.status >= 400);
                attempt.finish(encode(&output), keep).await.map(|()| output)
            }
            Err(fault) => Err(attempt.fail(fault)),
        };
        match &result {
            Ok(_) => span.succeed(),
            Err(Fault::Suspended) => span.set("nexus.suspended", true),
            Err(fault) => {
                span.fail(fault.word());
                span.set(
                    "nexus.blame",
                    match fault.blame() {
                        Blame::Guest => "guest",
                        Blame::Host => "host",
                    },
                );
            }
        }
        drop(span);
        let wrote = attempt.tallied();
        self.inner
            .metrics
            .attempted(&header.component, result.as_ref().err(), wrote);
        let cause = Cause::new(
            attempt.last_position(),
            &match &result {
                Err(fault) => fault.to_string(),
                Ok(_) => String::new(),
            },
            matches!(&result, Err(Fault::Trap(_))),
        );
        self.progress.set(match attempt.may_be_durable() {
            true => Seen::Durable,
            false => Seen::Nothing,
        });
        let is_appending = attempt.is_appending();
        match attempt.into_machine() {
            Some((mut machine, unwritten)) => {
                machine.rewind();
                (self.machine, self.unwritten) = (machine, unwritten);
                match result {
                    // A sibling of what failed was about to become durable: whether it has is for a fence to say.
                    Err(fault) if is_appending => (Err(Fault::CommitUnknown(fault.to_string())), cause),
                    result => (result, cause),
                }
            }
            // Something of the instance outlives it (a connection being rolled back): what it noted is out of reach, so
            // only what is durable counts.
            None => {
                // Unless something is durable, the fence begins the invocation, and its key goes with its begin.
                self.unwritten.claim = claim;
                (result.map_err(|fault| Fault::CommitUnknown(fault.to_string())), cause)
            }
        }
    }

    /// The span of an attempt. What it belongs to is in the journal's header, and else follows from the invocation's id: so it is in the
    /// same trace as those before it, whichever node they ran on.
    fn begin_span(&self, header: &Header) -> Span {
        let traces = &self.inner.traces;
        if !traces.is_on() {
            return Span::default();
        }
        let parent = Parent::of(&header.trace_parent).or_invocation(self.invocation.0.as_u128());
        // Somebody waits for a request's answer; of all others their beginners know nothing more.
        let kind = match header.function == HTTP_FUNCTION {
            true => SpanKind::Internal,
            false => SpanKind::Consumer,
        };
        let mut span = traces.begin(kind, || format!("attempt {}", header.component), &parent);
        span.set_text("nexus.invocation.id", self.invocation);
        span.set_text("nexus.component", &header.component);
        span.set_text("nexus.function", &header.function);
        span.set("nexus.attempt", i64::from(self.attempts));
        span.set_text("nexus.node.id", self.inner.store.node());
        span
    }

    fn trace_id(&self) -> TraceId {
        host_traces::trace_id(&self.machine.header().trace_parent, self.invocation.0.as_u128())
    }

    /// A failure after the first effect: another attempt, later, or a person. `None`: go on here.
    async fn after_failure(&mut self, fault: &Fault, mut cause: Cause) -> Option<Ended> {
        let mut failures = failures_in_a_row(&self.machine);
        failures.push(cause.clone());
        let failed = cause.text.clone();
        let header = self.machine.header();
        let mut policy = self.inner.retry_policy(header);
        if matches!(fault, Fault::AppendRefused(_)) {
            policy.attempts = policy.attempts.min(MAX_REFUSALS);
        }
        let age_ms = self.inner.clock.unix_ms().saturating_sub(header.started_ms);
        let decision = fault
            .is_transient()
            .then(|| decide(policy, &failures, age_ms, self.inner.rng.below(u64::MAX)));
        let (reason, status, delay_ms) = match decision {
            Some(Decision::Retry { delay_ms }) => (FenceReason::Retry(cause), InvocationStatus::Running, delay_ms),
            Some(Decision::Pause { because }) => {
                cause.text = format!("{}; {because}", cause.text);
                (FenceReason::Pause(cause), InvocationStatus::Paused, 0)
            }
            None => (FenceReason::Pause(cause), InvocationStatus::Paused, 0),
        };
        let component = &self.machine.header().component;
        match status {
            InvocationStatus::Paused => self.inner.metrics.paused(component),
            _ => self.inner.metrics.retried(component),
        }
        tracing::warn!(
            invocation.id = %self.invocation, component.id = %component, trace_id = %self.trace_id(), fault = %failed, %status,
            delay_ms, failures = failures.len(), "an attempt failed",
        );
        match self.inner.refence(self.invocation, reason, status, delay_ms).await {
            Some(recovered) if status == InvocationStatus::Running && delay_ms <= HELD_RETRY_MS => {
                self.take(recovered);
                self.hold(delay_ms).await
            }
            Some(_) | None => Some(Ended::Open),
        }
    }

    /// Keeps its turn until the next attempt, unless somebody has a word to say.
    async fn hold(&mut self, delay_ms: u64) -> Option<Ended> {
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(delay_ms)) => None,
            () = self.halt.asked() => self.recover().await,
        }
    }

    /// Forgets what is noted and not durable.
    async fn look_again(&mut self) -> Option<Ended> {
        if self.machine.is_durable() {
            return self.recover().await;
        }
        self.machine = Machine::start(self.machine.header().clone());
        self.unwritten = Unwritten::new(self.unwritten.start.take(), self.unwritten.claim.take());
        None
    }

    /// An append failed, or nobody knows: fence, reload, replay.
    async fn recover(&mut self) -> Option<Ended> {
        self.halt.forget();
        match self
            .inner
            .recover(self.invocation, &self.machine, self.salt, self.unwritten.claim.take())
            .await
        {
            crate::recovery::Outcome::Ours(recovered) => {
                self.take(*recovered);
                None
            }
            crate::recovery::Outcome::Ended(output) => Some(Ended::Output(output)),
            crate::recovery::Outcome::KeyTaken => Some(Ended::KeyTaken),
            crate::recovery::Outcome::Elsewhere => Some(Ended::Open),
        }
    }

    fn take(&mut self, recovered: Recovered) {
        self.machine = recovered.machine;
        self.attempts = recovered.attempts;
        self.unwritten = Unwritten::default();
    }
}

/// Stops what goes on beside the guest when its run is dropped.
pub(crate) struct Branches<'a>(pub(crate) &'a Arc<Attempt>);

impl Drop for Branches<'_> {
    fn drop(&mut self) {
        self.0.abort_branches();
    }
}

pub(crate) async fn call(
    deployment: &Arc<dyn Handlers>,
    attempt: &Arc<Attempt>,
    header: &Header,
) -> Result<Output, Fault> {
    let malformed = |_| Fault::Guest("the recorded input is malformed".into());
    match header.function.as_str() {
        HTTP_FUNCTION => {
            let request: HttpRequest = minicbor::decode(&header.input).map_err(malformed)?;
            Arc::clone(deployment)
                .call_http(attempt.recorder(), &header.component, request)
                .await
                .map(Output::Http)
        }
        SCHEDULED_FUNCTION => {
            let input: ScheduledInput = minicbor::decode(&header.input).map_err(malformed)?;
            let result = Arc::clone(deployment)
                .call_scheduled(attempt.recorder(), &header.component, input)
                .await?;
            Ok(Output::Scheduled(result.err()))
        }
        SUBSCRIBER_FUNCTION => {
            let delivered: Delivered = minicbor::decode(&header.input).map_err(malformed)?;
            Arc::clone(deployment)
                .call_subscriber(attempt.recorder(), &header.component, delivered)
                .await?;
            Ok(Output::Scheduled(None))
        }
        exported => {
            let (interface, function) = exported
                .rsplit_once('.')
                .ok_or_else(|| Fault::Guest(format!("nothing answers {exported}")))?;
            Arc::clone(deployment)
                .call_sent(
                    attempt.recorder(),
                    &header.component,
                    interface,
                    function,
                    &header.input,
                )
                .await
                .map(Output::Sent)
        }
    }
}

/// The failures after the last entry that was progress, oldest first. What the failed attempt noted and did not write is none: it is
/// forgotten, and the next attempt notes it again.
fn failures_in_a_row(machine: &Machine) -> Vec<Cause> {
    let durable = machine.entries().len() - machine.pending().len();
    let mut failures: Vec<Cause> = machine.entries()[..durable]
        .iter()
        .rev()
        .map_while(|Entry { body, .. }| match body {
            Body::Fence {
                reason: FenceReason::Retry(cause),
                ..
            } => Some(Some(cause.clone())),
            Body::Fence {
                reason: FenceReason::TakeOver,
                ..
            } => Some(None),
            _ => None,
        })
        .flatten()
        .collect();
    failures.reverse();
    failures
}

/// A value of ours as a payload.
pub(crate) fn encode<T: Encode<()>>(value: &T) -> Payload {
    // Plain fields into a vector: there is nothing that could fail.
    minicbor::to_vec(value)
        .expect("a recorded value has an encoding")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_repeated_ten_times_whatever_room_there_was_meanwhile() {
        let (again, no_room) = (
            Fault::RepeatTransaction("deadlock".into()),
            Fault::Overloaded("no instance came free".into()),
        );
        let mut repeats = Repeats::default();
        let mut waits = Vec::new();
        for _ in 0..10 {
            assert!(repeats.again_within_ms(&no_room).is_some());
            waits.extend(repeats.again_within_ms(&again));
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 128, 128, 128]);
        assert_eq!(repeats.again_within_ms(&again), None);
        assert!(
            again.is_transient(),
            "then it is a failure that is tried again like others"
        );
        for _ in 10..16 {
            assert!(repeats.again_within_ms(&no_room).is_some());
        }
        assert_eq!(repeats.again_within_ms(&no_room), None);
        assert_eq!(
            Repeats::default().again_within_ms(&Fault::Trap("unreachable".into())),
            None
        );
    }
}
