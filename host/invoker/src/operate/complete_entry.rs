//! `complete-entry`: a person answers what nobody else can.

use std::sync::Arc;

use host_journal::{
    Body, CommandKind, Entry, FenceReason, InvocationStatus, KeyId, MAX_ENTRY_BYTES, Payload, places_within,
};
use host_store::Loaded;
use host_types::{InvocationId, Position};

use super::word::Spoken;
use super::{Asked, OperateError, unavailable};
use crate::compensate;
use crate::handlers::Handlers;
use crate::invoker::Invoker;

impl Invoker {
    /// Gives a command of a paused invocation its answer: an external effect whose outcome is in doubt, or a call that does not
    /// return. `answer` is told the deployment the invocation is pinned to and what was asked for, and gives the answer as it is
    /// recorded. The invocation stays paused. Saying the same again changes nothing, whatever has become of the invocation.
    pub async fn complete_entry(
        &self,
        invocation: InvocationId,
        position: Position,
        answer: impl Fn(Arc<dyn Handlers>, &str) -> Result<Vec<u8>, String>,
        asked: &Asked,
    ) -> Result<(), OperateError> {
        loop {
            let loaded = self.recorded(invocation).await?;
            let unanswerable = |reason: String| OperateError::Unanswerable {
                position: position.clone(),
                reason,
            };
            let given = given(&loaded.entries, &position);
            if given.is_none() && loaded.row.status != InvocationStatus::Paused {
                return Err(not_paused(loaded.row.status));
            }
            let target = match given {
                Some((target, _)) => target,
                None => stuck(&loaded.entries, &position).map_err(|reason| unanswerable(reason.into()))?,
            };
            let answer = if compensate::is_compensation(target) {
                // That it has an answer is all that counts: somebody has undone it by hand.
                Payload::new()
            } else {
                let pinned = self.inner.pinned(loaded.row.deployment).await;
                let pinned = pinned.map_err(|error| OperateError::Store(error.to_string()))?;
                Payload::from(answer(pinned, target).map_err(unanswerable)?)
            };
            if let Some((_, given)) = given {
                return match *given == answer {
                    true => Ok(()),
                    false => Err(unanswerable(ANSWERED.into())),
                };
            }
            if answer.len() > MAX_ENTRY_BYTES {
                let size = answer.len();
                return Err(unanswerable(format!(
                    "the answer has {size} bytes, an entry at most {MAX_ENTRY_BYTES}"
                )));
            }
            let gives_up = self.places_within(invocation, &loaded.entries, &position).await?;
            let spoken = Spoken {
                verb: "complete-entry",
                outcome: format!("answered {target} at {position} with {} bytes", answer.len()),
                reason: FenceReason::Answer {
                    position: position.clone(),
                    text: asked.reason.clone(),
                },
                more: vec![Body::Completion {
                    position: position.clone(),
                    answer,
                }],
                status: InvocationStatus::Paused,
                deployment: None,
            };
            let mut prepared = self.inner.prepare(loaded, spoken, asked);
            prepared.word.gives_up = gives_up;
            let written = self.inner.store.fence_with_word(&prepared.fence, &prepared.word).await;
            if self.inner.said(prepared, written)?.is_some() {
                return Ok(());
            }
        }
    }

    /// An invocation with its record, wherever it stands.
    async fn recorded(&self, invocation: InvocationId) -> Result<Loaded, OperateError> {
        let row = self.inner.store.row(invocation).await.map_err(unavailable)?;
        let status = row.ok_or(OperateError::NotFound(invocation))?.status;
        match self.inner.store.load(invocation).await {
            Ok(loaded) => loaded.ok_or(OperateError::NotFound(invocation)),
            // What it was answered went with the rest.
            Err(error) if error.is_erased() => Err(not_paused(status)),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// The exclusive keys that are held, or waited for, on behalf of this call alone: a replay does not enter it, and so would not give them
    /// up before the invocation ends.
    async fn places_within(
        &self,
        invocation: InvocationId,
        entries: &[Entry],
        call: &Position,
    ) -> Result<Vec<KeyId>, OperateError> {
        let hashes = places_within(entries, call);
        let Some(Body::Started(header)) = entries.first().map(|entry| &entry.body) else {
            return Ok(Vec::new());
        };
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        let mut keys = self.inner.store.places(invocation).await.map_err(unavailable)?;
        keys.retain(|key| hashes.contains(&header.seed.hash(key.0.as_bytes())));
        Ok(keys)
    }
}

/// Why a command that has an answer gets no other.
const ANSWERED: &str = "it has an answer already, and the guest may have acted on it";

fn not_paused(status: InvocationStatus) -> OperateError {
    OperateError::State {
        status,
        expected: "a paused one",
        verb: "answered for",
    }
}

/// What was asked for at this position, and what a person has answered.
fn given<'a>(entries: &'a [Entry], at: &Position) -> Option<(&'a str, &'a Payload)> {
    let is_by_hand = |entry: &Entry| matches!(&entry.body, Body::Fence { reason: FenceReason::Answer { position, .. }, .. } if position == at);
    let fence = entries.iter().position(is_by_hand)?;
    let answer = match &entries.get(fence + 1)?.body {
        Body::Completion { position, answer } if position == at => answer,
        _ => return None,
    };
    let target = entries.iter().find_map(|entry| match &entry.body {
        Body::Command { position, target, .. } if position == at => Some(target.as_str()),
        _ => None,
    })?;
    Some((target, answer))
}

/// What was asked for at this position, if it can be answered by a person; else why not.
fn stuck<'a>(entries: &'a [Entry], at: &Position) -> Result<&'a str, &'static str> {
    let mut found = None;
    for entry in entries {
        match &entry.body {
            Body::Command {
                position,
                kind,
                target,
                answer,
                ..
            } if position == at => found = Some((*kind, target.as_str(), answer.is_some())),
            Body::Completion { position, .. } if position == at => {
                found = found.map(|(kind, target, _)| (kind, target, true));
            }
            _ => {}
        }
    }
    match found {
        None => Err("nothing is recorded there; `nexus invocations show` lists what is"),
        Some((CommandKind::Transaction, ..)) => {
            Err("it is a transaction, and its rows cannot be made up: they are written by its commit alone")
        }
        Some((_, _, true)) => Err(ANSWERED),
        Some((CommandKind::Call | CommandKind::External, target, false)) => Ok(target),
        Some((CommandKind::Wait, ..)) => {
            Err("it waits for something that has an end of its own: complete the promise, or let the time pass")
        }
        Some((CommandKind::Observation | CommandKind::Message, ..)) => Err("it is recorded together with its answer"),
    }
}

#[cfg(test)]
mod tests {
    use host_journal::ArgumentHash;
    use host_types::Scope;

    use super::*;

    fn at(number: u32) -> Position {
        Position {
            scope: Scope::root(),
            number,
        }
    }

    fn command(number: u32, kind: CommandKind, answered: bool) -> Entry {
        Entry {
            index: number,
            body: Body::Command {
                position: at(number),
                kind,
                target: format!("target {number}"),
                arguments: ArgumentHash([0; 16]),
                answer: answered.then(Payload::new),
            },
        }
    }

    #[test]
    fn only_a_call_or_an_effect_without_an_answer_can_be_answered() {
        let entries = [
            command(0, CommandKind::External, false),
            command(1, CommandKind::Call, false),
            command(2, CommandKind::Transaction, true),
            command(3, CommandKind::Observation, true),
            command(4, CommandKind::Wait, false),
            command(5, CommandKind::External, false),
            Entry {
                index: 6,
                body: Body::Completion {
                    position: at(5),
                    answer: Payload::new(),
                },
            },
        ];
        assert_eq!(stuck(&entries, &at(0)), Ok("target 0"));
        assert_eq!(stuck(&entries, &at(1)), Ok("target 1"));
        for (number, part) in [
            (2, "made up"),
            (3, "already"),
            (4, "promise"),
            (5, "already"),
            (9, "nothing"),
        ] {
            let reason = stuck(&entries, &at(number)).unwrap_err();
            assert!(reason.contains(part), "{number}: {reason}");
        }
    }
    #[test]
    fn only_what_a_person_has_answered_was_given() {
        let completion = |index, number: u32, answer: &'static str| Entry {
            index,
            body: Body::Completion {
                position: at(number),
                answer: Payload::from(answer),
            },
        };
        let entries = [
            command(0, CommandKind::External, false),
            command(1, CommandKind::Call, false),
            completion(2, 0, "by itself"),
            Entry {
                index: 3,
                body: Body::Fence {
                    attempt: 2,
                    node: host_types::NodeId::new(1, [3; 10]),
                    reason: FenceReason::Answer {
                        position: at(1),
                        text: String::new(),
                    },
                },
            },
            completion(4, 1, "by hand"),
        ];
        assert_eq!(given(&entries, &at(0)), None);
        assert_eq!(given(&entries, &at(1)), Some(("target 1", &Payload::from("by hand"))));
        assert_eq!(given(&entries[..4], &at(1)), None);
    }
}
