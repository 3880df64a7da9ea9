//! A guest's transaction: done on the server, or answered from its record.

use host_bindings::nexus::sql::sql::{Error, Isolation, Value};
use host_recorder::TransactionStep;
use host_recorder::crash::{self, Point};
use host_types::Fault;

use crate::SqlContext;
use crate::record::Answer;

mod commit;
mod open;
mod recorded;
mod savepoints;
mod watchdog;

use open::OpenTransaction;
use recorded::RecordedTransaction;
pub(crate) use watchdog::{Watch, Watchdog};

/// Either way, the guest sees the same.
pub(crate) enum Transaction {
    Open(Box<OpenTransaction>),
    Recorded(RecordedTransaction),
}

impl Transaction {
    /// Asks the record first. The server is not asked before the first statement.
    pub(crate) fn begin(context: &SqlContext, isolation: Isolation) -> Result<Self, Fault> {
        let arguments: &[u8] = match isolation {
            Isolation::ReadCommitted => b"read-committed",
            Isolation::Serializable => b"serializable",
        };
        let recorder = context.recorder.clone();
        Ok(match context.recorder.transaction(arguments)? {
            TransactionStep::Recorded(record) => Self::Recorded(RecordedTransaction::read(recorder, &record)?),
            TransactionStep::Perform(entry) => Self::Open(Box::new(OpenTransaction::new(
                context.pool.clone(),
                recorder,
                entry,
                isolation,
            ))),
        })
    }

    pub(crate) async fn run(&mut self, text: &str, parameters: &[Value]) -> Result<Answer, Fault> {
        match self {
            Self::Open(open) => {
                let answer = open.run(text, parameters).await;
                crash::reached(Point::BetweenStatements);
                answer
            }
            Self::Recorded(recorded) => recorded.run(text, parameters),
        }
    }

    pub(crate) async fn savepoint(&mut self) -> Result<(), Fault> {
        match self {
            Self::Open(open) => open.savepoint().await,
            Self::Recorded(recorded) => recorded.savepoint(),
        }
    }

    pub(crate) async fn release(&mut self) -> Result<(), Fault> {
        match self {
            Self::Open(open) => open.release().await,
            Self::Recorded(recorded) => recorded.release(),
        }
    }

    pub(crate) async fn roll_back_to(&mut self) -> Result<(), Fault> {
        match self {
            Self::Open(open) => open.roll_back_to().await,
            Self::Recorded(recorded) => recorded.roll_back_to(),
        }
    }

    pub(crate) async fn commit(&mut self) -> Result<Result<(), Error>, Fault> {
        match self {
            Self::Open(open) => open.commit().await,
            Self::Recorded(recorded) => recorded.commit(),
        }
    }

    /// Nothing when it has ended already.
    pub(crate) async fn roll_back(&mut self) -> Result<(), Fault> {
        match self {
            Self::Open(open) => open.roll_back().await,
            Self::Recorded(recorded) => recorded.roll_back(),
        }
    }
}

/// The guest used a transaction after its end.
fn ended() -> Fault {
    Fault::Guest("a transaction was used after it had been committed or rolled back".into())
}

/// The guest opened savepoints without end.
fn too_deep() -> Fault {
    let limit = savepoints::MAX_DEPTH;
    Fault::LimitExceeded(format!(
        "savepoints are nested deeper than {limit}: release or roll back some first"
    ))
}

/// The guest closed a savepoint it had not opened.
fn no_savepoint() -> Fault {
    Fault::Guest("a savepoint was released or rolled back, and none is open".into())
}
