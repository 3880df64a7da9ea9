//! `restart`: the same input once more, as a new invocation.

use std::time::Duration;

use host_journal::{
    AppendError, Body, Entry, Header, InvocationStatus, Machine, Seed, Start, Undone, encode, standing_effects,
};
use host_store::{Fence, Loaded, Word};
use host_types::InvocationId;

use super::{Asked, OperateError, unavailable};
use crate::invoker::Invoker;
use crate::recovery::{Recovered, begin};

/// How long a restart waits for the compensations of what it cancels.
const UNDOING: Duration = Duration::from_secs(10);
/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(50);

impl Invoker {
    /// Begins an ended or a paused invocation again: the same input under a new id, with a new seed (so that all its keys are new),
    /// on the current deployment. A client that repeats its request under its key gets the answer of the new run, unless the old one has
    /// answered. A paused one is cancelled first. Refused when something it did stands and would be done again, unless
    /// forced. Whoever asks a second time gets the invocation that was begun the first time.
    pub async fn restart(
        &self,
        invocation: InvocationId,
        forced: bool,
        asked: &Asked,
    ) -> Result<InvocationId, OperateError> {
        if let Some(successor) = self.inner.store.successor(invocation).await.map_err(unavailable)? {
            return Ok(successor);
        }
        // Its payloads may be erased when it ends, so what it began with is kept in hand from here on.
        let loaded = self.loaded(invocation).await?;
        let status = loaded.row.status;
        let Some(Body::Started(header)) = loaded.entries.first().map(|entry| entry.body.clone()) else {
            return Err(OperateError::Refused(
                "a stored history does not begin with its start".into(),
            ));
        };
        let standing = if status.is_final() {
            self.standing(&loaded, Undone::AsRecorded)?
        } else if status == InvocationStatus::Paused {
            self.standing(&loaded, Undone::All)?
        } else {
            return Err(OperateError::State {
                status,
                expected: "an ended or a paused one",
                verb: "restarted",
            });
        };
        if !standing.is_empty() && !forced {
            return Err(OperateError::Repeats(standing));
        }
        if !status.is_final() {
            self.cancel(invocation, asked).await?;
            self.ended(invocation).await?;
        }
        let mut outcome = "running".to_owned();
        if !standing.is_empty() {
            outcome = format!("running, forced: {} effects may be repeated", standing.len());
        }
        self.begin_again(&loaded, *header, outcome, asked).await
    }

    async fn loaded(&self, invocation: InvocationId) -> Result<Loaded, OperateError> {
        match self.inner.store.load(invocation).await {
            Ok(loaded) => loaded.ok_or(OperateError::NotFound(invocation)),
            Err(error) if error.is_erased() => Err(OperateError::Erased),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn standing(&self, loaded: &Loaded, undone: Undone) -> Result<Vec<host_journal::Effect>, OperateError> {
        let current = self.inner.current();
        standing_effects(&loaded.entries, |record| current.is_committed(record), undone)
            .map_err(|error| OperateError::Refused(format!("what it did cannot be told: {error}")))
    }

    /// Waits until the compensations of a cancelled invocation have run.
    async fn ended(&self, invocation: InvocationId) -> Result<(), OperateError> {
        let ended = async {
            loop {
                let row = self.inner.store.row(invocation).await.map_err(unavailable)?;
                match row.ok_or(OperateError::NotFound(invocation))?.status {
                    status if status.is_final() => return Ok(()),
                    InvocationStatus::Paused => {
                        let text = "it is cancelled, but a compensation failed and it is paused: see to that, resume it, then restart it";
                        return Err(OperateError::Refused(text.into()));
                    }
                    _ => tokio::time::sleep(LOOK).await,
                }
            }
        };
        let late = || {
            OperateError::Refused(
                "it is cancelled, and its compensations still run: restart it when they have ended".into(),
            )
        };
        tokio::time::timeout(UNDOING, ended)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn begin_again(
        &self,
        old: &Loaded,
        header: Header,
        outcome: String,
        asked: &Asked,
    ) -> Result<InvocationId, OperateError> {
        let inner = &self.inner;
        let deployment = inner.current();
        if !deployment.has(&header.component) {
            let text = format!("the current deployment has no component {}", header.component);
            return Err(OperateError::Refused(text));
        }
        let now_ms = inner.clock.unix_ms();
        let successor = InvocationId::new(now_ms, inner.rng.bytes());
        let salt = old.row.erasure_salt.map(|_| inner.rng.bytes());
        // As much time as it had at first.
        let within_ms = header
            .deadline_ms
            .map(|deadline_ms| deadline_ms.saturating_sub(header.started_ms));
        let header = Header {
            deployment: deployment.number(),
            seed: Seed::new(inner.rng.bytes()),
            memory_limit_bytes: deployment.memory_limit_bytes(&header.component),
            started_ms: now_ms,
            deadline_ms: within_ms.map(|within_ms| now_ms.saturating_add(within_ms)),
            ..header
        };
        let start = Start {
            component: header.component.clone(),
            function: header.function.clone(),
            deployment: header.deployment,
            erasure_salt: salt,
            parent: Some(old.row.invocation),
        };
        let promise_key = header.workflow.is_some().then(|| header.seed.promise_key());
        let started = Entry {
            index: 0,
            body: Body::Started(Box::new(header)),
        };
        let fence = Fence {
            invocation: successor,
            next_index: 0,
            bodies: vec![encode(&started, &*inner.store.seal(successor, salt))],
            start: Some(start),
            status: InvocationStatus::Running,
            owner: (!inner.is_draining()).then_some(inner.store.node()),
            attempt: 0,
            failures: 0,
            due_ms: None,
            cause: None,
        };
        let word = Word {
            operator: asked.by.clone(),
            verb: "restart",
            invocation: old.row.invocation,
            successor: Some(successor),
            promise_key,
            deployment: None,
            gives_up: Vec::new(),
            reason: asked.reason.clone(),
            outcome,
        };
        match inner.store.fence_with_word(&fence, &word).await {
            Ok(()) => {}
            // Somebody else has begun it again meanwhile.
            Err(AppendError::Fenced) => {
                let begun = inner.store.successor(old.row.invocation).await.map_err(unavailable)?;
                return begun.ok_or_else(|| OperateError::Store("the restart was not written; try again".into()));
            }
            Err(AppendError::Refused(text)) => return Err(OperateError::Refused(text)),
            Err(error) => return Err(OperateError::Store(error.to_string())),
        }
        if !inner.is_draining() {
            let machine = Machine::replay(vec![started])
                .map_err(|error| OperateError::Refused(format!("a stored history is no history: {error}")))?;
            let recovered = Recovered {
                invocation: successor,
                machine,
                salt,
                attempts: 0,
            };
            begin(inner, recovered).await;
        }
        Ok(successor)
    }
}
