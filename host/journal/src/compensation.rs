//! What an invocation has to undo when it is cancelled, read off its record.
//!
//! A guest pushes a compensation before the effect it undoes. The push is an observation: it takes a position, has no commit of its
//! own, and becomes durable with the first append after it, which is that of the effect at the latest. So a push that is lost is
//! one whose effect never was, and one that is durable may belong to an effect that never was: a compensation must be harmless then,
//! and when it is repeated (durability.md 6.4). A guest that undoes by itself says so step by step; one whose flow ends well settles.
//!
//! Those of before the [`FenceReason::Cancel`] that are neither undone nor settled are run by the host: of every scope of the
//! call tree, newest first, each in a fresh instance of the component that pushed it, as a recorded call. They are calls of
//! [`compensating_scope`], numbered from 0, which no guest can be in: that scope would be opened by the command of number `u32::MAX`
//! of the root, and a scope's commands end before that number. The list is a function of what stands before the fence alone, so an
//! attempt after a crash finds the same list, and those that have an answer are not run again.

use std::collections::HashMap;

use host_types::{ComponentId, Position, Scope};
use minicbor::{Decode, Encode};

use crate::{Body, CommandKind, Entry, FenceReason, Payload};

/// The targets under which a guest's words about its compensations are recorded. Stored for years.
pub mod target {
    /// A compensation is named; the answer is a [`super::Pushed`].
    pub const PUSH: &str = "nexus:durable/compensation.push";
    /// The newest of the scope was run by the guest.
    pub const UNDONE: &str = "nexus:durable/compensation.undone";
    /// The newest of the scope are void; the answer is how many, as [`super::Settled`].
    pub const SETTLE: &str = "nexus:durable/compensation.settle";
}

/// What is recorded of a push: arguments are recorded as a hash alone, and this is to be run later.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Pushed {
    /// First argument of `compensate.run`.
    #[n(0)]
    pub name: String,
    /// Second argument.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub argument: Vec<u8>,
}

/// What is recorded of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Settled {
    /// How many of the scope's newest.
    #[n(0)]
    pub count: u32,
}

/// Something to undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compensation {
    /// Where it was pushed.
    pub position: Position,
    /// By whom.
    pub component: ComponentId,
    /// What it is.
    pub pushed: Pushed,
}

/// Something that happened outside of the invocation, and would happen again if it were run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Where.
    pub position: Position,
    /// Which kind.
    pub kind: CommandKind,
    /// What was asked for.
    pub target: String,
}

/// Which compensations count as run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// Those that have.
    AsRecorded,
    /// Also those that would be when the invocation is cancelled.
    All,
}

/// The scope of the calls that run compensations.
pub fn compensating_scope() -> Scope {
    Scope::root().child(u32::MAX)
}

/// The reason of the person who cancelled the invocation, if one did.
pub fn cancelled(entries: &[Entry]) -> Option<&str> {
    entries.iter().find_map(|entry| match &entry.body {
        Body::Fence {
            reason: FenceReason::Cancel(reason),
            ..
        } => Some(reason.as_str()),
        _ => None,
    })
}

/// What is to be undone, in the order in which it is: newest first. `Err` says what is wrong with the record.
pub fn compensations(entries: &[Entry]) -> Result<Vec<Compensation>, String> {
    let mut history = History::default();
    for entry in entries.iter().take_while(|entry| !is_cancel(entry)) {
        history.read(entry)?;
    }
    let mut open: Vec<(usize, Compensation)> = history.open.into_values().flatten().collect();
    open.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(open.into_iter().map(|(_, compensation)| compensation).collect())
}

/// The effects of an invocation that nothing has undone, in order. `is_committed` says of a transaction's record how it ended.
///
/// A compensation is pushed before what it undoes, and stands for it up to the next push of its scope: an effect counts as undone when the
/// newest compensation that was open at that time, in its scope or in one above it, was run, by the guest or by the host after a
/// cancellation. An older one was pushed for something else. What the compensations themselves do is no effect.
pub fn standing_effects(
    entries: &[Entry],
    is_committed: impl Fn(&Payload) -> bool,
    undone: Undone,
) -> Result<Vec<Effect>, String> {
    let mut history = History::default();
    let mut effects: Vec<(Effect, Vec<usize>)> = Vec::new();
    let mut completed: HashMap<&Position, &Payload> = HashMap::new();
    for entry in entries {
        if let Body::Completion { position, answer } = &entry.body {
            completed.insert(position, answer);
        }
    }
    let before: Vec<&Entry> = entries.iter().take_while(|entry| !is_cancel(entry)).collect();
    for entry in &before {
        history.read(entry)?;
        let Body::Command {
            position,
            kind,
            target,
            answer,
            ..
        } = &entry.body
        else {
            continue;
        };
        let happened = match kind {
            CommandKind::Transaction => answer
                .as_ref()
                .or(completed.get(position).copied())
                .is_some_and(&is_committed),
            CommandKind::External | CommandKind::Message => true,
            CommandKind::Observation | CommandKind::Call | CommandKind::Wait => false,
        };
        if happened {
            let effect = Effect {
                position: position.clone(),
                kind: *kind,
                target: target.clone(),
            };
            effects.push((effect, history.covering(&position.scope)));
        }
    }
    let run_by_host = compensations(entries)?;
    let scope = compensating_scope();
    let answered = entries.iter().filter(|entry| match &entry.body {
        Body::Command {
            position,
            answer: Some(_),
            ..
        }
        | Body::Completion { position, .. } => position.scope == scope,
        _ => false,
    });
    let run = run_by_host.iter().take(match undone {
        Undone::AsRecorded => answered.count(),
        Undone::All => run_by_host.len(),
    });
    let mut undone = history.undone;
    undone.extend(run.filter_map(|compensation| history.numbers.get(&compensation.position)));
    let standing = effects
        .into_iter()
        .filter(|(_, covering)| !covering.iter().any(|number| undone.contains(number)));
    Ok(standing.map(|(effect, _)| effect).collect())
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

/// What has been pushed so far, and what became of it.
#[derive(Default)]
struct History {
    root: Option<ComponentId>,
    /// Whom each call has called.
    callees: HashMap<Position, ComponentId>,
    /// By scope, oldest first; each with its number in the invocation.
    open: HashMap<Scope, Vec<(usize, Compensation)>>,
    numbers: HashMap<Position, usize>,
    undone: Vec<usize>,
}

impl History {
    fn read(&mut self, entry: &Entry) -> Result<(), String> {
        match &entry.body {
            Body::Started(header) => self.root = Some(header.component.clone()),
            Body::Command {
                position,
                kind: CommandKind::Call,
                target,
                ..
            } => {
                let (component, _) = target
                    .split_once(':')
                    .ok_or_else(|| format!("the call at {position} names no component"))?;
                self.callees.insert(position.clone(), component.into());
            }
            Body::Command {
                position,
                kind: CommandKind::Observation,
                target,
                answer: Some(answer),
                ..
            } => self.note(position, target, answer)?,
            _ => {}
        }
        Ok(())
    }

    fn note(&mut self, position: &Position, target: &str, answer: &Payload) -> Result<(), String> {
        let malformed = |error| format!("what is recorded at {position} is malformed: {error}");
        match target {
            target::PUSH => {
                let number = self.numbers.len();
                let compensation = Compensation {
                    position: position.clone(),
                    component: self.component(&position.scope)?,
                    pushed: minicbor::decode(answer).map_err(malformed)?,
                };
                self.numbers.insert(position.clone(), number);
                self.open
                    .entry(position.scope.clone())
                    .or_default()
                    .push((number, compensation));
            }
            target::UNDONE => {
                let newest = self.open.get_mut(&position.scope).and_then(Vec::pop);
                self.undone.extend(newest.map(|(number, _)| number));
            }
            target::SETTLE => {
                let Settled { count } = minicbor::decode(answer).map_err(malformed)?;
                if let Some(open) = self.open.get_mut(&position.scope) {
                    open.truncate(open.len().saturating_sub(count as usize));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn component(&self, scope: &Scope) -> Result<ComponentId, String> {
        let component = match scope.opened_by() {
            None => self.root.as_ref(),
            Some(call) => self.callees.get(&call),
        };
        component
            .cloned()
            .ok_or_else(|| format!("the call that opened the scope {scope} is not recorded"))
    }

    /// The compensations that stand for what happens in this scope now.
    fn covering(&self, scope: &Scope) -> Vec<usize> {
        let above = self.open.iter().filter(|(open, _)| scope.is_within(open));
        above
            .filter_map(|(_, open)| open.last().map(|(number, _)| *number))
            .collect()
    }
}

#[cfg(test)]
mod tests;
