//! A transaction on the server.
//!
//! Round trips: BEGIN, the claim and the first statement together; each further statement; the append and COMMIT together. A
//! statement new to its session costs one more, to be prepared.

use std::sync::Arc;

use futures_util::future::{join, join4};
use host_bindings::nexus::sql::sql::{Error, Isolation, Rows, Value};
use host_journal::{AppendError, HostStatement, MAX_ENTRY_BYTES};
use host_recorder::crash::{self, Point};
use host_recorder::{Recorder, Transaction as Entry, Turn};
use host_types::Fault;
use tokio_postgres::Statement;

use super::commit::{Outcome, commit, refused_append};
use super::savepoints::Savepoints;
use super::watchdog::Watch;
use super::{ended, no_savepoint, too_deep};
use crate::connection::Connection;
use crate::error::{Failure, classify, describe};
use crate::pool::{Lease, ModulePool};
use crate::record::{self, Answer, End, Recording, Step};
use crate::statement;

pub(crate) struct OpenTransaction {
    pool: Arc<ModulePool>,
    recorder: Recorder,
    /// None after the end.
    entry: Option<Entry>,
    isolation: Isolation,
    /// None before the first statement.
    session: Option<Session>,
    savepoints: Savepoints,
    recording: Recording,
    /// Of the parameters of statements that wrote.
    written_bytes: u64,
}

/// A session inside the transaction. The watch goes first when this is dropped: it must not find the session in other hands.
struct Session {
    watch: Watch,
    lease: Lease,
    /// One of those the invocation's branches may use, given back after the session.
    _turn: Option<Turn>,
}

/// What ends a transaction before its time.
enum Interruption {
    Failure(Failure),
    NoSession(crate::Error),
    Append(AppendError),
    Astray,
}

impl From<Failure> for Interruption {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl OpenTransaction {
    pub(crate) fn new(pool: Arc<ModulePool>, recorder: Recorder, entry: Entry, isolation: Isolation) -> Self {
        let (savepoints, recording) = (Savepoints::default(), Recording::default());
        Self {
            pool,
            recorder,
            entry: Some(entry),
            isolation,
            session: None,
            savepoints,
            recording,
            written_bytes: 0,
        }
    }

    pub(crate) async fn run(&mut self, text: &str, parameters: &[Value]) -> Result<Answer, Fault> {
        self.check_open()?;
        let asked = record::statement(text, parameters);
        if !statement::reads(text) {
            self.written_bytes += asked.len().saturating_sub(text.len()) as u64;
        }
        let hash = self.recorder.hash(&asked);
        let answer = if self.savepoints.is_failed() {
            Err(Error::Poisoned)
        } else {
            match self.perform(text, parameters).await {
                Ok(rows) => Ok(rows),
                Err(Interruption::Failure(Failure::Refused(error))) => {
                    self.savepoints.fail();
                    Err(error)
                }
                Err(interruption) => return Err(self.interrupt(interruption).await),
            }
        };
        let step = Step::Statement { hash, answer };
        self.note(&step).await?;
        let Step::Statement { answer, .. } = step else {
            unreachable!("the step was made a statement above")
        };
        Ok(answer)
    }

    async fn perform(&mut self, text: &str, parameters: &[Value]) -> Result<Rows, Interruption> {
        statement::check(text).map_err(Failure::Refused)?;
        match &mut self.session {
            Some(session) => {
                let wire = session.lease.wire();
                let performing = perform_next(&mut session.lease, &mut self.savepoints, text, parameters);
                Ok(wire.wait(performing).await?)
            }
            None => self.perform_first(text, parameters).await,
        }
    }

    async fn perform_first(&mut self, text: &str, parameters: &[Value]) -> Result<Rows, Interruption> {
        // Whatever may have to wait for a sibling waits before there is a session that others could wait for.
        let claim = match &mut self.entry {
            Some(entry) => entry.claim().await,
            None => None,
        };
        let turn = self.recorder.attempt().session_turn().await;
        let mut lease = self.pool.lease().await.map_err(Interruption::NoSession)?;
        lease.begin();
        let wire = lease.wire();
        let prepared = wire.wait(prepare_first(&mut lease, text, claim.as_ref())).await;
        let bound = prepared.and_then(|statement| {
            let parameters = statement::bind(&statement, parameters).map_err(Failure::Refused)?;
            Ok((statement, parameters))
        });
        let (statement, parameters) = match bound {
            Ok(bound) => bound,
            Err(failure) => {
                // The transaction is not begun: a statement that cannot be prepared leaves the session as it was.
                match &failure {
                    Failure::Refused(_) => lease.settled(),
                    Failure::Stale => {
                        lease.forget_statements();
                        lease.settled();
                    }
                    Failure::Repeat(_) | Failure::Lost(_) | Failure::TooLarge(_) => {}
                }
                return Err(failure.into());
            }
        };
        let watch = self.pool.watch(lease.closer().clone());
        let session = self.session.insert(Session {
            watch,
            lease,
            _turn: turn,
        });
        let connection: &Connection = &session.lease;
        let client = connection.client();
        let unsent = self.savepoints.take_unsent();
        // The claim stands before the first savepoint, or rolling back to that would give the key up.
        let first = join4(
            client.batch_execute(begin_command(self.isolation)),
            async {
                match &claim {
                    Some(claim) => connection.execute_host(claim).await,
                    None => Ok(()),
                }
            },
            async {
                match &unsent {
                    Some(unsent) => client.batch_execute(unsent).await,
                    None => Ok(()),
                }
            },
            statement::fetch(client, &statement, parameters),
        );
        let (begun, claimed, divided, rows) = wire.wait(first).await;
        begun.map_err(|error| host_failure(&error))?;
        claimed.map_err(|error| claim_failed(&error))?;
        divided.map_err(|error| host_failure(&error))?;
        Ok(rows?)
    }

    pub(crate) async fn savepoint(&mut self) -> Result<(), Fault> {
        self.check_open()?;
        if !self.savepoints.open() {
            return Err(self.recorder.attempt().fail(too_deep()));
        }
        self.note(&Step::Savepoint).await
    }

    pub(crate) async fn release(&mut self) -> Result<(), Fault> {
        self.check_open()?;
        if !self.savepoints.release() {
            return Err(self.recorder.attempt().fail(no_savepoint()));
        }
        self.note(&Step::Release).await
    }

    pub(crate) async fn roll_back_to(&mut self) -> Result<(), Fault> {
        self.check_open()?;
        if !self.savepoints.roll_back() {
            return Err(self.recorder.attempt().fail(no_savepoint()));
        }
        self.note(&Step::RollbackTo).await
    }

    /// Records a step, as long as the record fits into an entry.
    async fn note(&mut self, step: &Step) -> Result<(), Fault> {
        self.recording.push(step);
        if self.recording.len() > MAX_ENTRY_BYTES {
            let text = format!("the record of one transaction has more than {MAX_ENTRY_BYTES} bytes: do less in it");
            return Err(self.interrupt(Failure::TooLarge(text).into()).await);
        }
        Ok(())
    }

    pub(crate) async fn commit(&mut self) -> Result<Result<(), Error>, Fault> {
        self.check_open()?;
        if self.savepoints.is_failed() {
            self.end_without_commit(&End::Refused(Error::Poisoned)).await?;
            return Ok(Err(Error::Poisoned));
        }
        let Some(session) = &mut self.session else {
            // Nothing was asked of the database: there is nothing that would have to commit with the journal.
            self.end_without_commit(&End::Committed).await?;
            return Ok(Ok(()));
        };
        if !session.lease.is_usable() {
            // Known before COMMIT could be sent: nothing of it happened.
            let lost = Failure::Lost("the session ended before its commit".into());
            return Err(self.interrupt(lost.into()).await);
        }
        if self.recorder.has_begun()
            && let Err(failure) = check_constraints(&mut session.lease, &mut self.savepoints).await
        {
            return match failure {
                Failure::Refused(error) => {
                    self.end_without_commit(&End::Refused(error.clone())).await?;
                    Ok(Err(error))
                }
                failure => Err(self.interrupt(failure.into()).await),
            };
        }
        let Some(session) = &mut self.session else {
            return Err(self.recorder.attempt().fail(ended()));
        };
        let Some(entry) = &mut self.entry else {
            return Err(self.recorder.attempt().fail(ended()));
        };
        let statements = match entry.append(self.recording.finish(&End::Committed)).await {
            Ok(statements) => statements,
            Err(fault) => {
                let _ = self.end_session().await;
                return Err(self.entry.take().map_or_else(ended, |entry| entry.abandoned(fault)));
            }
        };
        let wire = session.lease.wire();
        if let Err(error) = wire.wait(session.lease.prepare_host(&statements)).await {
            let interruption = match classify(&error) {
                Failure::Refused(_) => Interruption::Append(refused_append("append", &error)),
                failure => failure.into(),
            };
            return Err(self.interrupt(interruption).await);
        }
        crash::reached(Point::BeforeCommit);
        let committing = commit(&session.lease, self.savepoints.take_unsent(), &statements);
        let outcome = wire.wait(committing).await;
        self.pool.metrics().ended(self.pool.role(), outcome.word());
        match outcome {
            Outcome::Committed => {
                crash::reached(Point::AfterCommit);
                self.session_settled();
                self.recorder.attempt().wrote_beside(self.written_bytes);
                self.take_entry()?.committed()?;
                Ok(Ok(()))
            }
            Outcome::Refused(error) => {
                self.session_settled();
                let record = self.recording.finish(&End::Refused(error.clone()));
                self.take_entry()?.commit_refused(record)?;
                Ok(Err(error))
            }
            // COMMIT was sent behind what failed, and ended the transaction.
            Outcome::Repeat(text) => {
                self.session_settled();
                Err(self.take_entry()?.abandoned(Fault::RepeatTransaction(text)))
            }
            Outcome::Failed(error @ (AppendError::Fenced | AppendError::KeyTaken | AppendError::Refused(_))) => {
                self.session_settled();
                Err(self.take_entry()?.commit_failed(error))
            }
            Outcome::Failed(error @ AppendError::Unknown(_)) => {
                self.session = None;
                Err(self.take_entry()?.commit_failed(error))
            }
            Outcome::Astray => Err(self.interrupt(Interruption::Astray).await),
        }
    }

    pub(crate) async fn roll_back(&mut self) -> Result<(), Fault> {
        if self.entry.is_none() {
            return Ok(());
        }
        self.end_without_commit(&End::RolledBack).await
    }

    fn check_open(&self) -> Result<(), Fault> {
        if self.entry.is_none() {
            Err(self.recorder.attempt().fail(ended()))
        } else {
            Ok(())
        }
    }

    fn take_entry(&mut self) -> Result<Entry, Fault> {
        self.entry.take().ok_or_else(|| self.recorder.attempt().fail(ended()))
    }

    /// Gives the session back: the server answered everything, and no transaction is open.
    fn session_settled(&mut self) {
        if let Some(Session { watch, mut lease, .. }) = self.session.take() {
            drop(watch);
            lease.settled();
        }
    }

    /// Rolls back on the server, where the session still answers; else it is closed, which comes to the same.
    async fn end_session(&mut self) -> Result<(), Interruption> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let rolling_back = session.lease.client().batch_execute("ROLLBACK");
        let rolled_back = session.lease.wire().wait(rolling_back).await;
        self.pool.metrics().ended(self.pool.role(), "rolled_back");
        if session.lease.is_astray() {
            self.session = None;
            return Err(Interruption::Astray);
        }
        match rolled_back {
            Ok(()) => self.session_settled(),
            Err(_) => self.session = None,
        }
        Ok(())
    }

    async fn end_without_commit(&mut self, end: &End) -> Result<(), Fault> {
        if let Err(interruption) = self.end_session().await {
            return Err(self.interrupt(interruption).await);
        }
        let record = self.recording.finish(end);
        self.take_entry()?.rolled_back(record)
    }

    /// Ends the transaction and the attempt.
    async fn interrupt(&mut self, interruption: Interruption) -> Fault {
        let limit = self.pool.transaction_limit();
        let expired = self.session.as_ref().is_some_and(|session| session.watch.has_expired());
        let flooded = self.session.as_ref().is_some_and(|session| session.lease.is_flooded());
        let astray = self.session.as_ref().is_some_and(|session| session.lease.is_astray());
        match &interruption {
            // The session is fine: it takes a ROLLBACK and goes back.
            Interruption::Failure(Failure::Repeat(_)) | Interruption::Append(AppendError::KeyTaken) => {
                let _ = self.end_session().await;
            }
            // Kept, so that the next attempt, which will lease it again, prepares its statements anew.
            Interruption::Failure(Failure::Stale) => {
                if let Some(session) = &mut self.session {
                    session.lease.forget_statements();
                }
                let _ = self.end_session().await;
            }
            _ => self.session = None,
        }
        let entry = match self.take_entry() {
            Ok(entry) => entry,
            Err(fault) => return fault,
        };
        let failure = match interruption {
            _ if astray => return entry.abandoned(went_astray()),
            Interruption::Astray => return entry.abandoned(went_astray()),
            Interruption::Append(error) => return entry.commit_failed(error),
            Interruption::NoSession(error) => return entry.abandoned(error.into()),
            Interruption::Failure(failure) => failure,
        };
        entry.abandoned(match failure {
            Failure::Lost(_) if flooded => Fault::LimitExceeded(statement::too_large()),
            Failure::Lost(_) if expired => {
                Fault::Transient(format!("a transaction took longer than {} ms", limit.as_millis()))
            }
            Failure::Repeat(text) | Failure::Lost(text) => Fault::RepeatTransaction(text),
            Failure::Stale => Fault::RepeatTransaction("the tables of a prepared statement changed".into()),
            Failure::TooLarge(text) => Fault::LimitExceeded(text),
            // A value for the guest, where the guest asked nothing.
            Failure::Refused(error) => {
                Fault::Transient(format!("the database refused a command of the host: {error:?}"))
            }
        })
    }
}

fn went_astray() -> Fault {
    Fault::Guest("a statement changed the state of its transaction".into())
}

fn begin_command(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE",
    }
}

/// Prepares, outside of the transaction so that it is short, what its first round trip needs.
async fn prepare_first(lease: &mut Lease, text: &str, claim: Option<&HostStatement>) -> Result<Statement, Failure> {
    if let Some(claim) = claim {
        lease
            .prepare_host(std::slice::from_ref(claim))
            .await
            .map_err(|error| host_failure(&error))?;
    }
    match lease.prepared(text) {
        Some(statement) => Ok(statement),
        None => lease.prepare(text).await,
    }
}

async fn perform_next(
    lease: &mut Lease,
    savepoints: &mut Savepoints,
    text: &str,
    parameters: &[Value],
) -> Result<Rows, Failure> {
    let statement = match lease.prepared(text) {
        Some(statement) => statement,
        None => {
            // What the server finds wrong with the statement must not reach further than the innermost savepoint.
            let unsent = savepoints.take_unsent();
            let client = lease.shared_client();
            let divide = async {
                match &unsent {
                    Some(unsent) => client.batch_execute(unsent).await,
                    None => Ok(()),
                }
            };
            let (divided, statement) = join(divide, lease.prepare(text)).await;
            divided.map_err(|error| host_failure(&error))?;
            statement?
        }
    };
    let parameters = statement::bind(&statement, parameters).map_err(Failure::Refused)?;
    let client = lease.client();
    let Some(unsent) = savepoints.take_unsent() else {
        return statement::fetch(client, &statement, parameters).await;
    };
    let (divided, rows) = join(
        client.batch_execute(&unsent),
        statement::fetch(client, &statement, parameters),
    )
    .await;
    divided.map_err(|error| host_failure(&error))?;
    rows
}

/// Checks what would otherwise be checked at the commit. That may wait for the end of a sibling's transaction, which may wait for its
/// turn to append: whoever has the turn must not wait for it any more.
async fn check_constraints(lease: &mut Lease, savepoints: &mut Savepoints) -> Result<(), Failure> {
    let unsent = savepoints.take_unsent().unwrap_or_default();
    let check = format!("{unsent}SET CONSTRAINTS ALL IMMEDIATE");
    let checked = lease.wire().wait(lease.client().batch_execute(&check)).await;
    checked.map_err(|error| classify(&error))
}

/// A command of the host's own failed: whatever the server says, the guest is not told.
fn host_failure(error: &tokio_postgres::Error) -> Failure {
    match classify(error) {
        Failure::Refused(_) => Failure::Lost(describe(error)),
        failure => failure,
    }
}

fn claim_failed(error: &tokio_postgres::Error) -> Interruption {
    match classify(error) {
        Failure::Refused(Error::UniqueViolation(_)) => Interruption::Append(AppendError::KeyTaken),
        Failure::Refused(_) => Interruption::Append(refused_append("claim", error)),
        failure => failure.into(),
    }
}
