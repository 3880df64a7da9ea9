//! A transaction that happened: each statement is compared with the recorded one and answered with its result.

use std::vec::IntoIter;

use host_bindings::nexus::sql::sql::{Error, Value};
use host_recorder::Recorder;
use host_types::Fault;

use super::ended;
use crate::record::{self, Answer, End, Step};

/// Characters of a statement that a mismatch shows.
const SHOWN: usize = 80;

pub(crate) struct RecordedTransaction {
    recorder: Recorder,
    steps: IntoIter<Step>,
    end: Option<End>,
}

impl RecordedTransaction {
    pub(crate) fn read(recorder: Recorder, record: &[u8]) -> Result<Self, Fault> {
        match record::transaction(record) {
            Ok((steps, end)) => Ok(Self {
                recorder,
                steps: steps.into_iter(),
                end: Some(end),
            }),
            Err(error) => {
                let fault = Fault::Guest(format!("the record of a transaction is malformed: {error}"));
                Err(recorder.attempt().fail(fault))
            }
        }
    }

    pub(crate) fn run(&mut self, text: &str, parameters: &[Value]) -> Result<Answer, Fault> {
        let asked = self.recorder.hash(&record::statement(text, parameters));
        match self.next()? {
            Some(Step::Statement { hash, answer }) if hash == asked => Ok(answer),
            other => {
                let shown: String = text.chars().take(SHOWN).collect();
                Err(self.mismatch(other.as_ref(), format!("statement {}: {shown}", hex(&asked))))
            }
        }
    }

    pub(crate) fn savepoint(&mut self) -> Result<(), Fault> {
        match self.next()? {
            Some(Step::Savepoint) => Ok(()),
            other => Err(self.mismatch(other.as_ref(), "savepoint".into())),
        }
    }

    pub(crate) fn release(&mut self) -> Result<(), Fault> {
        match self.next()? {
            Some(Step::Release) => Ok(()),
            other => Err(self.mismatch(other.as_ref(), "release".into())),
        }
    }

    pub(crate) fn roll_back_to(&mut self) -> Result<(), Fault> {
        match self.next()? {
            Some(Step::RollbackTo) => Ok(()),
            other => Err(self.mismatch(other.as_ref(), "rollback-to".into())),
        }
    }

    pub(crate) fn commit(&mut self) -> Result<Result<(), Error>, Fault> {
        if let Some(step) = self.next()? {
            return Err(self.mismatch(Some(&step), "commit".into()));
        }
        match self.end.take() {
            Some(End::Committed) => {
                self.recorder.transaction_replayed();
                Ok(Ok(()))
            }
            Some(End::Refused(error)) => {
                self.recorder.transaction_replayed();
                Ok(Err(error))
            }
            _ => Err(self.recorder.statement_mismatch("rollback".into(), "commit".into())),
        }
    }

    pub(crate) fn roll_back(&mut self) -> Result<(), Fault> {
        if self.end.is_none() {
            return Ok(());
        }
        if let Some(step) = self.next()? {
            return Err(self.mismatch(Some(&step), "rollback".into()));
        }
        match self.end.take() {
            Some(End::RolledBack) => {
                self.recorder.transaction_replayed();
                Ok(())
            }
            _ => Err(self.recorder.statement_mismatch("commit".into(), "rollback".into())),
        }
    }

    fn next(&mut self) -> Result<Option<Step>, Fault> {
        if self.end.is_none() {
            return Err(self.recorder.attempt().fail(ended()));
        }
        Ok(self.steps.next())
    }

    fn mismatch(&self, recorded: Option<&Step>, asked: String) -> Fault {
        let recorded = match (recorded, &self.end) {
            (Some(Step::Savepoint), _) => "savepoint".to_owned(),
            (Some(Step::Release), _) => "release".to_owned(),
            (Some(Step::RollbackTo), _) => "rollback-to".to_owned(),
            (Some(Step::Statement { hash, .. }), _) => format!("statement {}", hex(hash)),
            (None, Some(End::RolledBack)) => "rollback".to_owned(),
            (None, _) => "commit".to_owned(),
        };
        self.recorder.statement_mismatch(recorded, asked)
    }
}

fn hex(hash: &[u8; 16]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
