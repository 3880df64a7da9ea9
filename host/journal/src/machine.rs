//! Replaying and processing. One machine per attempt; it is told what the guest asks and what became of it, and answers what to
//! do and what must be written before what.

use std::collections::HashMap;

use host_types::{Fault, InvocationId, NodeId, Position, Scope};
use uuid::Uuid;

use crate::entry::{MAX_ENTRIES, MAX_ENTRY_BYTES, MAX_INVOCATION_BYTES};
use crate::{ArgumentHash, Body, CommandKind, Entry, FenceReason, Header, Payload};

/// What to do about a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It happened; this is the answer.
    Recorded(Payload),
    /// Do it, then [`Machine::complete`] this position.
    Perform(Position),
    /// An external effect that was begun, and nobody knows whether it happened.
    InDoubt(Position),
}

/// What must be written when the handler has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Nothing: the invocation had no effect, and nobody will ask for it.
    Nothing,
    /// The output is noted; it may be written after the answer, since replay alone gives the same bytes.
    Lazily,
    /// The output is noted, with commands replay could answer differently: write it before the answer.
    Eagerly,
}

/// Where the record of one command lies in the log.
#[derive(Debug, Clone, Copy)]
struct Record {
    command: usize,
    completion: Option<usize>,
}

#[derive(Debug, Default)]
struct ScopeCursor {
    /// Number of the next command.
    next: u32,
    /// One past the highest recorded number: below it, a command without a record is a mismatch.
    recorded_until: u32,
}

/// The transaction that is open.
#[derive(Debug)]
struct OpenTransaction {
    begun: Position,
    /// Entries of the log when it was begun.
    entries_before: usize,
}

/// The record of one invocation and how far the running attempt has come in it.
#[derive(Debug)]
pub struct Machine {
    header: Header,
    /// Every entry, durable or noted.
    log: Vec<Entry>,
    /// Entries of the log that are durable.
    durable: usize,
    records: HashMap<Position, Record>,
    cursors: HashMap<Scope, ScopeCursor>,
    transaction: Option<OpenTransaction>,
    /// A command other than a derived value was issued after the last append.
    commands_since_append: bool,
    /// Noted entries that must be durable before the answer whatever else happens (messages).
    must_append: bool,
    last_position: Option<Position>,
    last_now_ms: u64,
    payload_bytes: usize,
    dry_run: Option<Box<dry_run::DryRun>>,
}

impl Machine {
    /// A fresh invocation: nothing is durable.
    pub fn start(header: Header) -> Self {
        let first = Entry {
            index: 0,
            body: Body::Started(Box::new(header.clone())),
        };
        Self::with_log(header, vec![first], 0)
    }

    /// An invocation whose durable entries are these, in order, from index 0.
    ///
    /// `Fault::Guest` is never returned; a history that is none is `Err` with what is wrong with it.
    pub fn replay(history: Vec<Entry>) -> Result<Self, String> {
        let header = match history.first().map(|entry| &entry.body) {
            Some(Body::Started(header)) => Header::clone(header),
            _ => return Err("the history does not begin with its start".into()),
        };
        for (expected, entry) in history.iter().enumerate() {
            if entry.index as usize != expected {
                return Err(format!("entry {expected} is missing"));
            }
        }
        let durable = history.len();
        let mut machine = Self::with_log(header, Vec::with_capacity(durable + 8), durable);
        for entry in history {
            machine.index(&entry, machine.log.len())?;
            machine.log.push(entry);
        }
        Ok(machine)
    }

    fn with_log(header: Header, log: Vec<Entry>, durable: usize) -> Self {
        Self {
            last_now_ms: header.started_ms,
            header,
            log,
            durable,
            records: HashMap::new(),
            cursors: HashMap::new(),
            transaction: None,
            commands_since_append: false,
            must_append: false,
            last_position: None,
            payload_bytes: 0,
            dry_run: None,
        }
    }

    fn index(&mut self, entry: &Entry, at: usize) -> Result<(), String> {
        match &entry.body {
            Body::Command { position, answer, .. } => {
                let completion = answer.as_ref().map(|_| at);
                if self
                    .records
                    .insert(
                        position.clone(),
                        Record {
                            command: at,
                            completion,
                        },
                    )
                    .is_some()
                {
                    return Err(format!("two commands are recorded at {position}"));
                }
                let cursor = self.cursors.entry(position.scope.clone()).or_default();
                cursor.recorded_until = cursor.recorded_until.max(position.number + 1);
                self.payload_bytes += answer.as_ref().map_or(0, |answer| answer.len());
            }
            Body::Completion { position, answer } => {
                let record = self
                    .records
                    .get_mut(position)
                    .ok_or_else(|| format!("an answer at {position}, where no command is"))?;
                record.completion = Some(at);
                self.payload_bytes += answer.len();
            }
            Body::Started(_) | Body::Fence { .. } | Body::Output(_) => {}
        }
        Ok(())
    }

    /// What the invocation is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Everything known about the invocation, durable or noted, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.log
    }

    /// Something of this invocation is in the database.
    pub fn is_durable(&self) -> bool {
        self.durable > 0
    }

    /// The guest is told what is recorded: more of its scope's record lies ahead, or this is a dry run. What it says to the log it has said before.
    pub fn is_replaying(&self, scope: &Scope) -> bool {
        let cursor = self.cursors.get(scope);
        self.is_dry_run() || cursor.is_some_and(|cursor| cursor.next < cursor.recorded_until)
    }

    /// The last command this attempt issued.
    pub fn last_position(&self) -> Option<&Position> {
        self.last_position.as_ref()
    }

    /// The recorded output, when the handler returned in an earlier attempt.
    pub fn recorded_output(&self) -> Option<&Payload> {
        self.log.iter().rev().find_map(|entry| match &entry.body {
            Body::Output(output) => Some(output),
            _ => None,
        })
    }

    /// Begins another attempt in the same process: what was noted is kept and answers the new attempt.
    pub fn rewind(&mut self) {
        self.cursors.values_mut().for_each(|cursor| cursor.next = 0);
        self.transaction = None;
        self.last_position = None;
        self.last_now_ms = self.header.started_ms;
    }

    /// The guest asks for something.
    pub fn command(
        &mut self,
        scope: &Scope,
        kind: CommandKind,
        target: &str,
        arguments: ArgumentHash,
    ) -> Result<Step, Fault> {
        if let Some(open) = &self.transaction
            && kind != CommandKind::Message
            && target != NOW
        {
            return Err(Fault::Guest(format!(
                "{target} was used while the transaction begun at {} is open: commit or roll back first, or use the transaction",
                open.begun,
            )));
        }
        let (position, recorded_until) = self.advance(scope)?;
        if let Some(record) = self.records.get(&position) {
            let step = self.recorded(&position, *record, kind, target, arguments)?;
            return self.compare(step, &position, kind, target);
        }
        if position.number < recorded_until {
            return Err(Fault::Mismatch {
                position,
                recorded: "a derived value".into(),
                asked: format!("{kind} {target} {arguments:?}"),
            });
        }
        if self.is_dry_run() {
            return Err(self.leave_record(&position, kind, target, false));
        }
        self.commands_since_append = true;
        self.must_append |= kind == CommandKind::Message;
        // Calls and external effects stand in the record before what they lead to; the others are noted with their answer, and a
        // wait at the latest when it gives its instance up.
        if matches!(kind, CommandKind::Call | CommandKind::External) {
            let answer = None;
            self.note(Body::Command {
                position: position.clone(),
                kind,
                target: target.to_owned(),
                arguments,
                answer,
            })?;
        }
        Ok(Step::Perform(position))
    }

    fn recorded(
        &self,
        position: &Position,
        record: Record,
        kind: CommandKind,
        target: &str,
        arguments: ArgumentHash,
    ) -> Result<Step, Fault> {
        let Body::Command {
            kind: was_kind,
            target: was_target,
            arguments: was_arguments,
            ..
        } = &self.log[record.command].body
        else {
            unreachable!("a record points at a command");
        };
        if (*was_kind, was_target.as_str(), *was_arguments) != (kind, target, arguments) {
            return Err(Fault::Mismatch {
                position: position.clone(),
                recorded: format!("{was_kind} {was_target} {was_arguments:?}"),
                asked: format!("{kind} {target} {arguments:?}"),
            });
        }
        Ok(match record.completion.map(|at| &self.log[at].body) {
            Some(
                Body::Command {
                    answer: Some(answer), ..
                }
                | Body::Completion { answer, .. },
            ) => Step::Recorded(answer.clone()),
            _ if kind == CommandKind::External => Step::InDoubt(position.clone()),
            _ => Step::Perform(position.clone()),
        })
    }

    /// The answer to a command this machine said to perform.
    pub fn complete(
        &mut self,
        position: &Position,
        kind: CommandKind,
        target: &str,
        arguments: ArgumentHash,
        answer: Payload,
    ) -> Result<(), Fault> {
        if let Some(compared) = self.compare_answer(position, &answer) {
            return compared;
        }
        // Again, since an append may have been made between the question and the answer. What a call came to is not counted: a
        // replay of what was appended within it comes to the same.
        if matches!(
            kind,
            CommandKind::Observation | CommandKind::Message | CommandKind::Wait
        ) {
            self.commands_since_append = true;
            self.must_append |= kind == CommandKind::Message;
        }
        let position = position.clone();
        if self.records.contains_key(&position) {
            self.note(Body::Completion { position, answer })
        } else {
            self.note(Body::Command {
                position,
                kind,
                target: target.to_owned(),
                arguments,
                answer: Some(answer),
            })
        }
    }

    fn note(&mut self, body: Body) -> Result<(), Fault> {
        let size = match &body {
            Body::Command {
                answer: Some(answer), ..
            }
            | Body::Completion { answer, .. }
            | Body::Output(answer) => answer.len(),
            _ => 0,
        };
        if size > MAX_ENTRY_BYTES {
            return Err(Fault::LimitExceeded(format!(
                "an answer of {size} bytes: one entry holds at most {MAX_ENTRY_BYTES}; read less at once, or keep it in a blob",
            )));
        }
        if self.payload_bytes + size > MAX_INVOCATION_BYTES || self.log.len() >= MAX_ENTRIES {
            return Err(Fault::LimitExceeded(format!(
                "the invocation holds more than {MAX_INVOCATION_BYTES} bytes or {MAX_ENTRIES} entries: divide its work",
            )));
        }
        let at = self.log.len();
        let entry = Entry { index: at as u32, body };
        self.index(&entry, at).map_err(Fault::Guest)?;
        self.log.push(entry);
        Ok(())
    }

    /// A value derived from the seed: takes a number, leaves no entry.
    pub fn derive(&mut self, scope: &Scope, buffer: &mut [u8]) -> Result<(), Fault> {
        let position = self.derived_position(scope)?;
        self.header.seed.fill(&position, buffer);
        Ok(())
    }

    /// A version 7 UUID derived from the seed; its time is the last recorded `now`.
    pub fn derive_uuid(&mut self, scope: &Scope) -> Result<Uuid, Fault> {
        let position = self.derived_position(scope)?;
        Ok(self.header.seed.uuid(&position, self.last_now_ms))
    }

    fn derived_position(&mut self, scope: &Scope) -> Result<Position, Fault> {
        let (position, _) = self.advance(scope)?;
        if let Some(record) = self.records.get(&position) {
            let Body::Command { kind, target, .. } = &self.log[record.command].body else {
                unreachable!("a record points at a command");
            };
            let recorded = format!("{kind} {target}");
            return Err(Fault::Mismatch {
                position,
                recorded,
                asked: "a derived value".into(),
            });
        }
        Ok(position)
    }

    /// `now`: recorded, and never below an earlier one. `observed_ms` is what the clock says.
    pub fn now(&mut self, scope: &Scope, observed_ms: u64) -> Result<u64, Fault> {
        let arguments = ArgumentHash([0; 16]);
        let now_ms = match self.command(scope, CommandKind::Observation, NOW, arguments)? {
            Step::Recorded(answer) => {
                let bytes = answer
                    .as_ref()
                    .try_into()
                    .map_err(|_| Fault::Guest("a recorded time is malformed".into()))?;
                u64::from_be_bytes(bytes)
            }
            Step::Perform(position) | Step::InDoubt(position) => {
                let now_ms = observed_ms.max(self.last_now_ms);
                let answer = Payload::copy_from_slice(&now_ms.to_be_bytes());
                self.complete(&position, CommandKind::Observation, NOW, arguments, answer)?;
                now_ms
            }
        };
        self.last_now_ms = self.last_now_ms.max(now_ms);
        Ok(now_ms)
    }

    fn advance(&mut self, scope: &Scope) -> Result<(Position, u32), Fault> {
        let cursor = match self.cursors.get_mut(scope) {
            Some(cursor) => cursor,
            None => self.cursors.entry(scope.clone()).or_default(),
        };
        let number = cursor.next;
        cursor.next = number
            .checked_add(1)
            .ok_or_else(|| Fault::LimitExceeded("too many commands in one scope".into()))?;
        let recorded_until = cursor.recorded_until;
        let position = Position {
            scope: scope.clone(),
            number,
        };
        self.last_position = Some(position.clone());
        Ok((position, recorded_until))
    }

    /// A wait that is to be durable before it begins: noted without an answer. `false`: it is recorded already.
    pub fn begin_wait(&mut self, position: &Position, target: &str, arguments: ArgumentHash) -> Result<bool, Fault> {
        if self.records.contains_key(position) {
            return Ok(false);
        }
        self.note(Body::Command {
            position: position.clone(),
            kind: CommandKind::Wait,
            target: target.to_owned(),
            arguments,
            answer: None,
        })?;
        Ok(true)
    }

    /// The instance that waits here is given up: notes what must be durable before. `node` owns the attempt that ends.
    pub fn suspend(
        &mut self,
        position: &Position,
        target: &str,
        arguments: ArgumentHash,
        node: NodeId,
    ) -> Result<(), Fault> {
        if self.begin_wait(position, target, arguments)? {
            return Ok(());
        }
        if self.pending().is_empty() {
            let attempt = self.attempt();
            let reason = FenceReason::Suspend;
            return self.note(Body::Fence { attempt, node, reason });
        }
        Ok(())
    }

    /// The number of the attempt under way: that of the last fence.
    fn attempt(&self) -> u32 {
        let fences = self.log.iter().rev().find_map(|entry| match entry.body {
            Body::Fence { attempt, .. } => Some(attempt),
            _ => None,
        });
        fences.unwrap_or_default()
    }

    /// A transaction was begun at this position; until it is closed, the guest may use nothing else.
    pub fn open_transaction(&mut self, position: &Position) {
        self.transaction = Some(OpenTransaction {
            begun: position.clone(),
            entries_before: self.log.len(),
        });
    }

    /// A transaction was begun and is not over.
    pub fn has_open_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// The transaction is over, either way.
    pub fn close_transaction(&mut self) {
        self.transaction = None;
    }

    /// The open transaction is to be done again: neither it nor what was noted within it ever was. The next attempt may take
    /// another way through it.
    pub fn abandon_transaction(&mut self) {
        if let Some(open) = self.transaction.take() {
            while self.log.len() > open.entries_before.max(self.durable) {
                self.forget_entry();
            }
            // Between it and the first entry within it, numbers may have gone to derived values.
            if let Some(cursor) = self.cursors.get_mut(&open.begun.scope) {
                cursor.recorded_until = cursor.recorded_until.min(open.begun.number);
            }
        }
    }

    /// The entries that are noted and not durable, in order; their first index is the fence.
    pub fn pending(&self) -> &[Entry] {
        &self.log[self.durable..]
    }

    /// Everything [`Machine::pending`] gave is durable now.
    pub fn appended(&mut self) {
        self.durable = self.log.len();
        self.commands_since_append = false;
        self.must_append = false;
    }

    /// The append that carried the last noted entry did not happen: that entry never was. Used when a transaction that was
    /// noted for its commit was rolled back instead.
    pub fn forget_last(&mut self, position: &Position) {
        let is_last = |record: &Record| record.command + 1 == self.log.len() && self.log.len() > self.durable;
        if self.records.get(position).is_some_and(is_last) {
            self.forget_entry();
        }
    }

    /// Takes the last entry back, which is not durable.
    fn forget_entry(&mut self) {
        match self.log.pop().map(|entry| entry.body) {
            Some(Body::Command { position, answer, .. }) => {
                self.payload_bytes -= answer.map_or(0, |answer| answer.len());
                self.records.remove(&position);
                if let Some(cursor) = self.cursors.get_mut(&position.scope) {
                    cursor.recorded_until = cursor.recorded_until.min(position.number);
                }
            }
            Some(Body::Completion { position, answer }) => {
                self.payload_bytes -= answer.len();
                if let Some(record) = self.records.get_mut(&position) {
                    record.completion = None;
                }
            }
            Some(Body::Started(_) | Body::Fence { .. } | Body::Output(_)) | None => {}
        }
    }

    /// The handler returned. With `keep` the output is noted even when nothing else was (a request with a key).
    pub fn finish(&mut self, output: Payload, keep: bool) -> Result<Finish, Fault> {
        if let Some(recorded) = self.recorded_output() {
            return if *recorded == output {
                Ok(Finish::Nothing)
            } else {
                Err(Fault::Mismatch {
                    position: Position {
                        scope: Scope::root(),
                        number: self.cursors.get(&Scope::root()).map_or(0, |c| c.next),
                    },
                    recorded: format!("an output of {} bytes", recorded.len()),
                    asked: format!("another output of {} bytes", output.len()),
                })
            };
        }
        if let Some(open) = &self.transaction {
            return Err(Fault::Guest(format!(
                "the handler returned while the transaction begun at {} is open",
                open.begun,
            )));
        }
        if !self.is_durable() && !keep && !self.must_append {
            return Ok(Finish::Nothing);
        }
        let lazily = self.is_durable() && !self.commands_since_append && !self.must_append;
        self.note(Body::Output(output))?;
        Ok(if lazily { Finish::Lazily } else { Finish::Eagerly })
    }

    /// The key a foreign system can recognise a repetition of this effect by.
    pub fn effect_key(&self, invocation: InvocationId, position: &Position) -> String {
        self.header.seed.effect_key(invocation, position)
    }
}

/// The target of `now`, the one observation allowed inside a transaction.
const NOW: &str = "nexus:durable/invocation.now-ms";

mod cancelled;
mod dry_run;
#[cfg(test)]
mod tests;

pub use dry_run::{Beyond, Returned};
