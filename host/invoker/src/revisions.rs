//! Other revisions in the place of files: checked, activated on all nodes, taken back.
//!
//! What is active is a row, and a node follows the rows: it makes the deployment they say, lends it to what begins from then on, and
//! acknowledges. Whoever activates waits for all live nodes to have done so, so that afterwards nothing begins on what was before.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use host_runtime::{Deployment, FetchRevisions, NotFetched, Revision, Runtime, failing_statements};
use host_store::{Activation, Active, Behind, ComponentWord, Deployment as StoredDeployment, Known, Store, Wake};
use host_types::{ComponentId, DeploymentNumber, Digest};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::deployments::{Bytes, not_fetched, replaced};
use crate::handlers::Handlers;
use crate::invoker::Invoker;
use crate::operate::{Asked, OperateError, unavailable};

/// The slow look, for what no notification told of.
const POLL: Duration = Duration::from_secs(5);
/// Between two looks at who has followed: a lease can run out without a word.
const LOOK: Duration = Duration::from_millis(250);
/// How long an activation waits for the nodes. A node that has the revision to compile needs most of it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many revisions back are told.
const TOLD: u32 = 10;
/// How many of the statements are named that keep a revision out.
const NAMED: usize = 20;

/// What a node that starts begins with.
pub struct First {
    /// What its invocations run on.
    pub deployment: Arc<Deployment>,
    files: Vec<(ComponentId, Digest)>,
    sequence: i64,
}

/// The revisions of this node, and of all nodes that were started with the same files.
pub struct Revisions {
    invoker: Invoker,
    store: Arc<Store>,
    /// What the node was started with.
    files: Vec<(ComponentId, Digest)>,
    /// Up to where it has followed. Held while it follows.
    reached: Mutex<i64>,
    /// Held while an upload is checked: one at a time, since it costs a compilation.
    checking: Mutex<()>,
}

/// A revision that may be activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// Which.
    pub revision: Digest,
    /// The component had no such revision before.
    pub is_new: bool,
}

/// What is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activated {
    /// The revision.
    pub revision: Digest,
    /// The deployment of this node's new invocations.
    pub deployment: DeploymentNumber,
    /// It was active before it was asked for.
    pub was_active: bool,
}

/// What stands in for a component's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The file.
    pub file: Digest,
    /// What is active.
    pub revision: Digest,
    /// Since when an operator wants it, milliseconds since 1970-01-01 UTC; none: the file was never replaced.
    pub since_ms: Option<i64>,
    /// What rollbacks would go back to, one after the other.
    pub back_to: Vec<Digest>,
}

impl First {
    /// Keeps the bytes of these files, and makes what operators want in their place. Returns when no activation is left that this node
    /// does not know: from then on others wait for it.
    pub async fn make(store: &Store, runtime: &Runtime, files: Vec<Revision>) -> Result<Self, OperateError> {
        let registered: Vec<_> = files
            .iter()
            .map(|(id, digest, wasm)| (id.clone(), *digest, wasm.as_slice()))
            .collect();
        let manifest = runtime.app().pinned();
        let registering = store.register_deployment(&registered, Some(&manifest));
        registering.await.map_err(unavailable)?;
        let set: Vec<_> = files.iter().map(|(id, digest, _)| (id.clone(), *digest)).collect();
        let bytes = AtStart { files, store };
        loop {
            let active = store.active(&set).await.map_err(unavailable)?;
            let registering = store.register_set(&active.components, Some(&manifest));
            let number = registering.await.map_err(unavailable)?;
            let deploying = runtime.deploy_from(number, runtime.app(), &active.components, &bytes);
            let deployed = deploying.await;
            let checked = deployed.and_then(|deployment| deployment.check().map(|()| deployment));
            let deployment = checked.map_err(|error| stands_in(&set, &active, &error.to_string()))?;
            if store
                .acknowledge_first(active.sequence, number)
                .await
                .map_err(unavailable)?
            {
                return Ok(Self {
                    deployment: Arc::new(deployment),
                    files: set,
                    sequence: active.sequence,
                });
            }
        }
    }
}

/// Why a node does not start, and by whom.
fn stands_in(files: &[(ComponentId, Digest)], active: &Active, error: &str) -> OperateError {
    let swapped = active.components.iter().filter(|member| !files.contains(member));
    let swapped: Vec<_> = swapped
        .map(|(component, revision)| format!("{component} {revision}"))
        .collect();
    OperateError::Refused(match swapped.len() {
        0 => error.to_owned(),
        _ => format!(
            "{error}\noperators have activated revisions in the place of files: {}; where the other files do not go with one, \
             take it back (`nexus rollback`) on a node with the files before, or build its component anew, which overrides it",
            swapped.join(", ")
        ),
    })
}

/// The bytes of files, and of what is in the database.
struct AtStart<'a> {
    files: Vec<Revision>,
    store: &'a Store,
}

impl FetchRevisions for AtStart<'_> {
    fn fetch<'a>(
        &'a self,
        component: &'a ComponentId,
        digest: Digest,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, NotFetched>> + Send + 'a>> {
        Box::pin(async move {
            match self.files.fetch(component, digest).await {
                Ok(wasm) => Ok(wasm),
                Err(_) => self.store.revision(digest).await.map_err(not_fetched),
            }
        })
    }
}

impl Revisions {
    /// Of this invoker's node, which began with `first`.
    pub fn new(invoker: Invoker, store: Arc<Store>, first: First) -> Self {
        Self {
            invoker,
            store,
            files: first.files,
            reached: Mutex::new(first.sequence),
            checking: Mutex::default(),
        }
    }

    /// Follows what is activated, here and elsewhere. Runs until dropped.
    pub async fn run(&self) {
        let deployments = &self.invoker.inner.deployments;
        loop {
            if let Err(error) = self.follow().await {
                tracing::error!(%error, "what an operator activated cannot be followed; trying again");
            }
            tokio::select! {
                biased;
                () = deployments.activated.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Makes what is active what new invocations run on, and says so.
    async fn follow(&self) -> Result<(), OperateError> {
        let mut reached = self.reached.lock().await;
        let active = self.store.active(&self.files).await.map_err(unavailable)?;
        if active.sequence == *reached {
            return Ok(());
        }
        let deployment = match self.made(&active.components).await {
            Ok(deployment) => deployment,
            Err(error) => {
                self.store
                    .cannot_activate(&error.to_string())
                    .await
                    .map_err(unavailable)?;
                return Err(error);
            }
        };
        let deployments = &self.invoker.inner.deployments;
        let number = deployment.number();
        if deployments.current().number() != number {
            deployments.swap(deployment);
            tracing::info!(deployment = %number, sequence = active.sequence, "new invocations run on another deployment");
        }
        self.store
            .acknowledge(active.sequence, number)
            .await
            .map_err(unavailable)?;
        *reached = active.sequence;
        self.store.notify(Wake::Node);
        Ok(())
    }

    /// The deployment of this set under the manifest of this node, at hand.
    async fn made(&self, set: &[(ComponentId, Digest)]) -> Result<Arc<dyn Handlers>, OperateError> {
        let manifest = self.invoker.inner.current().manifest();
        let registering = self.store.register_set(set, manifest.as_deref());
        let number = registering.await.map_err(unavailable)?;
        let made = self.invoker.inner.pinned(number).await;
        made.map_err(|error| OperateError::Malformed(error.to_string()))
    }

    fn file(&self, component: &ComponentId) -> Result<Digest, OperateError> {
        let found = self.files.iter().find(|(id, _)| id == component);
        found.map(|(_, digest)| *digest).ok_or_else(|| {
            let known: Vec<_> = self.files.iter().map(|(id, _)| id.to_string()).collect();
            OperateError::NoComponent(format!(
                "there is no component {component}; there are {}",
                known.join(", ")
            ))
        })
    }

    /// What stands in for the file of each component.
    pub async fn standing(&self) -> Result<Vec<(ComponentId, Standing)>, OperateError> {
        let mut all = Vec::with_capacity(self.files.len());
        for (component, file) in &self.files {
            let found = self.store.activations(component, *file, TOLD + 1).await;
            all.push((component.clone(), standing(*file, &found.map_err(unavailable)?)));
        }
        Ok(all)
    }

    /// Checks these bytes in the place of the component's, beside what is active of the others, and keeps them. Nothing of what is
    /// refused is kept.
    pub async fn upload(&self, component: &ComponentId, wasm: Vec<u8>) -> Result<Uploaded, OperateError> {
        self.file(component)?;
        let inner = &self.invoker.inner;
        let _checking = self.checking.lock().await;
        let active = self.store.active(&self.files).await.map_err(unavailable)?;
        let revision = Digest::of(&wasm);
        let set = with(&active, component, revision);
        let bytes = Bytes::of(&*inner.store).with(revision, wasm.clone());
        let current = inner.current();
        let stored = StoredDeployment {
            number: current.number(),
            components: set.clone(),
            manifest: current.manifest(),
        };
        let deployed = inner.runtime.deploy(&stored, &bytes).await;
        let deployed = deployed.map_err(|error| does_not_run(component, &error.to_string()))?;
        self.check(component, &deployed)?;
        check_statements(component, &deployed, &wasm).await?;
        let known = self.store.known_revision(component, revision).await;
        let is_new = known.map_err(unavailable)? != Known::Yes;
        self.store.keep_revision(revision, &wasm).await.map_err(unavailable)?;
        // It is at hand when it is activated, here and on other nodes; and with its set registered, it is known to be this component's.
        let made = self.made(&set).await?;
        self.store.notify(Wake::Prepare(made.number()));
        Ok(Uploaded { revision, is_new })
    }

    /// Whether it may stand in: everything that others and the manifest need of it is there, and requests reach it as before.
    fn check(&self, component: &ComponentId, deployed: &Arc<dyn Handlers>) -> Result<(), OperateError> {
        let (Some(made), Some(current)) = (Arc::clone(deployed).deployment(), self.invoker.deployment()) else {
            return Err(OperateError::Refused(
                "what answers here is not made of components".into(),
            ));
        };
        made.check()
            .map_err(|error| does_not_run(component, &error.to_string()))?;
        if made.is_streamed(component) != current.is_streamed(component) {
            let text = "one of the two is journaled and the other is not: such a change is a release, not a swap";
            return Err(does_not_run(component, text));
        }
        Ok(())
    }

    /// Puts a revision in the place of the component's file, on all nodes that have this file. Returns when each live node's new
    /// invocations run on it. Said again, it waits again.
    pub async fn activate(
        &self,
        component: &ComponentId,
        revision: Digest,
        asked: &Asked,
    ) -> Result<Activated, OperateError> {
        let file = self.file(component)?;
        loop {
            let active = self.store.active(&self.files).await.map_err(unavailable)?;
            if active.components.contains(&(component.clone(), revision)) {
                self.followed(active.sequence).await?;
                return Ok(self.activated(revision, true));
            }
            let known = self.store.known_revision(component, revision).await;
            is_known(component, revision, &known.map_err(unavailable)?)?;
            let below = self.store.activations(component, file, 1).await.map_err(unavailable)?;
            let word = self.word("activate", component, file, revision, asked);
            let word = ComponentWord {
                below: below.first().map(|activation| activation.sequence),
                ..word
            };
            if let Some(activated) = self.say(word, &active).await? {
                return Ok(activated);
            }
        }
    }

    /// Activates what was active before: what an earlier activation put there, or the file. Of two that ask at once one is refused,
    /// since both mean the same step.
    pub async fn rollback(&self, component: &ComponentId, asked: &Asked) -> Result<Activated, OperateError> {
        let file = self.file(component)?;
        let mut meant = None;
        loop {
            let active = self.store.active(&self.files).await.map_err(unavailable)?;
            // Three: what stands, what it goes back to, and what that would go back to.
            let found = self.store.activations(component, file, 3).await.map_err(unavailable)?;
            let Some(revision) = standing(file, &found).back_to.first().copied() else {
                return Err(OperateError::Refused(format!(
                    "{component} runs the file that the node was started with: there is nothing to go back to"
                )));
            };
            let top = found.first().map(|activation| activation.sequence);
            if *meant.get_or_insert(top) != top {
                let text =
                    format!("somebody else has just changed what is active of {component}: look, and say it again");
                return Err(OperateError::Refused(text));
            }
            let word = self.word("rollback", component, file, revision, asked);
            let word = ComponentWord {
                below: found.get(2).map(|activation| activation.sequence),
                ..word
            };
            if let Some(activated) = self.say(word, &active).await? {
                return Ok(activated);
            }
        }
    }

    fn word(
        &self,
        verb: &'static str,
        component: &ComponentId,
        file: Digest,
        revision: Digest,
        asked: &Asked,
    ) -> ComponentWord {
        let place = if file == revision {
            "the file itself"
        } else {
            "in the place of the file"
        };
        ComponentWord {
            operator: asked.by.clone(),
            verb,
            component: component.clone(),
            replaces: file,
            revision,
            below: None,
            reason: asked.reason.clone(),
            outcome: format!("active, {place} {file}"),
        }
    }

    /// Makes it so on all nodes. `None`: something else was activated meanwhile, and it has to be checked beside that.
    async fn say(&self, word: ComponentWord, active: &Active) -> Result<Option<Activated>, OperateError> {
        let (component, revision) = (&word.component, word.revision);
        let set = with(active, component, revision);
        let deployed = self.made(&set).await;
        let deployed = deployed.map_err(|error| match error {
            OperateError::Malformed(text) => does_not_run(component, &text),
            other => other,
        })?;
        self.check(component, &deployed)?;
        let said = self.store.activate(&word, active.sequence).await;
        let Some(sequence) = said.map_err(unavailable)? else {
            return Ok(None);
        };
        tracing::info!(
            component.id = %component, %revision, sequence, verb = word.verb, operator = word.operator,
            "an operator has activated a revision",
        );
        self.store.notify(Wake::Deployment);
        self.followed(sequence).await?;
        Ok(Some(self.activated(revision, false)))
    }

    fn activated(&self, revision: Digest, was_active: bool) -> Activated {
        Activated {
            revision,
            deployment: self.invoker.inner.current().number(),
            was_active,
        }
    }

    /// Returns when all live nodes have come so far.
    async fn followed(&self, sequence: i64) -> Result<(), OperateError> {
        // This one at once. Why it cannot, if so, it says of itself as the others do.
        if let Err(error) = self.follow().await {
            tracing::error!(%error, "what an operator activated cannot be followed");
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let followed = self.invoker.inner.deployments.followed.notified();
            let behind = self.store.behind(sequence).await.map_err(unavailable)?;
            if behind.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(OperateError::Unacknowledged(unacknowledged(&behind)));
            }
            // A look is due even when nobody says anything.
            let _ = tokio::time::timeout(LOOK, followed).await;
        }
    }
}

fn unacknowledged(behind: &[Behind]) -> String {
    let named = behind.iter().map(|behind| match &behind.reason {
        Some(reason) => format!("{} ({}): {reason}", behind.name, behind.node),
        None => format!("{} ({}), which has said nothing yet", behind.name, behind.node),
    });
    format!(
        "it is active, but after {} s these nodes still begin invocations on what was before: {}; activate the same again to wait \
         longer, or roll back",
        PATIENCE.as_secs(),
        named.collect::<Vec<_>>().join("; ")
    )
}

fn with(active: &Active, component: &ComponentId, revision: Digest) -> Vec<(ComponentId, Digest)> {
    replaced(
        active.components.iter().map(|(id, digest)| (id, *digest)),
        component,
        revision,
    )
}

fn does_not_run(component: &ComponentId, reason: &str) -> OperateError {
    OperateError::Malformed(format!("these bytes do not run in the place of {component}: {reason}"))
}

/// Whether the database has what the statements need that these bytes tell of.
async fn check_statements(
    component: &ComponentId,
    deployed: &Arc<dyn Handlers>,
    wasm: &[u8],
) -> Result<(), OperateError> {
    let deployment = Arc::clone(deployed).deployment();
    let Some(module) = deployment.as_ref().and_then(|deployment| deployment.module(component)) else {
        return Ok(());
    };
    let statements = host_engine::statements(wasm).map_err(|error| does_not_run(component, &error.to_string()))?;
    let all = statements.len();
    let failing = failing_statements(module, statements).await;
    let failing = failing.map_err(|error| OperateError::Store(error.to_string()))?;
    if failing.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = failing.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match failing.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("\nand {more} more"),
    };
    let reason = format!(
        "{} of its {all} SQL statements cannot be prepared in the database as it is; where it needs another schema, migrate first:\n{}{more}",
        failing.len(),
        named.join("\n"),
    );
    Err(does_not_run(component, &reason))
}

/// Whether a revision may be activated or moved to.
pub(crate) fn is_known(component: &ComponentId, revision: Digest, known: &Known) -> Result<(), OperateError> {
    let text = match known {
        Known::Yes => return Ok(()),
        Known::OfOthers(others) => {
            let others: Vec<_> = others.iter().map(ToString::to_string).collect();
            format!("{revision} is no revision of {component}, but of {}", others.join(", "))
        }
        Known::No => format!("there is no revision {revision}"),
    };
    Err(OperateError::NoRevision(format!(
        "{text}: upload it first (`nexus deploy {component} FILE --no-activate`)"
    )))
}

fn standing(file: Digest, activations: &[Activation]) -> Standing {
    let mut revisions = activations.iter().map(|activation| activation.revision);
    let revision = revisions.next();
    let mut back_to: Vec<_> = revisions.collect();
    // Below the last one lies the file, unless it is the file that was gone back to.
    if activations.last().is_some_and(|last| last.revision != file) {
        back_to.push(file);
    }
    Standing {
        file,
        revision: revision.unwrap_or(file),
        since_ms: activations.first().map(|activation| activation.activated_ms),
        back_to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollbacks_lead_to_the_file_and_no_further() {
        let digest = |byte: u8| Digest([byte; 32]);
        let activation = |sequence: i64, byte: u8| Activation {
            sequence,
            revision: digest(byte),
            activated_ms: sequence,
        };
        let file = digest(0);
        for (activations, revision, back_to) in [
            (vec![], 0, vec![]),
            (vec![activation(1, 1)], 1, vec![file]),
            (vec![activation(2, 2), activation(1, 1)], 2, vec![digest(1), file]),
            // Went back to the file.
            (vec![activation(3, 0)], 0, vec![]),
            // Named the file, which is no going back.
            (vec![activation(2, 0), activation(1, 1)], 0, vec![digest(1), file]),
        ] {
            let standing = standing(file, &activations);
            assert_eq!((standing.revision, standing.back_to), (digest(revision), back_to));
        }
    }
}
