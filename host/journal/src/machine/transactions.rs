//! Transactions that are open. What a guest notes within one (the time, messages) is held apart until it ends: concurrent siblings
//! append meanwhile, and must not make durable what a rollback would take back.

use host_types::{Fault, Position, Scope};

use super::Machine;
use crate::{ArgumentHash, Body, CommandKind, Payload};

#[derive(Debug)]
pub(super) struct OpenTransaction {
    pub(super) begun: Position,
    held: Vec<Body>,
    held_bytes: usize,
}

impl OpenTransaction {
    /// Whether this was issued within the transaction. What its scope had begun before is not.
    fn holds(&self, position: &Position) -> bool {
        position.scope == self.begun.scope && position.number > self.begun.number
    }
}

impl Machine {
    /// A transaction was begun at this position; until it is closed, the guest of this scope may use nothing else.
    pub fn open_transaction(&mut self, position: &Position) {
        self.transactions.push(OpenTransaction {
            begun: position.clone(),
            held: Vec::new(),
            held_bytes: 0,
        });
    }

    /// `asked` is nothing that this scope may ask for while it has a transaction open.
    pub fn check_no_transaction(&self, scope: &Scope, asked: &str) -> Result<(), Fault> {
        match self.transactions.iter().find(|open| open.begun.scope == *scope) {
            None => Ok(()),
            Some(open) => Err(Fault::Guest(format!(
                "{asked} was used while the transaction begun at {} is open: commit or roll back first, or use the transaction",
                open.begun,
            ))),
        }
    }

    /// The callee of the call at this position has returned, and left no transaction open.
    pub fn check_closed(&self, call: &Position) -> Result<(), Fault> {
        let mut open = self.transactions.iter();
        match open.find(|open| open.begun.scope.opened_by().as_ref() == Some(call)) {
            None => Ok(()),
            Some(open) => Err(Fault::Guest(format!(
                "a function returned while the transaction begun at {} is open: commit or roll back first",
                open.begun,
            ))),
        }
    }

    /// The transaction is at its end: what was noted within it joins the record, and then the record of its statements.
    pub fn note_transaction(
        &mut self,
        position: &Position,
        target: &str,
        arguments: ArgumentHash,
        record: Payload,
    ) -> Result<(), Fault> {
        let open = self.transactions.iter_mut().find(|open| open.begun == *position);
        if let Some(open) = open {
            open.held_bytes = 0;
            for body in std::mem::take(&mut open.held) {
                self.push(body)?;
            }
        }
        self.complete(position, CommandKind::Transaction, target, arguments, record)
    }

    /// The transaction is over, either way.
    pub fn close_transaction(&mut self, position: &Position) {
        self.transactions.retain(|open| open.begun != *position);
    }

    /// The commit that was noted was refused: the record of its statements never was.
    pub fn refuse_transaction(&mut self, position: &Position) {
        self.take_back(|noted| noted == position);
    }

    /// The transaction is to be done again: neither it nor what was noted within it ever was. The next attempt may take another way
    /// through it.
    pub fn abandon_transaction(&mut self, position: &Position) {
        self.close_transaction(position);
        self.take_back(|noted| noted.scope == position.scope && noted.number >= position.number);
    }

    /// How many entries are held, and bytes of them.
    pub(super) fn held(&self) -> (usize, usize) {
        self.transactions.iter().fold((0, 0), |(count, bytes), open| {
            (count + open.held.len(), bytes + open.held_bytes)
        })
    }

    /// Holds what was noted within a transaction; gives back what was not.
    pub(super) fn hold(&mut self, body: Body, size_bytes: usize) -> Option<Body> {
        let within = body
            .position()
            .and_then(|position| self.transactions.iter_mut().find(|open| open.holds(position)));
        match within {
            None => Some(body),
            Some(open) => {
                open.held.push(body);
                open.held_bytes += size_bytes;
                None
            }
        }
    }
}
