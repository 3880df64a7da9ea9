//! `complete-entry`: a person answers what nobody else can.

use host_journal::{Body, CommandKind, Entry, FenceReason, InvocationStatus, MAX_ENTRY_BYTES, Payload};
use host_runtime::Deployment;
use host_types::{InvocationId, Position};

use super::word::Spoken;
use super::{Asked, OperateError};
use crate::compensate;
use crate::invoker::Invoker;

impl Invoker {
    /// Gives a command of a paused invocation its answer: an external effect whose outcome is in doubt, or a call that does not
    /// return. `answer` is told the deployment the invocation is pinned to and what was asked for, and gives the answer as it is
    /// recorded. The invocation stays paused.
    pub async fn complete_entry(
        &self,
        invocation: InvocationId,
        position: Position,
        answer: impl Fn(&Deployment, &str) -> Result<Vec<u8>, String>,
        asked: &Asked,
    ) -> Result<(), OperateError> {
        loop {
            let loaded = self.open(invocation, "a paused one", "answered for").await?;
            if loaded.row.status != InvocationStatus::Paused {
                return Err(OperateError::State {
                    status: loaded.row.status,
                    expected: "a paused one",
                    verb: "answered for",
                });
            }
            let unanswerable = |reason: String| OperateError::Unanswerable {
                position: position.clone(),
                reason,
            };
            let target = stuck(&loaded.entries, &position).map_err(|reason| unanswerable(reason.into()))?;
            let answer = if compensate::is_compensation(target) {
                // That it has an answer is all that counts: somebody has undone it by hand.
                Payload::new()
            } else {
                let pinned = self.inner.pinned(loaded.row.deployment).await;
                let pinned = pinned.map_err(|error| OperateError::Store(error.to_string()))?;
                let deployment = pinned.deployment();
                let deployment = deployment.ok_or_else(|| unanswerable("no component is called there".into()))?;
                Payload::from(answer(&deployment, target).map_err(unanswerable)?)
            };
            if answer.len() > MAX_ENTRY_BYTES {
                let size = answer.len();
                return Err(unanswerable(format!(
                    "the answer has {size} bytes, an entry at most {MAX_ENTRY_BYTES}"
                )));
            }
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
            if self.inner.say(loaded, spoken, asked).await?.is_some() {
                return Ok(());
            }
        }
    }
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
        Some((_, _, true)) => Err("it has an answer already, and the guest may have acted on it"),
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
}
