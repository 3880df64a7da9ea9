//! A module's transaction against the simulated database: rows are locked when they are read, written with the commit, and the entries
//! of the invocation ride it. What `host/capabilities/sql` does over PostgreSQL.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use host_journal::{Append, AppendError, HostParameter};
use host_recorder::TransactionStep;
use host_types::Fault;
use tokio::time::sleep;

use super::gate::Life;
use super::instance::Instance;
use super::sabotage::Sabotage;
use super::session::Lost;
use super::tables::{Line, Row, RowKey, Tables};

/// Between two tries for a lock.
const LOCK_POLL: Duration = Duration::from_millis(2);
/// After so many the database calls it a deadlock.
const LOCK_TRIES: u32 = 100;

/// After this long a server has noticed that a client is gone.
const NOTICED: Duration = Duration::from_secs(1);

/// A transaction under way. Dropped before its end it is rolled back.
pub(crate) struct Transaction {
    instance: Instance,
    mode: Mode,
    /// COMMIT is on its way: dropping this does not call it back.
    commits: bool,
}

enum Mode {
    /// What was read, and what is to be written.
    Live {
        step: Option<Box<host_recorder::Transaction>>,
        number: u64,
        read: Vec<Option<Row>>,
        rows: Vec<(RowKey, Row)>,
        lines: Vec<Line>,
    },
    /// What was read then.
    Recorded {
        committed: bool,
        read: VecDeque<Option<Row>>,
    },
}

/// How a transaction is recorded.
type Record = (bool, Vec<Option<Row>>);

/// Whether a transaction with this record was committed.
pub(crate) fn is_committed(record: &[u8]) -> bool {
    minicbor::decode::<Record>(record).is_ok_and(|(committed, _)| committed)
}

impl Transaction {
    pub(crate) async fn begin(instance: &Instance, name: &str) -> Result<Self, Fault> {
        let mode = match instance.recorder.transaction(name.as_bytes())? {
            TransactionStep::Recorded(record) => {
                let decoded: Result<Record, _> = minicbor::decode(&record);
                let (committed, read) = decoded.map_err(|error| Fault::Guest(error.to_string()))?;
                Mode::Recorded {
                    committed,
                    read: read.into(),
                }
            }
            TransactionStep::Perform(step) => {
                let node = instance.node.session.node;
                let begun = instance.node.session.ask(move |tables, _| tables.begin(node)).await;
                let number = match begun {
                    Ok(number) => number,
                    Err(Lost) => return Err(step.abandoned(lost("BEGIN"))),
                };
                Mode::Live {
                    step: Some(Box::new(step)),
                    number,
                    read: Vec::new(),
                    rows: Vec::new(),
                    lines: Vec::new(),
                }
            }
        };
        let mut transaction = Self {
            instance: instance.clone(),
            mode,
            commits: false,
        };
        transaction.claim().await?;
        Ok(transaction)
    }

    /// The claim is the first statement: of two with one key the second waits for the first, and then fails.
    async fn claim(&mut self) -> Result<(), Fault> {
        let Mode::Live { step: Some(step), .. } = &mut self.mode else {
            return Ok(());
        };
        let Some(statement) = step.claim().await else {
            return Ok(());
        };
        if self.instance.node.sabotage == Some(Sabotage::ClaimAfterRows) {
            return Ok(());
        }
        let key: [u8; 32] = match &statement.parameters[..] {
            [HostParameter::Bytes(Some(key)), ..] => key[..].try_into().expect("a key has 32 bytes"),
            _ => unreachable!("not a claim of this session: {statement:?}"),
        };
        let mut short = [0; 8];
        short.copy_from_slice(&key[..8]);
        self.lock(("idempotency key", u64::from_be_bytes(short))).await?;
        let invocation = self.instance.recorder.invocation();
        let taken = self
            .instance
            .node
            .session
            .look(|tables, _| tables.key_owners.get(&key).is_some_and(|owner| *owner != invocation));
        match taken.await {
            Ok(false) => Ok(()),
            Ok(true) => Err(self.fail(|step| step.commit_failed(AppendError::KeyTaken)).await),
            Err(Lost) => Err(self.fail(|step| step.abandoned(lost("the claim"))).await),
        }
    }

    /// `SELECT … FOR UPDATE`.
    pub(crate) async fn read(&mut self, table: &'static str, key: u64) -> Result<Option<Row>, Fault> {
        if let Mode::Recorded { read, .. } = &mut self.mode {
            let recorded = read.pop_front();
            return recorded.ok_or_else(|| {
                let asked = format!("a row of {table}");
                self.instance
                    .recorder
                    .statement_mismatch("no further statement".into(), asked)
            });
        }
        let row_key = (table, key);
        self.lock(row_key).await?;
        let stored = self
            .instance
            .node
            .session
            .look(|tables, _| tables.rows.get(&row_key).cloned());
        let stored = match stored.await {
            Ok(stored) => stored,
            Err(Lost) => return Err(self.fail(|step| step.abandoned(lost("SELECT"))).await),
        };
        let Mode::Live { read, rows, .. } = &mut self.mode else {
            return Ok(stored);
        };
        let own = rows.iter().rev().find(|(written, _)| *written == row_key);
        let found = own.map(|(_, row)| row.clone()).or(stored);
        read.push(found.clone());
        Ok(found)
    }

    /// `INSERT … ON CONFLICT DO UPDATE`, of a row that was read before.
    pub(crate) fn write(&mut self, table: &'static str, key: u64, row: Row) {
        if let Mode::Live { rows, .. } = &mut self.mode {
            rows.push(((table, key), row));
        }
    }

    /// A line of a table without a key.
    pub(crate) fn log(&mut self, table: &'static str, row: Row) {
        if let Mode::Live { lines, .. } = &mut self.mode {
            lines.push((table, row));
        }
    }

    pub(crate) async fn commit(mut self) -> Result<(), Fault> {
        let (step, number, read, rows, lines) = match &mut self.mode {
            Mode::Recorded { committed, read } => {
                let as_recorded = *committed && read.is_empty();
                return self.replayed(as_recorded, "COMMIT");
            }
            Mode::Live {
                step,
                number,
                read,
                rows,
                lines,
            } => (
                step.take(),
                *number,
                std::mem::take(read),
                std::mem::take(rows),
                std::mem::take(lines),
            ),
        };
        let mut step = step.expect("a transaction ends once");
        self.commits = true;
        let statements = step.append(encode(&(true, read))).await?;
        let session = &self.instance.node.session;
        let append = session.take_riding(&statements[0]);
        let node = session.node;
        if self.instance.node.sabotage == Some(Sabotage::RowsBeforeEntries) {
            let (rows, lines) = (rows.clone(), lines.clone());
            let first = session.ask(move |tables, _| {
                tables.rows.extend(rows);
                tables.lines.extend(lines);
            });
            if first.await.is_err() {
                return Err(step.commit_failed(Lost.into()));
            }
        }
        self.spoil(&append).await;
        let is_split = self.instance.node.sabotage == Some(Sabotage::RowsBeforeEntries);
        let committed = session.ask(move |tables, now_ms| {
            if !tables.transactions.contains_key(&number) {
                return Err(AppendError::Unknown("the connection was ended".into()));
            }
            let appended = tables.append(node, &append, now_ms);
            if appended.is_ok() && !is_split {
                tables.rows.extend(rows);
                tables.lines.extend(lines);
            }
            tables.end(number);
            appended
        });
        let committed = committed.await;
        self.commits = false;
        match committed {
            Ok(Ok(())) => step.committed(),
            Ok(Err(error)) => Err(step.commit_failed(error)),
            Err(Lost) => Err(step.commit_failed(Lost.into())),
        }
    }

    /// Bugs: what is to be there with the commit, or after it, is there before.
    async fn spoil(&self, append: &Append) {
        let (session, invocation) = (&self.instance.node.session, append.invocation);
        // Whether the question arrives is as open as that of the commit.
        match self.instance.node.sabotage {
            Some(Sabotage::ReleaseBeforeCommit) => {
                let _ = session
                    .ask(move |tables, _| tables.give_up_places(invocation, &[], true))
                    .await;
            }
            Some(Sabotage::PublishBeforeCommit) => {
                let publications = append.publications.clone();
                let publish = move |tables: &mut Tables, _| {
                    publications
                        .iter()
                        .for_each(|publication| tables.publish(publication, invocation));
                };
                let _ = session.ask(publish).await;
            }
            _ => {}
        }
    }

    pub(crate) async fn rollback(mut self) -> Result<(), Fault> {
        let (step, read) = match &mut self.mode {
            Mode::Recorded { committed, read } => {
                let as_recorded = !*committed && read.is_empty();
                return self.replayed(as_recorded, "ROLLBACK");
            }
            Mode::Live { step, read, .. } => (step.take(), std::mem::take(read)),
        };
        self.end().await;
        step.expect("a transaction ends once")
            .rolled_back(encode(&(false, read)))
    }

    fn replayed(&self, as_recorded: bool, asked: &str) -> Result<(), Fault> {
        let recorder = &self.instance.recorder;
        if !as_recorded {
            return Err(recorder.statement_mismatch("another end, or more statements".into(), asked.into()));
        }
        recorder.transaction_replayed();
        Ok(())
    }

    async fn lock(&mut self, key: RowKey) -> Result<(), Fault> {
        let Mode::Live { number, .. } = self.mode else {
            return Ok(());
        };
        for _ in 0..LOCK_TRIES {
            let locked = self
                .instance
                .node
                .session
                .ask(move |tables, _| tables.lock(number, key));
            match locked.await {
                Ok(Some(true)) => return Ok(()),
                Ok(Some(false)) => sleep(LOCK_POLL).await,
                Ok(None) | Err(Lost) => return Err(self.fail(|step| step.abandoned(lost("a lock"))).await),
            }
        }
        Err(self
            .fail(|step| step.abandoned(Fault::RepeatTransaction("deadlock detected".into())))
            .await)
    }

    async fn fail(&mut self, end: impl FnOnce(host_recorder::Transaction) -> Fault) -> Fault {
        let step = match &mut self.mode {
            Mode::Live { step, .. } => step.take(),
            Mode::Recorded { .. } => None,
        };
        self.end().await;
        self.outlive();
        end(*step.expect("a transaction ends once"))
    }

    /// Whoever gives the connection back may have hold of the attempt for longer than it lasts.
    fn outlive(&self) {
        let dice = &self.instance.node.dice;
        if self.instance.is_rough() && dice.per_mille(300) {
            let (recorder, longer) = (self.instance.recorder.clone(), dice.time_ms(1, 20));
            tokio::spawn(async move {
                sleep(longer).await;
                drop(recorder);
            });
        }
    }

    async fn end(&self) {
        if let Mode::Live { number, .. } = self.mode {
            // When this is lost the connection is, and the server rolls back by itself.
            let asked = self.instance.node.session.ask(move |tables, _| tables.end(number));
            if asked.await.is_err() {
                self.instance.node.session.database.tables.lock().end(number);
            }
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Mode::Live { number, .. } = self.mode else { return };
        let session = &self.instance.node.session;
        // That of a dead node's is for whoever takes over.
        if session.gate.life() == Life::Dead {
            return;
        }
        let database = Arc::clone(&session.database);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if self.commits => drop(runtime.spawn(async move {
                sleep(NOTICED).await;
                database.tables.lock().end(number);
            })),
            // Also after its end, when there is nothing left to end.
            _ => database.tables.lock().end(number),
        }
    }
}

fn lost(what: &str) -> Fault {
    Fault::RepeatTransaction(format!("the connection was lost at {what}"))
}

fn encode(record: &Record) -> host_journal::Payload {
    minicbor::to_vec(record).expect("a record has an encoding").into()
}
