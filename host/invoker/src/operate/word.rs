//! A word becoming a fence.

use host_journal::{AppendError, Body, Entry, FenceReason, InvocationStatus, Machine, encode};
use host_store::{Fence, Loaded, Wake, Word};
use host_types::DeploymentNumber;

use super::{Asked, OperateError};
use crate::invoker::Inner;
use crate::recovery::Recovered;

/// What a word does to a journal, and what the audit log says of it.
pub(crate) struct Spoken {
    pub(crate) verb: &'static str,
    pub(crate) outcome: String,
    pub(crate) reason: FenceReason,
    /// Entries behind the fence, in the same commit.
    pub(crate) more: Vec<Body>,
    pub(crate) status: InvocationStatus,
    /// Of a move: what it is pinned to from then on.
    pub(crate) deployment: Option<DeploymentNumber>,
}

/// A word on its way into a journal.
pub(crate) struct Prepared {
    pub(crate) fence: Fence,
    pub(crate) word: Word,
    entries: Vec<Entry>,
    salt: Option<[u8; 32]>,
}

/// What a person reads of it, with the operator's reason when there is one.
pub(super) fn text(what: &str, reason: &str) -> String {
    match reason {
        "" => what.to_owned(),
        reason => format!("{what}: {reason}"),
    }
}

/// Until when one that was to begin later, and has not begun, still has to wait, milliseconds since 1970-01-01 UTC.
pub(super) fn not_before(entries: &[Entry], now_ms: u64) -> Option<u64> {
    let (first, rest) = entries.split_first()?;
    let Body::Started(header) = &first.body else {
        return None;
    };
    let has_begun = rest.iter().any(|entry| !matches!(entry.body, Body::Fence { .. }));
    (!has_begun && header.started_ms > now_ms).then_some(header.started_ms)
}

impl Inner {
    /// Appends the fence; whoever runs the invocation, here or on another node, is stopped. A running one is this node's from then on,
    /// unless it stops taking work: then any node's. `None`: the journal has grown meanwhile, look again.
    pub(crate) async fn say(
        &self,
        loaded: Loaded,
        spoken: Spoken,
        asked: &Asked,
    ) -> Result<Option<Recovered>, OperateError> {
        let prepared = self.prepare(loaded, spoken, asked);
        let written = self.store.fence_with_word(&prepared.fence, &prepared.word).await;
        self.said(prepared, written)
    }

    /// The fence that a word becomes, and what the audit log says of it: to be written in one commit.
    pub(crate) fn prepare(&self, loaded: Loaded, spoken: Spoken, asked: &Asked) -> Prepared {
        let Loaded { row, mut entries } = loaded;
        let Spoken {
            verb,
            outcome,
            reason,
            more,
            status,
            deployment,
        } = spoken;
        let invocation = row.invocation;
        let attempt = row.attempt + 1;
        let (failures, cause) = match &reason {
            FenceReason::Pause(cause) => (row.failures, Some(cause.text.clone())),
            FenceReason::Cancel(reason) => (0, Some(text("cancelled by an operator", reason))),
            FenceReason::Resume => (0, None),
            FenceReason::Answer { .. }
            | FenceReason::TakeOver
            | FenceReason::Retry(_)
            | FenceReason::Suspend
            | FenceReason::Wake => (row.failures, row.cause),
        };
        let fence = Body::Fence {
            attempt,
            node: self.store.node(),
            reason,
        };
        // Resumed or moved too early, what was to begin later would begin now.
        let due_ms = match &fence {
            Body::Fence {
                reason: FenceReason::Resume | FenceReason::TakeOver,
                ..
            } if status == InvocationStatus::Running => not_before(&entries, self.clock.unix_ms()),
            _ => None,
        };
        let is_ours = status == InvocationStatus::Running && due_ms.is_none() && !self.is_draining();
        let next_index = entries.len() as u32;
        let seal = self.store.seal(invocation, row.erasure_salt);
        let mut bodies = Vec::with_capacity(1 + more.len());
        for (index, body) in (next_index..).zip(std::iter::once(fence).chain(more)) {
            let entry = Entry { index, body };
            bodies.push(encode(&entry, &*seal));
            entries.push(entry);
        }
        let fence = Fence {
            invocation,
            next_index,
            bodies,
            start: None,
            status,
            owner: is_ours.then_some(self.store.node()),
            attempt,
            failures,
            due_ms,
            cause,
        };
        let word = Word {
            operator: asked.by.clone(),
            verb,
            invocation,
            successor: None,
            promise_key: None,
            deployment,
            gives_up: Vec::new(),
            reason: asked.reason.clone(),
            outcome,
        };
        Prepared {
            fence,
            word,
            entries,
            salt: row.erasure_salt,
        }
    }

    /// What became of a word. `None`: the journal has grown meanwhile, look again.
    pub(crate) fn said(
        &self,
        prepared: Prepared,
        written: Result<(), AppendError>,
    ) -> Result<Option<Recovered>, OperateError> {
        match written {
            Ok(()) => {}
            Err(AppendError::Fenced) => return Ok(None),
            Err(error) => return Err(OperateError::Store(error.to_string())),
        }
        let Prepared {
            fence,
            word,
            entries,
            salt,
        } = prepared;
        let invocation = fence.invocation;
        self.halts.ask(invocation);
        self.store.notify(Wake::Halt(invocation));
        if fence.status.is_final() || !word.gives_up.is_empty() {
            // Those who wait for its output, if it is a workflow, or for what it held.
            self.waits.due.notify_one();
            self.store.notify(Wake::Progress);
            self.store.notify(Wake::Due);
        }
        self.changed.notify_waiters();
        let machine = Machine::replay(entries)
            .map_err(|error| OperateError::Refused(format!("a stored history is no history: {error}")))?;
        Ok(Some(Recovered {
            invocation,
            machine,
            salt,
            attempts: fence.attempt,
        }))
    }
}
