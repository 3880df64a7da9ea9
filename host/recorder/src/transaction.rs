//! A transaction of a module. Its entries enter the journal only with its commit: claim first, business rows, then the append,
//! then COMMIT. One that rolls back is an observation.

use std::sync::atomic::Ordering;

use host_journal::{AppendError, ArgumentHash, CommandKind, HostStatement, Payload, Step};
use host_traces::{Span, SpanKind};
use host_types::{Fault, Position};

use crate::Recorder;
use crate::Unwritten;
use crate::attempt::{Appending, Turn, append_fault};

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
    /// While it may be the one to write the claim.
    claiming: Option<Turn>,
    appending: Option<Appending>,
    span: Span,
}

impl Recorder {
    /// The guest begins a transaction; `arguments` are its options.
    pub fn transaction(&self, arguments: &[u8]) -> Result<TransactionStep, Fault> {
        let mut state = self.attempt.state.lock();
        let (step, arguments) = state.command(&self.scope, CommandKind::Transaction, TARGET, arguments.into())?;
        Ok(match step {
            Step::Recorded(record) => {
                state.replayed_transactions.push(self.scope.clone());
                TransactionStep::Recorded(record)
            }
            Step::Perform(position) | Step::InDoubt(position) => {
                state.machine.open_transaction(&position);
                state.transactions.push((position.clone(), Unwritten::default()));
                drop(state);
                let mut span = self.begin_span(SpanKind::Client, TARGET, &position);
                span.fail("it was not committed");
                TransactionStep::Perform(Transaction {
                    recorder: self.clone(),
                    position,
                    arguments,
                    claiming: None,
                    appending: None,
                    span,
                })
            }
        })
    }

    /// The guest has ended a transaction that was answered from its record.
    pub fn transaction_replayed(&self) {
        let mut state = self.attempt.state.lock();
        state.replayed_transactions.retain(|scope| *scope != self.scope);
    }

    /// A statement of a recorded transaction is not the one that was recorded.
    pub fn statement_mismatch(&self, recorded: String, asked: String) -> Fault {
        let mut state = self.attempt.state.lock();
        let position = state.machine.last_position_in(&self.scope);
        let position = position.unwrap_or(Position {
            scope: self.scope.clone(),
            number: 0,
        });
        state.fail(Fault::Mismatch {
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
    /// What must be the first statement after BEGIN, when this may become the invocation's first append under a key. Waits while a
    /// sibling is about to write the claim: asked before a session is leased.
    pub async fn claim(&mut self) -> Option<HostStatement> {
        let attempt = &self.recorder.attempt;
        // Asked again when the first statement could not be prepared.
        if self.claiming.is_none() {
            self.claiming = attempt.claim_turn().await;
        }
        let state = attempt.state.lock();
        let claim = state.unwritten.claim.as_ref();
        claim.map(|claim| attempt.journal.claim_statement(attempt.invocation, claim))
    }

    /// The guest commits: what must be executed right before COMMIT. `record` holds the statements and their results. Waits while a
    /// sibling appends; from then on nobody else does until this has ended.
    pub async fn append(&mut self, record: Payload) -> Result<Vec<HostStatement>, Fault> {
        let attempt = &self.recorder.attempt;
        let turn = attempt.append_turn().await;
        let append = {
            let mut state = attempt.state.lock();
            state.check()?;
            let noted = state
                .machine
                .note_transaction(&self.position, TARGET, self.arguments, record);
            noted.map_err(|fault| state.fail(fault))?;
            self.appending = Some(state.begin_append(turn));
            let within = state.transactions.iter().find(|(begun, _)| *begun == self.position);
            state.pending_append(attempt, None, within.map(|(_, unwritten)| unwritten))
        };
        attempt.writing.store(true, Ordering::SeqCst);
        Ok(attempt.journal.append_statements(&append))
    }

    /// The commit was acknowledged.
    pub fn committed(mut self) -> Result<(), Fault> {
        self.span.set("nexus.committed", true);
        self.span.succeed();
        self.settle(Ok(()))
    }

    /// The append or the commit failed, or nobody knows. Ends the attempt.
    pub fn commit_failed(self, error: AppendError) -> Fault {
        self.settle(Err(error)).err().unwrap_or(Fault::Fenced)
    }

    fn settle(self, written: Result<(), AppendError>) -> Result<(), Fault> {
        let attempt = &self.recorder.attempt;
        let within = {
            let mut state = attempt.state.lock();
            state.machine.close_transaction(&self.position);
            state.take_transaction(&self.position)
        };
        match (self.appending, written) {
            (Some(appending), written) => attempt.settle(appending, within, written),
            // Nothing was handed over: a claim that failed before.
            (None, Err(error)) => Err(attempt.fail(append_fault(error))),
            (None, Ok(())) => Ok(()),
        }
    }

    /// A constraint checked at commit refused it: nothing was written, and the guest is told. `record` says so.
    pub fn commit_refused(mut self, record: Payload) -> Result<(), Fault> {
        // Before the next append begins, what is not to be in it is taken back.
        self.recorder
            .attempt
            .state
            .lock()
            .machine
            .refuse_transaction(&self.position);
        self.release();
        self.rolled_back(record)
    }

    /// The guest rolled back: an observation, noted with the statements' results.
    pub fn rolled_back(mut self, record: Payload) -> Result<(), Fault> {
        self.span.set("nexus.committed", false);
        self.span.succeed();
        let mut state = self.recorder.attempt.state.lock();
        drop(state.take_transaction(&self.position));
        let noted = state
            .machine
            .note_transaction(&self.position, TARGET, self.arguments, record);
        state.machine.close_transaction(&self.position);
        noted.map_err(|fault| state.fail(fault))
    }

    /// The database wants the whole transaction again, or it never began: ends the attempt without a trace of it.
    pub fn abandoned(mut self, fault: Fault) -> Fault {
        {
            let mut state = self.recorder.attempt.state.lock();
            state.machine.abandon_transaction(&self.position);
            drop(state.take_transaction(&self.position));
        }
        self.release();
        self.recorder.attempt.fail(fault)
    }

    /// Nothing was written: others may append.
    fn release(&mut self) {
        if let Some(appending) = self.appending.take() {
            self.recorder.attempt.unwritten(appending);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use host_types::ComponentId;

    use super::*;
    use crate::test_support::MemoryJournal;
    use crate::{Attempt, CallStep};

    fn begin(attempt: &Arc<Attempt>) -> Transaction {
        match attempt.recorder().transaction(b"read committed").unwrap() {
            TransactionStep::Perform(transaction) => transaction,
            TransactionStep::Recorded(_) => panic!("nothing was committed"),
        }
    }

    fn schedule(attempt: &Arc<Attempt>, name: &str) {
        let component = ComponentId::from("cart");
        let bounds = crate::Bounds::default();
        let scheduled = attempt
            .recorder()
            .schedule(&component, bounds, name.into(), Vec::new(), 60_000);
        scheduled.unwrap();
    }

    /// How many invocations the next append would begin.
    fn unwritten(attempt: &Attempt) -> usize {
        let state = attempt.state.lock();
        let within = state.transactions.iter().map(|(_, unwritten)| unwritten.messages.len());
        state.unwritten.messages.len() + within.sum::<usize>()
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
    fn a_callee_schedules_itself_and_not_its_caller() {
        let attempt = Arc::new(MemoryJournal::default()).attempt();
        let Ok(CallStep::Enter(entered)) = attempt.recorder().call("stock:hold", b"") else {
            panic!("nothing is recorded")
        };
        let stock = ComponentId::from("stock");
        entered
            .callee()
            .schedule(&stock, crate::Bounds::default(), "expire".into(), Vec::new(), 1)
            .unwrap();
        let state = attempt.state.lock();
        assert_eq!(state.unwritten.messages[0].start.component, stock);
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
