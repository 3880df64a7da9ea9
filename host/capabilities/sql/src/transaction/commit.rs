//! The append and COMMIT, in one round trip, and what each of their failures means.
//!
//! The driver does not show COMMIT's command tag, which says ROLLBACK when the transaction had failed. It need not be seen: a
//! transaction fails only by a statement whose error was reported to us, the last statement before COMMIT is a host statement, and
//! a failed transaction refuses that. COMMIT outside a transaction is a warning, which the session's wire watches for.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use host_bindings::nexus::sql::sql;
use host_journal::{AppendError, HostStatement};
use tokio_postgres::error::SqlState;

use crate::connection::Connection;
use crate::error::{Failure, classify, describe, refused};

/// What became of a commit.
#[derive(Debug)]
pub(crate) enum Outcome {
    Committed,
    /// A constraint checked at commit: nothing was written, the guest is told.
    Refused(sql::Error),
    /// The server wants the whole transaction again; nothing was written.
    Repeat(String),
    /// The append did not happen, or nobody knows.
    Failed(AppendError),
    /// The session was not in the transaction the host believed it in.
    Astray,
}

impl Outcome {
    /// The word for it in metrics.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Refused(_) => "refused",
            Self::Repeat(_) => "repeated",
            Self::Failed(_) | Self::Astray => "failed",
        }
    }
}

/// Sends what is left of the savepoints, the host's statements (prepared before) and COMMIT.
pub(crate) async fn commit(
    connection: &Connection,
    savepoints: Option<String>,
    statements: &[HostStatement],
) -> Outcome {
    let client = connection.client();
    let mut requests: Vec<Request<'_>> = Vec::with_capacity(statements.len() + 2);
    if let Some(savepoints) = &savepoints {
        requests.push(Box::pin(client.batch_execute(savepoints)));
    }
    for statement in statements {
        requests.push(Box::pin(connection.execute_host(statement)));
    }
    requests.push(Box::pin(client.batch_execute("COMMIT")));
    let mut answers = in_order(requests).await;
    let commit = answers.pop().unwrap_or(Ok(()));

    if connection.is_astray() {
        return Outcome::Astray;
    }
    if let Some(error) = answers.into_iter().find_map(Result::err) {
        return append_failed(&error);
    }
    match commit {
        Ok(()) => Outcome::Committed,
        Err(error) => commit_failed(&error),
    }
}

fn append_failed(error: &tokio_postgres::Error) -> Outcome {
    match classify(error) {
        Failure::Repeat(text) => Outcome::Repeat(text),
        Failure::Refused(sql::Error::UniqueViolation(_)) => Outcome::Failed(AppendError::Fenced),
        Failure::Refused(_) => Outcome::Failed(refused_append("append", error)),
        _ => Outcome::Failed(AppendError::Unknown(format!("append: {}", describe(error)))),
    }
}

fn commit_failed(error: &tokio_postgres::Error) -> Outcome {
    let unknown = || Outcome::Failed(AppendError::Unknown(format!("commit: {}", describe(error))));
    let Some(db) = error.as_db_error() else {
        return unknown();
    };
    let failure = classify(error);
    if let Failure::Repeat(text) = failure {
        return Outcome::Repeat(text);
    }
    // Deferred constraints, and what constraint triggers raise.
    let code = db.code();
    if code.code().starts_with("23") || *code == SqlState::RAISE_EXCEPTION {
        return Outcome::Refused(refused(db));
    }
    match failure {
        Failure::Refused(_) => Outcome::Failed(AppendError::Refused(format!("commit: {}", describe(error)))),
        _ => unknown(),
    }
}

/// What it means that the server refuses a statement of the host, for a part of an append. Is it a word of the host's own functions about this
/// node, what became of the invocation is for the next look at it to say.
pub(super) fn refused_append(part: &str, error: &tokio_postgres::Error) -> AppendError {
    let text = format!("{part}: {}", describe(error));
    match error.code() {
        Some(code) if code.code().starts_with("NX") => AppendError::Unknown(text),
        _ => AppendError::Refused(text),
    }
}

type Request<'a> = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send + 'a>>;

/// Polls the requests in this order, each of which sends itself when first polled: so they share a round trip.
async fn in_order(mut requests: Vec<Request<'_>>) -> Vec<Result<(), tokio_postgres::Error>> {
    let mut answers: Vec<Option<_>> = requests.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (request, answer) in requests.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match request.as_mut().poll(cx) {
                    Poll::Ready(ready) => *answer = Some(ready),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    answers.into_iter().flatten().collect()
}
