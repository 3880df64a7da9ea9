//! A transaction of a module. Its entries enter the journal only with its commit: claim first, business rows, then the append,
//! then COMMIT. One that rolls back is an observation.

use std::sync::atomic::Ordering;

use host_journal::{AppendError, ArgumentHash, CommandKind, HostStatement, Payload, Step};
use host_types::{Fault, Position};

use crate::Recorder;

const TARGET: &str = "nexus:sql/sql.transaction";

/// What to do about a transaction the guest begins.
pub enum TransactionStep {
    /// It happened before; this is the record of its statements and its end.
    Recorded(Payload),
    /// Open it.
    Perform(Transaction),
}

/// A transaction under way. Exactly one of [`Transaction::committed`], [`Transaction::commit_failed`],
/// [`Transaction::rolled_back`] and [`Transaction::abandoned`] ends it.
pub struct Transaction {
    recorder: Recorder,
    position: Position,
    arguments: ArgumentHash,
}

impl Recorder {
    /// The guest begins a transaction; `arguments` are its options.
    pub fn transaction(&self, arguments: &[u8]) -> Result<TransactionStep, Fault> {
        let mut state = self.attempt.state.lock();
        if let Some(fault) = state.fault() {
            return Err(fault.clone());
        }
        let arguments = state.machine.header().seed.hash(arguments);
        match state
            .machine
            .command(&self.scope, CommandKind::Transaction, TARGET, arguments)
        {
            Ok(Step::Recorded(record)) => {
                state.replays_transaction = true;
                Ok(TransactionStep::Recorded(record))
            }
            Ok(Step::Perform(position) | Step::InDoubt(position)) => {
                state.machine.open_transaction(&position);
                drop(state);
                Ok(TransactionStep::Perform(Transaction {
                    recorder: self.clone(),
                    position,
                    arguments,
                }))
            }
            Err(fault) => Err(state.fail(fault)),
        }
    }

    /// The guest has ended a transaction that was answered from its record.
    pub fn transaction_replayed(&self) {
        self.attempt.state.lock().replays_transaction = false;
    }

    /// A statement of a recorded transaction is not the one that was recorded.
    pub fn statement_mismatch(&self, recorded: String, asked: String) -> Fault {
        let position = self.attempt.last_position();
        let position = position.unwrap_or(Position {
            scope: self.scope.clone(),
            number: 0,
        });
        self.attempt.fail(Fault::Mismatch {
            position,
            recorded,
            asked,
        })
    }

    /// The keyed hash under which a statement and its parameters are recorded.
    pub fn hash(&self, arguments: &[u8]) -> [u8; 16] {
        self.attempt.state.lock().machine.header().seed.hash(arguments).0
    }
}

impl Transaction {
    /// What must be the first statement after BEGIN, when this may become the invocation's first append under a key.
    pub fn claim(&self) -> Option<HostStatement> {
        let attempt = &self.recorder.attempt;
        let state = attempt.state.lock();
        state
            .claim()
            .map(|claim| attempt.journal.claim_statement(attempt.invocation, claim))
    }

    /// The guest commits: what must be executed right before COMMIT. `record` holds the statements and their results.
    pub fn append(&self, record: Payload) -> Result<Vec<HostStatement>, Fault> {
        let attempt = &self.recorder.attempt;
        self.note(record)?;
        attempt.writing.store(true, Ordering::SeqCst);
        let append = attempt.state.lock().pending_append(attempt, None);
        Ok(attempt.journal.append_statements(&append))
    }

    /// The commit was acknowledged.
    pub fn committed(self) -> Result<(), Fault> {
        self.recorder.attempt.state.lock().machine.close_transaction();
        self.recorder.attempt.settle(Ok(()))
    }

    /// The append or the commit failed, or nobody knows. Ends the attempt.
    pub fn commit_failed(self, error: AppendError) -> Fault {
        self.recorder.attempt.settle(Err(error)).err().unwrap_or(Fault::Fenced)
    }

    /// A constraint checked at commit refused it: nothing was written, and the guest is told. `record` says so.
    pub fn commit_refused(self, record: Payload) -> Result<(), Fault> {
        self.recorder.attempt.state.lock().machine.forget_last(&self.position);
        self.rolled_back(record)
    }

    /// The guest rolled back: an observation, noted with the statements' results.
    pub fn rolled_back(self, record: Payload) -> Result<(), Fault> {
        self.recorder.attempt.state.lock().machine.close_transaction();
        self.note(record)
    }

    /// The database wants the whole transaction again, or it never began: ends the attempt without a trace of it.
    pub fn abandoned(self, fault: Fault) -> Fault {
        let mut state = self.recorder.attempt.state.lock();
        state.machine.forget_last(&self.position);
        state.fail(fault)
    }

    fn note(&self, record: Payload) -> Result<(), Fault> {
        self.recorder
            .complete(&self.position, CommandKind::Transaction, TARGET, self.arguments, record)
    }
}
