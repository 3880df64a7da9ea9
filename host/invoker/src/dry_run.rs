//! A stored invocation run once more from its journal, on these revisions or others, without any effect: neither a lease nor a
//! journal is touched, whoever owns the invocation, and whether it has ended or not.

use std::fmt;
use std::sync::Arc;

use host_journal::{Beyond, Body, Entry, FenceReason, Header, Machine, Payload, Returned};
use host_recorder::Attempt;
use host_store::{Deployment as StoredDeployment, Loaded};
use host_types::{ComponentId, DeploymentNumber, Digest, Fault, InvocationId, Position};

use crate::compensate;
use crate::deployments::{Bytes, replaced};
use crate::handlers::Handlers;
use crate::invoker::{Inner, Invoker};
use crate::operate::OperateError;
use crate::run::{Branches, Output, call, encode};

/// On which revisions.
#[derive(Debug, Clone, Default)]
pub struct DryRunOptions {
    /// Those the invocation began with, instead of today's.
    pub pinned: bool,
    /// These bytes for one of them.
    pub with: Option<Replacement>,
}

/// Other bytes for one component.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// Which; the one the invocation began in when none is named.
    pub component: Option<ComponentId>,
    /// A component in WebAssembly's binary format.
    pub wasm: Vec<u8>,
}

/// What a dry run found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// The deployment whose revisions ran.
    pub deployment: DeploymentNumber,
    /// What stood in for one of them.
    pub replaced: Option<(ComponentId, Digest)>,
    /// Entries of the journal.
    pub entries: u32,
    /// Commands that were the recorded ones.
    pub compared: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a dry run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The same commands and the same output, all of them.
    Same,
    /// The same commands, and it returned; no output is recorded to compare with.
    Returned,
    /// The same commands up to the end of the record, where it goes on with another, or waits for the last.
    GoesOn(Beyond),
    /// The same commands, and another output.
    OtherOutput {
        /// One side.
        recorded: String,
        /// The other.
        returned: String,
    },
    /// Something else than is recorded.
    Differs {
        /// Where.
        position: Position,
        /// One side.
        recorded: String,
        /// The other.
        asked: String,
    },
    /// The guest fails before anything differs.
    Fails {
        /// The last command it had issued, when it had issued one.
        position: Option<Position>,
        /// How.
        fault: String,
    },
    /// One of the others, and no evidence: a component's secret was changed after it was read. Where nothing differs, some request was taken
    /// for the recorded one without comparing all of it; where something does, it may have been made with the secret.
    OtherSecret(Box<Self>),
}

impl Outcome {
    /// Nothing is different.
    pub const fn is_same(&self) -> bool {
        matches!(self, Self::Same | Self::Returned | Self::GoesOn(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => write!(f, "the same commands, and the same output"),
            Self::Returned => write!(f, "the same commands, and it returned"),
            Self::GoesOn(beyond) => write!(f, "the same commands, and on with {} {}", beyond.kind, beyond.target),
            Self::OtherOutput { recorded, returned } => {
                write!(f, "the output recorded is {recorded}, now it is {returned}")
            }
            Self::Differs {
                position,
                recorded,
                asked,
            } => write!(f, "at {position} recorded is {recorded}, asked for is {asked}"),
            Self::Fails {
                position: Some(position),
                fault,
            } => write!(f, "after {position} it fails: {fault}"),
            Self::Fails { position: None, fault } => write!(f, "it fails: {fault}"),
            Self::OtherSecret(found) => {
                write!(
                    f,
                    "a secret was changed after it was read, so this is not comparable: {found}"
                )
            }
        }
    }
}

impl Invoker {
    /// Runs it once more, without any effect. One at a time on a node: it costs what an attempt costs, and a compilation.
    pub async fn dry_run(&self, invocation: InvocationId, options: DryRunOptions) -> Result<DryRun, OperateError> {
        let inner = &self.inner;
        let _turn = inner.dry_runs.lock().await;
        let Loaded { row, entries } = inner.loaded_whole(invocation).await?;
        let (deployment, replaced) = inner.revisions_for(&row.component, row.deployment, options).await?;
        let found = inner.dry_run_on(invocation, entries, &deployment).await?;
        Ok(DryRun { replaced, ..found })
    }
}

impl Inner {
    /// Runs a history once more on this deployment.
    pub(crate) async fn dry_run_on(
        &self,
        invocation: InvocationId,
        entries: Vec<Entry>,
        deployment: &Arc<dyn Handlers>,
    ) -> Result<DryRun, OperateError> {
        let mut found = DryRun {
            deployment: deployment.number(),
            replaced: None,
            entries: entries.len() as u32,
            compared: 0,
            outcome: Outcome::Same,
        };
        // What a cancelled invocation did before is the handler's; what it undoes is nobody's but the host's.
        let cancelled = entries.iter().position(is_cancel);
        let before = entries[..cancelled.unwrap_or(entries.len())].to_vec();
        found.outcome = self
            .handler(invocation, deployment, before, &mut found.compared)
            .await?;
        if cancelled.is_some() && found.outcome.is_same() {
            found.outcome = self
                .compensations(invocation, deployment, entries, &mut found.compared)
                .await?;
        }
        Ok(found)
    }

    async fn loaded_whole(&self, invocation: InvocationId) -> Result<Loaded, OperateError> {
        let loaded = match self.store.load(invocation).await {
            Ok(loaded) => loaded.ok_or(OperateError::NotFound(invocation))?,
            Err(error) if error.is_erased() => {
                let text = "the payloads of the invocation were erased when it ended: there is nothing to run it from";
                return Err(OperateError::Refused(text.into()));
            }
            Err(error) => return Err(OperateError::Store(error.to_string())),
        };
        if loaded.entries.is_empty() {
            let text = "the journal of the invocation was dropped after its retention: there is nothing to run it from";
            return Err(OperateError::Refused(text.into()));
        }
        Ok(loaded)
    }

    /// The deployment to run on.
    async fn revisions_for(
        &self,
        began_in: &ComponentId,
        pinned: DeploymentNumber,
        options: DryRunOptions,
    ) -> Result<(Arc<dyn Handlers>, Option<(ComponentId, Digest)>), OperateError> {
        let base = match options.pinned {
            true => self.pinned(pinned).await.map_err(|fault| {
                OperateError::Refused(format!("deployment {pinned}, which the invocation began with: {fault}"))
            })?,
            false => self.current(),
        };
        let Some(Replacement { component, wasm }) = options.with else {
            return Ok((base, None));
        };
        let Some(made_of) = Arc::clone(&base).deployment() else {
            return Err(OperateError::Refused(
                "what answers here is not made of components".into(),
            ));
        };
        let component = component.unwrap_or_else(|| began_in.clone());
        if !base.has(&component) {
            let known: Vec<_> = made_of.revisions().map(|(id, _)| id.to_string()).collect();
            return Err(OperateError::Malformed(format!(
                "there is no component {component}; there are {}",
                known.join(", ")
            )));
        }
        let digest = Digest::of(&wasm);
        let stored = StoredDeployment {
            number: base.number(),
            components: replaced(made_of.revisions(), &component, digest),
            manifest: base.manifest(),
        };
        let bytes = Bytes::of(&*self.store).with(digest, wasm);
        let deployed = self.runtime.deploy(&stored, &bytes).await;
        let deployed = deployed.map_err(|error| {
            OperateError::Malformed(format!("these bytes do not run in the place of {component}: {error}"))
        })?;
        Ok((deployed, Some((component, digest))))
    }

    /// Calls what the invocation began with.
    async fn handler(
        &self,
        invocation: InvocationId,
        deployment: &Arc<dyn Handlers>,
        history: Vec<Entry>,
        compared: &mut u32,
    ) -> Result<Outcome, OperateError> {
        let machine = machine(history)?;
        let header = Header::clone(machine.header());
        let recorded = machine.recorded_output().cloned();
        let attempt = Attempt::dry_run(invocation, machine, Arc::clone(&self.clock));
        let branches = Branches(&attempt);
        let ran = call(deployment, &attempt, &header).await;
        attempt.end_branches().await;
        drop(branches);
        let outcome = outcome(&attempt, ran.map(|output| encode(&output)), recorded.as_ref());
        *compared += attempt.compared();
        Ok(outcome)
    }

    /// Undoes what a cancelled invocation has to undo.
    async fn compensations(
        &self,
        invocation: InvocationId,
        deployment: &Arc<dyn Handlers>,
        history: Vec<Entry>,
        compared: &mut u32,
    ) -> Result<Outcome, OperateError> {
        let mut machine = machine(history)?;
        let compensations = machine.compensate().map_err(no_history)?.unwrap_or_default();
        let recorded = machine.recorded_output().cloned();
        let attempt = Attempt::dry_run(invocation, machine, Arc::clone(&self.clock));
        let branches = Branches(&attempt);
        let ran = compensate::run(deployment, &attempt, &compensations).await;
        attempt.end_branches().await;
        drop(branches);
        let outcome = outcome(&attempt, ran.map(|()| encode(&Output::Cancelled)), recorded.as_ref());
        *compared += attempt.compared();
        Ok(outcome)
    }
}

fn is_cancel(entry: &Entry) -> bool {
    matches!(
        entry.body,
        Body::Fence {
            reason: FenceReason::Cancel(_),
            ..
        }
    )
}

fn machine(history: Vec<Entry>) -> Result<Machine, OperateError> {
    Machine::dry_run(history).map_err(no_history)
}

fn no_history(reason: String) -> OperateError {
    OperateError::Refused(format!("what is stored of the invocation is no history: {reason}"))
}

fn outcome(attempt: &Attempt, ran: Result<Payload, Fault>, recorded: Option<&Payload>) -> Outcome {
    // The first fault counts, whatever the guest made of it.
    let finished = ran
        .map_err(|fault| attempt.fail(fault))
        .and_then(|output| Ok((attempt.finish_dry_run(&output)?, output)));
    let found = match (finished, attempt.beyond()) {
        (Ok((Returned::Same, _)), _) => Outcome::Same,
        (Ok((Returned::Unrecorded, _)), _) => Outcome::Returned,
        (Ok((Returned::Other, output)), _) => Outcome::OtherOutput {
            recorded: recorded.map(described).unwrap_or_default(),
            returned: described(&output),
        },
        (
            Err(Fault::Mismatch {
                position,
                recorded,
                asked,
            }),
            _,
        ) => Outcome::Differs {
            position,
            recorded,
            asked,
        },
        (Err(Fault::Suspended), Some(beyond)) => Outcome::GoesOn(beyond),
        (Err(fault), _) => Outcome::Fails {
            position: attempt.last_position(),
            fault: fault.to_string(),
        },
    };
    match attempt.is_of_other_secret(!found.is_same()) {
        true => Outcome::OtherSecret(Box::new(found)),
        false => found,
    }
}

/// An output without what is in it.
fn described(output: &Payload) -> String {
    let digest = Digest::of(output).to_string();
    let digest = &digest[..16];
    match minicbor::decode(output) {
        Ok(Output::Http(response)) => format!(
            "status {}, {} headers, a body of {} bytes ({digest})",
            response.status,
            response.headers.len(),
            response.body.len()
        ),
        Ok(Output::Scheduled(None)) => "success".into(),
        Ok(Output::Scheduled(Some(reason))) => format!("an error of {} bytes ({digest})", reason.len()),
        Ok(Output::Cancelled) => "that it was cancelled".into(),
        Ok(Output::Sent(result)) => format!("a result of {} bytes ({digest})", result.len()),
        Err(_) => format!("{} bytes ({digest})", output.len()),
    }
}
