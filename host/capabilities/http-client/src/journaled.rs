//! What a request is to the record: an observation, or an external effect.

use std::sync::Arc;

use host_manifest::Unknown;
use host_recorder::{Arguments, Beside, ExternalEffect, ExternalStep, ObserveStep, Recorder};
use host_types::Fault;
use tokio::sync::SemaphorePermit;

use crate::record::{self, Outcome};
use crate::request::{Added, OutgoingRequest};
use crate::{Failure, Grant, HttpClient, LeaseLeft};

const TARGET: &str = "wasi:http/outgoing-handler.handle";

/// What a request is compared with the recorded one by.
struct Compared {
    whole: Vec<u8>,
    peer: Vec<u8>,
}

impl Compared {
    fn of(request: &OutgoingRequest) -> Self {
        Self {
            whole: request.whole(),
            peer: request.peer(),
        }
    }

    fn arguments(&self) -> Arguments<'_> {
        Arguments::of_request(&self.whole, &self.peer)
    }
}

/// Whether this is the first time that the effect is performed, as far as the record knows.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    First,
    /// It was begun before, and may have happened.
    Again,
}

/// Sends the request, or answers it from the record. A `Failure` is an answer; a `Fault` ends the attempt.
pub(crate) async fn send(
    client: &HttpClient,
    recorder: &Recorder,
    lease_left: &LeaseLeft,
    request: &OutgoingRequest,
) -> Result<Outcome, Fault> {
    // Grants are kept with the deployment, so a denial needs no record. Not so a host that a variable has a part in: when that variable is changed,
    // what was recorded of the host before is not reached.
    let Some(grant) = client.grant(request) else {
        return Ok(Err(Failure::Denied));
    };
    match request.is_read() {
        true => observe(client, recorder, grant, request).await,
        false => {
            Effect {
                client,
                recorder,
                lease_left,
                grant,
                request,
            }
            .perform()
            .await
        }
    }
}

/// A read under way.
pub(crate) enum Reading {
    /// There is nothing to wait for.
    Ended(Outcome),
    /// It goes on beside the guest.
    Beside(Beside<Outcome>),
}

/// Begins a request that only reads, or answers it from the record.
pub(crate) fn begin(client: &Arc<HttpClient>, recorder: &Recorder, request: OutgoingRequest) -> Result<Reading, Fault> {
    if client.grant(&request).is_none() {
        return Ok(Reading::Ended(Err(Failure::Denied)));
    }
    let observing = match recorder.begin_observation(TARGET, Compared::of(&request).arguments())? {
        ObserveStep::Recorded(recorded) => return decode(recorder, &recorded).map(Reading::Ended),
        ObserveStep::Perform(observing) => observing,
    };
    let client = Arc::clone(client);
    // As it is when this is begun, however the guest sets it afterwards.
    let (deadline_ms, begun_by) = (recorder.deadline_ms(), recorder.clone());
    let work = async move {
        let outcome = match client.grant(&request) {
            None => Err(Failure::Denied),
            Some(grant) => {
                begun_by.make_handles_durable().await?;
                let _slot = client.slot().await?;
                let left = begun_by.time_left_until(deadline_ms);
                let added = Added::trace_parent(observing.trace_parent());
                client.read(grant, &request, &added, left).await
            }
        };
        observing.observed(record::encode(&outcome))?;
        Ok(outcome)
    };
    let work = Box::new(|_| Box::pin(work) as _);
    Ok(Reading::Beside(recorder.beside(work)))
}

async fn observe(
    client: &HttpClient,
    recorder: &Recorder,
    grant: &Grant,
    request: &OutgoingRequest,
) -> Result<Outcome, Fault> {
    let mut fresh = None;
    let exchange = async |trace_parent: Option<String>| {
        recorder.make_handles_durable().await?;
        let _slot = client.slot().await?;
        let added = Added::trace_parent(trace_parent);
        let outcome = client.read(grant, request, &added, recorder.time_left()).await;
        let payload = record::encode(&outcome);
        fresh = Some(outcome);
        Ok(payload)
    };
    let recorded = recorder
        .observe_elsewhere(TARGET, Compared::of(request).arguments(), exchange)
        .await?;
    match fresh {
        Some(outcome) => Ok(outcome),
        None => decode(recorder, &recorded),
    }
}

struct Effect<'a> {
    client: &'a HttpClient,
    recorder: &'a Recorder,
    lease_left: &'a LeaseLeft,
    grant: &'a Grant,
    request: &'a OutgoingRequest,
}

impl Effect<'_> {
    async fn perform(&self) -> Result<Outcome, Fault> {
        // Before the intent: what stops here has begun nothing, and the next attempt is not in doubt. What is on record asks for neither.
        let slot = match self.recorder.is_replaying() {
            true => None,
            false => Some(self.leave().await?),
        };
        let outcome = match self
            .recorder
            .external(TARGET, Compared::of(self.request).arguments())
            .await?
        {
            ExternalStep::Recorded(recorded) => decode(self.recorder, &recorded),
            ExternalStep::Perform(effect) => self.exchange(effect, Turn::First).await,
            ExternalStep::InDoubt(effect) => match self.grant.unknown {
                Unknown::Repeat => {
                    let _slot = self.leave().await?;
                    self.exchange(effect, Turn::Again).await
                }
                Unknown::Report => {
                    let text = "the request was begun before, and its outcome was not recorded";
                    happened(effect, Err(Failure::OutcomeUnknown(text.into()))).await
                }
            },
        };
        drop(slot);
        outcome
    }

    /// A place among the requests under way, and a lease for as long as one may take.
    async fn leave(&self) -> Result<SemaphorePermit<'_>, Fault> {
        let failed = |fault| self.recorder.attempt().fail(fault);
        let slot = self.client.slot().await.map_err(failed)?;
        if !self.is_leased() {
            let text = format!("{TARGET}: too little of the lease is left to begin a request");
            return Err(failed(Fault::Transient(text)));
        }
        Ok(slot)
    }

    async fn exchange(&self, effect: ExternalEffect<'_>, turn: Turn) -> Result<Outcome, Fault> {
        // Making the intent durable may have taken its time.
        if !self.is_leased() {
            let text = "too little of the lease was left".to_owned();
            let failure = match turn {
                Turn::First => Failure::NotSent(text),
                Turn::Again => Failure::OutcomeUnknown(text),
            };
            return happened(effect, Err(failure)).await;
        }
        let added = Added {
            key: self.grant.sends_key.then(|| effect.key()),
            trace_parent: effect.trace_parent(),
        };
        let left = self.recorder.time_left();
        let exchange = self.client.effect(self.grant, self.request, &added, left).await;
        let outcome = match exchange.outcome {
            Err(failure) if !failure.is_answered() && (exchange.sent || turn == Turn::Again) => {
                Err(Failure::OutcomeUnknown(failure.to_string()))
            }
            outcome => outcome,
        };
        happened(effect, outcome).await
    }

    fn is_leased(&self) -> bool {
        (self.lease_left)() >= self.client.effect_total(self.grant)
    }
}

async fn happened(effect: ExternalEffect<'_>, outcome: Outcome) -> Result<Outcome, Fault> {
    effect.happened(record::encode(&outcome)).await?;
    Ok(outcome)
}

fn decode(recorder: &Recorder, recorded: &[u8]) -> Result<Outcome, Fault> {
    record::decode(recorded).map_err(|error| recorder.attempt().fail(Fault::Guest(error.to_string())))
}
