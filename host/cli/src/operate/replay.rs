//! A dry run, as the admin port tells it.

use host_admin::{ReplacedView, ReplayOutcome, ReplayView, Replaying, RevisionDigest};
use host_invoker::{DryRun, DryRunOptions, Outcome, Replacement};
use host_types::InvocationId;

pub(super) fn options(replaying: Replaying) -> DryRunOptions {
    let Replaying {
        pinned,
        component,
        wasm,
    } = replaying;
    DryRunOptions {
        pinned,
        with: (!wasm.is_empty()).then(|| Replacement {
            component,
            wasm: wasm.into(),
        }),
    }
}

pub(super) fn view(invocation: InvocationId, found: DryRun) -> ReplayView {
    let DryRun {
        deployment,
        replaced,
        entries,
        compared,
        outcome,
    } = found;
    ReplayView {
        invocation,
        deployment,
        replaced: replaced.map(|(component, revision)| ReplacedView {
            component,
            revision: RevisionDigest(revision),
        }),
        entries,
        compared,
        same: outcome.is_same(),
        outcome: ended(outcome),
    }
}

fn ended(outcome: Outcome) -> ReplayOutcome {
    match outcome {
        Outcome::Same => ReplayOutcome::Same,
        Outcome::Returned => ReplayOutcome::Returned,
        Outcome::GoesOn(beyond) => ReplayOutcome::GoesOn {
            position: (&beyond.position).into(),
            command: format!("{} {}", beyond.kind, beyond.target),
            begun: beyond.begun,
        },
        Outcome::OtherOutput { recorded, returned } => ReplayOutcome::Differs {
            position: None,
            recorded,
            asked: returned,
        },
        Outcome::Differs {
            position,
            recorded,
            asked,
        } => ReplayOutcome::Differs {
            position: Some((&position).into()),
            recorded,
            asked,
        },
        Outcome::Fails { position, fault } => ReplayOutcome::Fails {
            position: position.as_ref().map(Into::into),
            fault,
        },
        Outcome::OtherSecret(found) => ReplayOutcome::OtherSecret {
            found: Box::new(ended(*found)),
        },
    }
}
