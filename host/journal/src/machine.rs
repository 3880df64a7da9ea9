//! Replaying and processing. One machine per attempt; it is told what the guest asks and what became of it, and answers what to
//! do and what must be written before what.

use std::collections::HashMap;

use host_types::{Fault, NodeId, Position, Scope};

use crate::entry::{MAX_ENTRIES, MAX_ENTRY_BYTES, MAX_INVOCATION_BYTES, UNDOING_BYTES, UNDOING_ENTRIES};
use crate::{ArgumentHash, Body, CommandKind, Entry, FenceReason, Header, Payload};

use derived::{NOW, told_ms};
use transactions::OpenTransaction;

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
    /// The last time that was told here, or to the caller when it opened the scope. The time of derived ids, which are the same
    /// whatever concurrent siblings were told, and whether or not what was called is entered again.
    now_ms: u64,
}

/// A command whose guest did not wait for the answer.
#[derive(Debug)]
struct Begun {
    position: Position,
    kind: CommandKind,
    target: String,
    arguments: ArgumentHash,
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
    /// Commands that are begun and in no entry yet: with nothing after them in their scope, they are noted with their answer.
    begun: Vec<Begun>,
    /// Those that are open, in scopes that differ: one scope has one at a time.
    transactions: Vec<OpenTransaction>,
    last_position: Option<Position>,
    /// The latest time that was told anywhere in the invocation.
    now_floor_ms: u64,
    /// Of the input, and of every answer.
    payload_bytes: usize,
    /// Where the guest has another secret than is recorded of it.
    other_secrets: Vec<Scope>,
    /// It was cancelled, and its handler is not called any more.
    is_undoing: bool,
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
            now_floor_ms: header.started_ms,
            payload_bytes: header.input.len(),
            header,
            log,
            durable,
            records: HashMap::new(),
            cursors: HashMap::new(),
            begun: Vec::new(),
            transactions: Vec::new(),
            last_position: None,
            other_secrets: Vec::new(),
            is_undoing: false,
            dry_run: None,
        }
    }

    fn index(&mut self, entry: &Entry, at: usize) -> Result<(), String> {
        match &entry.body {
            Body::Command {
                position,
                target,
                answer,
                ..
            } => {
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
                if target == NOW
                    && let Some(told) = answer.as_deref().and_then(told_ms)
                {
                    self.now_floor_ms = self.now_floor_ms.max(told);
                }
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

    /// The last command this attempt issued in this scope; for a scope without one, the call that opened it.
    pub fn last_position_in(&self, scope: &Scope) -> Option<Position> {
        let next = self.cursors.get(scope).map_or(0, |cursor| cursor.next);
        match next.checked_sub(1) {
            Some(number) => Some(Position {
                scope: scope.clone(),
                number,
            }),
            None => scope.opened_by(),
        }
    }

    /// Begins another attempt in the same process: what was noted is kept and answers the new attempt. Not what was noted in
    /// transactions that are still open, which never were; and not the intents that are not durable, which nobody has acted upon.
    pub fn rewind(&mut self) {
        self.transactions.clear();
        self.begun.clear();
        self.other_secrets.clear();
        let intents: Vec<Position> = self.log[self.durable..]
            .iter()
            .filter_map(|entry| match &entry.body {
                Body::Command {
                    position,
                    kind: CommandKind::External,
                    ..
                } if self.records[position].completion.is_none() => Some(position.clone()),
                _ => None,
            })
            .collect();
        if !intents.is_empty() {
            self.take_back(|position| intents.contains(position));
        }
        for cursor in self.cursors.values_mut() {
            (cursor.next, cursor.now_ms) = (0, 0);
        }
        self.last_position = None;
    }

    /// The guest asks for something, and waits for the answer.
    pub fn command(
        &mut self,
        scope: &Scope,
        kind: CommandKind,
        target: &str,
        arguments: ArgumentHash,
    ) -> Result<Step, Fault> {
        if kind != CommandKind::Message && target != NOW {
            self.check_no_transaction(scope, target)?;
        }
        let (position, recorded_until) = self.advance(scope)?;
        if let Some(record) = self.records.get(&position) {
            let step = self.recorded(&position, *record, kind, target, arguments)?;
            let step = self.compare(step, &position, kind, target)?;
            if kind == CommandKind::Call && matches!(step, Step::Perform(_)) {
                self.open_scope(&position);
            }
            return Ok(step);
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
        if kind == CommandKind::Call {
            self.open_scope(&position);
        }
        Ok(Step::Perform(position))
    }

    /// The guest asks for something, and goes on before it has the answer. What comes after it in its scope may become durable before
    /// its answer: it is noted before that at the latest.
    pub fn begin(
        &mut self,
        scope: &Scope,
        kind: CommandKind,
        target: &str,
        arguments: ArgumentHash,
    ) -> Result<Step, Fault> {
        let step = self.command(scope, kind, target, arguments)?;
        if let Step::Perform(position) = &step
            && !self.records.contains_key(position)
        {
            self.begun.push(Begun {
                position: position.clone(),
                kind,
                target: target.to_owned(),
                arguments,
            });
        }
        Ok(step)
    }

    /// Notes what this scope has begun, before what comes next in it.
    fn note_begun(&mut self, scope: &Scope) -> Result<(), Fault> {
        let (noted, begun) = std::mem::take(&mut self.begun)
            .into_iter()
            .partition(|begun| begun.position.scope == *scope);
        self.begun = begun;
        let noted: Vec<Begun> = noted;
        for Begun {
            position,
            kind,
            target,
            arguments,
        } in noted
        {
            let answer = None;
            self.note(Body::Command {
                position,
                kind,
                target,
                arguments,
                answer,
            })?;
        }
        Ok(())
    }

    /// The call at this position is entered: what it is told of the time begins where its caller is.
    fn open_scope(&mut self, call: &Position) {
        let now_ms = self.cursors.get(&call.scope).map_or(0, |cursor| cursor.now_ms);
        if now_ms > 0 {
            let opened = self.cursors.entry(call.scope.child(call.number)).or_default();
            opened.now_ms = now_ms;
        }
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
        let position = position.clone();
        if !self.begun.is_empty() {
            self.begun.retain(|begun| begun.position != position);
        }
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
                "an answer of {size} bytes: one entry holds at most {MAX_ENTRY_BYTES}; read less at once",
            )));
        }
        let (max_bytes, max_entries, instead) = match self.is_undoing {
            false => (
                MAX_INVOCATION_BYTES,
                MAX_ENTRIES,
                "end it with the rest of its work sent to a new one",
            ),
            true => (
                // One that was full before inputs were counted has the room all the same.
                MAX_INVOCATION_BYTES + UNDOING_BYTES + self.header.input.len(),
                MAX_ENTRIES + UNDOING_ENTRIES,
                "what is left to be undone is for a person",
            ),
        };
        let (held, held_bytes) = self.held();
        if self.payload_bytes + held_bytes + size > max_bytes || self.log.len() + held >= max_entries {
            return Err(Fault::LimitExceeded(format!(
                "the invocation holds more than {max_bytes} bytes or {max_entries} entries: {instead}",
            )));
        }
        match self.hold(body, size) {
            Some(body) => self.push(body),
            None => Ok(()),
        }
    }

    fn push(&mut self, body: Body) -> Result<(), Fault> {
        let at = self.log.len();
        let entry = Entry { index: at as u32, body };
        self.index(&entry, at).map_err(Fault::Guest)?;
        self.log.push(entry);
        Ok(())
    }

    fn advance(&mut self, scope: &Scope) -> Result<(Position, u32), Fault> {
        if !self.begun.is_empty() {
            self.note_begun(scope)?;
        }
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

    /// The entries that are noted and not durable, in order; their first index is the fence.
    pub fn pending(&self) -> &[Entry] {
        &self.log[self.durable..]
    }

    /// The entries before this index are durable now. What was noted while they were written is not.
    pub fn appended(&mut self, until: u32) {
        self.durable = self.durable.max(until as usize);
    }

    /// Takes entries back that are noted and not durable, by the position of what they say. Those after them move up.
    fn take_back(&mut self, is_taken: impl Fn(&Position) -> bool) {
        let is_taken = |entry: &Entry| entry.body.position().is_some_and(&is_taken);
        let pending = self.log[self.durable..].iter();
        let Some(first) = pending.clone().position(is_taken) else {
            return;
        };
        let after = self.log.split_off(self.durable + first);
        after.iter().for_each(|entry| self.forget(entry));
        for entry in after.into_iter().filter(|entry| !is_taken(entry)) {
            let at = self.log.len();
            let entry = Entry {
                index: at as u32,
                body: entry.body,
            };
            // It was indexed before; a completion whose command was taken back has been taken back as well.
            let _ = self.index(&entry, at);
            self.log.push(entry);
        }
        self.cursors.values_mut().for_each(|cursor| cursor.recorded_until = 0);
        for position in self.records.keys() {
            if let Some(cursor) = self.cursors.get_mut(&position.scope) {
                cursor.recorded_until = cursor.recorded_until.max(position.number + 1);
            }
        }
    }

    /// As if it had not been indexed. `recorded_until` is not lowered.
    fn forget(&mut self, entry: &Entry) {
        match &entry.body {
            Body::Command { position, answer, .. } => {
                self.payload_bytes -= answer.as_ref().map_or(0, |answer| answer.len());
                self.records.remove(position);
            }
            Body::Completion { position, answer } => {
                self.payload_bytes -= answer.len();
                if let Some(record) = self.records.get_mut(position) {
                    record.completion = None;
                }
            }
            Body::Started(_) | Body::Fence { .. } | Body::Output(_) => {}
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
        if let Some(open) = self.transactions.first() {
            return Err(Fault::Guest(format!(
                "the handler returned while the transaction begun at {} is open",
                open.begun,
            )));
        }
        // Messages must be written whatever else happens.
        let has_messages = self.pending().iter().any(|entry| {
            let kind = CommandKind::Message;
            matches!(&entry.body, Body::Command { kind: noted, .. } if *noted == kind)
        });
        if !self.is_durable() && !keep && !has_messages {
            return Ok(Finish::Nothing);
        }
        let lazily = self.is_durable() && self.pending().iter().all(|entry| self.is_given_again(&entry.body));
        self.note(Body::Output(output))?;
        Ok(if lazily { Finish::Lazily } else { Finish::Eagerly })
    }

    /// A replay gives this again, whatever the world is like then: what a call returned, as long as what it did is durable.
    fn is_given_again(&self, body: &Body) -> bool {
        let Body::Completion { position, .. } = body else {
            return false;
        };
        let command = self.records.get(position).map(|record| &self.log[record.command].body);
        matches!(
            command,
            Some(Body::Command {
                kind: CommandKind::Call,
                ..
            })
        )
    }
}

mod cancelled;
mod derived;
mod dry_run;
mod secrets;
#[cfg(test)]
mod tests;
mod transactions;

pub use dry_run::{Beyond, Returned};
pub use secrets::{Likeness, RequestHashes};
