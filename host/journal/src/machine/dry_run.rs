//! A dry run: what a guest asks for now, held against what is recorded. Nothing is performed and nothing becomes durable.
//!
//! Where an attempt answers a call from its record, a dry run enters the callee again and compares what it asks for, and what it
//! returns, as well: a revision of the callee is tried like one of the caller.

use std::collections::HashSet;

use host_types::{Fault, Position, Scope};

use super::{Machine, Step};
use crate::{Body, CommandKind, Entry, FenceReason, Payload};

/// The first thing a guest wants that the record has no answer for: there an attempt would go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beyond {
    /// Where.
    pub position: Position,
    /// Which kind.
    pub kind: CommandKind,
    /// What is asked for.
    pub target: String,
    /// It is recorded, without an answer: a wait that is not over, an effect nobody knows the outcome of.
    pub begun: bool,
}

/// How the output of a dry run stands to the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// The same bytes.
    Same,
    /// Other bytes.
    Other,
    /// None is recorded.
    Unrecorded,
}

/// What only a dry run knows.
#[derive(Debug, Default)]
pub(super) struct DryRun {
    beyond: Option<Beyond>,
    /// Calls a person has answered: what their callee did may lead elsewhere.
    answered: HashSet<Position>,
    compared: u32,
    /// A request was taken for the recorded one though not all of it is compared.
    pub(super) has_assumed: bool,
}

impl Machine {
    /// A dry run of these entries, in order, from index 0.
    ///
    /// `Err` says what is wrong with a history that is none.
    pub fn dry_run(history: Vec<Entry>) -> Result<Self, String> {
        let answered = history.iter().filter_map(|entry| match &entry.body {
            Body::Fence {
                reason: FenceReason::Answer { position, .. },
                ..
            } => Some(position.clone()),
            _ => None,
        });
        let dry_run = DryRun {
            answered: answered.collect(),
            ..DryRun::default()
        };
        let mut machine = Self::replay(history)?;
        machine.dry_run = Some(Box::new(dry_run));
        Ok(machine)
    }

    /// Nothing is performed here.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.is_some()
    }

    /// Where the record ended, when a dry run came so far.
    pub fn beyond(&self) -> Option<&Beyond> {
        self.dry_run.as_ref()?.beyond.as_ref()
    }

    /// How many commands were the recorded ones.
    pub fn compared(&self) -> u32 {
        self.dry_run.as_ref().map_or(0, |dry_run| dry_run.compared)
    }

    /// Some request was taken for the recorded one without all of it being compared, as a secret was changed under way: that the rest is the
    /// same proves nothing.
    pub fn has_assumed(&self) -> bool {
        self.dry_run.as_ref().is_some_and(|dry_run| dry_run.has_assumed)
    }

    /// The handler of a dry run returned. `Err` names what it should have asked for before.
    pub fn finish_dry_run(&self, output: &Payload) -> Result<Returned, Fault> {
        self.all_asked(&Scope::root())?;
        Ok(match self.recorded_output() {
            None => Returned::Unrecorded,
            Some(recorded) if recorded == output => Returned::Same,
            Some(_) => Returned::Other,
        })
    }

    /// What a dry run makes of a recorded command.
    pub(super) fn compare(
        &mut self,
        step: Step,
        position: &Position,
        kind: CommandKind,
        target: &str,
    ) -> Result<Step, Fault> {
        let Some(dry_run) = &mut self.dry_run else {
            return Ok(step);
        };
        match step {
            Step::Recorded(answer) => {
                dry_run.compared += 1;
                let is_entered = kind == CommandKind::Call && !dry_run.answered.contains(position);
                Ok(match is_entered {
                    true => Step::Perform(position.clone()),
                    false => Step::Recorded(answer),
                })
            }
            // What the callee did is recorded, as far as it came.
            Step::Perform(position) if kind == CommandKind::Call => Ok(Step::Perform(position)),
            Step::Perform(_) | Step::InDoubt(_) => Err(self.leave_record(position, kind, target, true)),
        }
    }

    /// The guest asks for more than is recorded. Where the record says that it returned, that is a difference; otherwise an attempt
    /// would go on here, and the dry run is over.
    pub(super) fn leave_record(&mut self, position: &Position, kind: CommandKind, target: &str, begun: bool) -> Fault {
        let recorded = match position.scope.opened_by() {
            None => self.recorded_output().map(|_| "that the handler returned".to_owned()),
            Some(call) => {
                let record = self.records.get(&call);
                let is_answered = record.is_some_and(|record| record.completion.is_some());
                is_answered.then(|| format!("that the call at {call} returned"))
            }
        };
        if let Some(recorded) = recorded {
            return Fault::Mismatch {
                position: position.clone(),
                recorded,
                asked: format!("{kind} {target}"),
            };
        }
        if let Some(dry_run) = &mut self.dry_run {
            dry_run.beyond.get_or_insert_with(|| Beyond {
                position: position.clone(),
                kind,
                target: target.to_owned(),
                begun,
            });
        }
        Fault::Suspended
    }

    /// A callee that was entered again has returned. `Some`: its call is recorded with an answer, which this was compared with.
    pub(super) fn compare_answer(&self, position: &Position, answer: &Payload) -> Option<Result<(), Fault>> {
        self.dry_run.as_ref()?;
        let recorded = match &self.log[self.records.get(position)?.completion?].body {
            Body::Command { answer, .. } => answer.as_ref()?,
            Body::Completion { answer, .. } => answer,
            _ => return None,
        };
        let asked = self.all_asked(&position.scope.child(position.number));
        Some(asked.and_then(|()| match recorded == answer {
            true => Ok(()),
            false => {
                let side =
                    |bytes: &Payload| format!("an answer of {} bytes, {:?}", bytes.len(), self.header.seed.hash(bytes));
                Err(Fault::Mismatch {
                    position: position.clone(),
                    recorded: side(recorded),
                    asked: side(answer),
                })
            }
        }))
    }

    /// Everything recorded in this scope was asked for.
    fn all_asked(&self, scope: &Scope) -> Result<(), Fault> {
        let next = self.cursors.get(scope).map_or(0, |cursor| cursor.next);
        let left = self.records.keys().filter(|it| it.scope == *scope && it.number >= next);
        let Some(position) = left.min() else {
            return Ok(());
        };
        let Body::Command { kind, target, .. } = &self.log[self.records[position].command].body else {
            unreachable!("a record points at a command");
        };
        Err(Fault::Mismatch {
            position: position.clone(),
            recorded: format!("{kind} {target}"),
            asked: "nothing: it returned".into(),
        })
    }
}

#[cfg(test)]
mod tests;
