//! A transaction of a module. Its entries enter the journal only with its commit: claim first, business rows, then the append,
//! then COMMIT. One that rolls back is an observation.

use std::sync::atomic::Ordering;

use host_journal::{AppendError, ArgumentHash, CommandKind, HostStatement, Payload, Step};
use host_types::{Fault, Position};

use crate::Recorder;
use crate::attempt::UnwrittenMark;

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
    /// What was unwritten when it began: what came after is its own, and goes with its commit alone.
    before: UnwrittenMark,
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
                #[cfg(any(test, feature = "test-support"))]
                if let Some(fault) = crate::interpose::fault(self.attempt.node(), CommandKind::Transaction, TARGET) {
                    return Err(state.fail(fault));
                }
                state.machine.open_transaction(&position);
                let before = state.unwritten.mark();
                drop(state);
                Ok(TransactionStep::Perform(Transaction {
                    recorder: self.clone(),
                    position,
                    arguments,
                    before,
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
        {
            let mut state = self.recorder.attempt.state.lock();
            state.machine.close_transaction();
            state.unwritten.truncate(self.before);
        }
        self.note(record)
    }

    /// The database wants the whole transaction again, or it never began: ends the attempt without a trace of it.
    pub fn abandoned(self, fault: Fault) -> Fault {
        let mut state = self.recorder.attempt.state.lock();
        state.machine.abandon_transaction();
        state.unwritten.truncate(self.before);
        state.fail(fault)
    }

    fn note(&self, record: Payload) -> Result<(), Fault> {
        self.recorder
            .complete(&self.position, CommandKind::Transaction, TARGET, self.arguments, record)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Attempt;
    use crate::test_support::MemoryJournal;

    fn begin(attempt: &Arc<Attempt>) -> Transaction {
        match attempt.recorder().transaction(b"read committed").unwrap() {
            TransactionStep::Perform(transaction) => transaction,
            TransactionStep::Recorded(_) => panic!("nothing was committed"),
        }
    }

    fn schedule(attempt: &Arc<Attempt>, name: &str) {
        attempt.recorder().schedule(name.into(), Vec::new(), 60_000).unwrap();
    }

    /// How many invocations the next append would begin.
    fn unwritten(attempt: &Attempt) -> usize {
        attempt.state.lock().unwritten.messages.len()
    }

    #[test]
    fn what_was_scheduled_in_a_transaction_goes_with_it() {
        let attempt = Arc::new(MemoryJournal::default()).attempt();
        schedule(&attempt, "before");
        let transaction = begin(&attempt);
        schedule(&attempt, "within");
        assert_eq!(unwritten(&attempt), 2);
        transaction.rolled_back(Payload::new()).unwrap();
        assert_eq!(unwritten(&attempt), 1);
    }

    #[test]
    fn what_was_scheduled_is_not_forgotten_by_the_next_attempt() {
        let journal = Arc::new(MemoryJournal::default());
        let first = journal.attempt();
        schedule(&first, "before");
        let transaction = begin(&first);
        schedule(&first, "within");
        drop(transaction.abandoned(Fault::RepeatTransaction("a deadlock".into())));

        let second = journal.attempt_again(first);
        assert_eq!(unwritten(&second), 1);
        schedule(&second, "before");
        assert_eq!(unwritten(&second), 1, "it was noted");
        let _open = begin(&second);
        schedule(&second, "within");
        assert_eq!(unwritten(&second), 2);
    }
}
