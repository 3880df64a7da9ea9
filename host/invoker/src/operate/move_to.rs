//! `move`: an open invocation goes on with another revision of its component.

use std::sync::Arc;

use host_journal::{FenceReason, InvocationStatus};
use host_store::{Deployment, Store};
use host_types::{ComponentId, Digest, InvocationId};

use super::{Asked, OperateError, Spoken, unavailable};
use crate::deployments::replaced;
use crate::handlers::Handlers;
use crate::invoker::Invoker;
use crate::recovery::begin;
use crate::revisions::is_known;

impl Invoker {
    /// Pins an open invocation to a deployment in which its component has this revision: the current one, or its own with that
    /// revision in it. Before that it is run once more from its journal, without any effect; where it does otherwise than is recorded it
    /// stays where it is. A paused one stays paused. One that is pinned to that revision already is left alone.
    pub async fn move_to(
        &self,
        store: &Store,
        invocation: InvocationId,
        revision: Digest,
        asked: &Asked,
    ) -> Result<(), OperateError> {
        let inner = &self.inner;
        loop {
            let mut loaded = self.open(invocation, "an open one", "moved").await?;
            let component = loaded.row.component.clone();
            let pinned = store.deployment(loaded.row.deployment).await.map_err(unavailable)?;
            if pinned.components.contains(&(component.clone(), revision)) {
                return Ok(());
            }
            let older = store.older_nodes().await.map_err(unavailable)?;
            if !older.is_empty() {
                let text = "these nodes run a program that would not heed the move: replace them first";
                return Err(OperateError::Refused(format!("{text}: {}", older.join(", "))));
            }
            let deployment = self.with_revision(store, &pinned, &component, revision).await?;
            let number = deployment.number();
            let found = {
                let _turn = inner.dry_runs.lock().await;
                inner
                    .dry_run_on(invocation, loaded.entries.clone(), &deployment)
                    .await?
            };
            if !found.outcome.is_same() {
                return Err(OperateError::Differs {
                    number,
                    outcome: Box::new(found.outcome),
                });
            }
            loaded.pin_to(number);
            let is_paused = loaded.row.status == InvocationStatus::Paused;
            let spoken = Spoken {
                verb: "move",
                outcome: format!("pinned to deployment {number}, {component} {revision}"),
                reason: FenceReason::TakeOver,
                more: Vec::new(),
                // A suspended one waits again on its own when it has come to the end of its record: of what would have woken it
                // meanwhile nothing is lost.
                status: match is_paused {
                    true => InvocationStatus::Paused,
                    false => InvocationStatus::Running,
                },
                deployment: Some(number),
            };
            let is_ahead = super::word::not_before(&loaded.entries, inner.clock.unix_ms()).is_some();
            if let Some(recovered) = inner.say(loaded, spoken, asked).await? {
                if !is_paused && !is_ahead && !inner.is_draining() {
                    begin(inner, recovered).await;
                }
                return Ok(());
            }
        }
    }

    async fn with_revision(
        &self,
        store: &Store,
        pinned: &Deployment,
        component: &ComponentId,
        revision: Digest,
    ) -> Result<Arc<dyn Handlers>, OperateError> {
        let inner = &self.inner;
        let current = inner.current();
        if let Some(made_of) = Arc::clone(&current).deployment()
            && made_of
                .revisions()
                .any(|(id, digest)| id == component && digest == revision)
        {
            return Ok(current);
        }
        let known = store.known_revision(component, revision).await.map_err(unavailable)?;
        is_known(component, revision, &known)?;
        let members = pinned.components.iter().map(|(id, digest)| (id, *digest));
        let set = replaced(members, component, revision);
        let registering = store.register_set(&set, pinned.manifest.as_deref());
        let number = registering.await.map_err(unavailable)?;
        let deployment = inner.pinned(number).await;
        deployment.map_err(|fault| {
            OperateError::Refused(format!(
                "{component} {revision} does not run beside what else the invocation is pinned to: {fault}"
            ))
        })
    }
}
