//! A query that goes on beside the guest that began it.

use std::sync::Arc;

use host_bindings::nexus::sql::sql::Value;
use host_journal::Payload;
use host_recorder::{Beside, ObserveStep, Recorder};
use host_types::Fault;

use crate::host::QUERY;
use crate::record::{self, Answer};
use crate::{SqlContext, query};

/// Queries that one instance may have begun and not finished.
pub(crate) const MAX_PENDING: usize = 16;

/// A query that was begun.
pub(crate) enum PendingQuery {
    /// It was answered in an earlier attempt.
    Ended(Payload),
    /// It goes on.
    Beside(Beside<Answer>),
}

impl PendingQuery {
    pub(crate) fn begin(context: &SqlContext, statement: String, parameters: Vec<Value>) -> Result<Self, Fault> {
        let arguments = record::statement(&statement, &parameters);
        let observing = match context.recorder.begin_observation(QUERY, &arguments)? {
            ObserveStep::Recorded(answer) => return Ok(Self::Ended(answer)),
            ObserveStep::Perform(observing) => observing,
        };
        let pool = Arc::clone(&context.pool);
        let work = move |branch: Recorder| async move {
            let _turn = branch.attempt().session_turn().await;
            let answer = query::query(&pool, &statement, &parameters).await?;
            observing.observed(record::encode_answer(&answer))?;
            Ok(answer)
        };
        let work = Box::new(|branch| Box::pin(work(branch)) as _);
        Ok(Self::Beside(context.recorder.beside(work)))
    }

    /// Its answer, once it is there.
    pub(crate) async fn finish(self, context: &SqlContext) -> Result<Answer, Fault> {
        context.recorder.check_may_wait("nexus:sql/sql.pending-query.finish")?;
        match self {
            Self::Beside(beside) => beside.outcome(&context.recorder).await,
            Self::Ended(recorded) => record::decode_answer(&recorded).map_err(|error| {
                let fault = Fault::Guest(format!("the record of a query is malformed: {error}"));
                context.recorder.attempt().fail(fault)
            }),
        }
    }
}
