//! The group writer: appends that wait at the same time share a commit.
//!
//! Two tasks take turns at one queue: while one waits for its commit, the other collects the next batch. An append that cannot
//! be written fails alone: the database leaves out the fenced ones, and a batch it refuses whole is written one by one. One that would have
//! to wait for somebody's open transaction is given back.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use host_journal::{Append, AppendError};
use host_types::{Clock, InvocationId};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use sqlx::{Connection, Postgres};
use tokio::sync::{Mutex, oneshot, watch};

use crate::error::{append_error_from, is_lock_timeout, is_refusal};
use crate::metrics::StoreMetrics;
use crate::{NodeIdentity, batch};

mod queue;

use queue::Queue;

const WRITERS: usize = 2;
/// Appends that wait; more make their callers wait, or are dropped if nobody waits for them.
const QUEUE: usize = 4_096;
const MAX_BATCH: usize = 256;
const MAX_BATCH_BYTES: usize = 8 << 20;
/// How long appends that nobody waits for are kept back, to share a commit: with each other, or with one that is waited for.
const LAZY_WAIT: Duration = Duration::from_millis(100);
/// A connection idle for longer may have been closed from the other side: it is asked before it is used.
const TRUSTED_IDLE_NS: u64 = 1_000_000_000;

type Outcome = Result<(), Unwritten>;

/// What became of an append that is not in the journal.
pub(crate) enum Unwritten {
    Failed(AppendError),
    /// Its key is in somebody's open transaction. Whoever claims it waits for that alone: a batch does not.
    Waits(Box<Append>),
}

struct Job {
    append: Append,
    /// Nobody waits for a lazy one.
    done: Option<oneshot::Sender<Outcome>>,
}

impl Job {
    fn finish(self, outcome: Outcome) {
        match self.done {
            // The caller may have gone: what it asked for is done all the same.
            Some(done) => drop(done.send(outcome)),
            None => {
                if let Err(Unwritten::Failed(error)) = outcome {
                    tracing::debug!(invocation.id = %self.append.invocation, %error, "a lazy append was not written");
                }
            }
        }
    }

    fn hand_back(self) {
        // A lazy one has no claim: that is written before there is anything to be lazy about.
        if let Some(done) = self.done {
            drop(done.send(Err(Unwritten::Waits(Box::new(self.append)))));
        }
    }
}

/// The near end of the queue.
pub(crate) struct Writer {
    queue: Arc<Queue<Job>>,
    /// Appends accepted and not finished.
    open: Arc<watch::Sender<usize>>,
    phase: watch::Sender<Phase>,
    dropped: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    /// What is accepted is written without delay.
    Closing,
    Closed,
}

/// What both tasks share.
struct Shared {
    queue: Arc<Queue<Job>>,
    /// Who collects a batch.
    turn: Mutex<()>,
    pool: PgPool,
    node: NodeIdentity,
    clock: Arc<dyn Clock>,
    open: Arc<watch::Sender<usize>>,
    phase: watch::Receiver<Phase>,
    /// A commit that takes longer than a lease says nothing to anybody.
    patience: Duration,
    metrics: StoreMetrics,
}

impl Writer {
    /// Starts the tasks, which end when this is dropped and the queue is empty.
    pub(crate) fn spawn(
        pool: PgPool,
        node: NodeIdentity,
        clock: Arc<dyn Clock>,
        patience_ms: u64,
        metrics: StoreMetrics,
    ) -> Self {
        let queue = Arc::new(Queue::new(QUEUE, MAX_BATCH));
        let open = Arc::new(watch::Sender::new(0));
        let phase = watch::Sender::new(Phase::Open);
        let shared = Arc::new(Shared {
            queue: Arc::clone(&queue),
            turn: Mutex::new(()),
            pool,
            node,
            clock,
            open: open.clone(),
            phase: phase.subscribe(),
            patience: Duration::from_millis(patience_ms),
            metrics,
        });
        for _ in 0..WRITERS {
            tokio::spawn(
                WriterTask {
                    shared: shared.clone(),
                    connection: None,
                    held: Vec::new(),
                }
                .run(),
            );
        }
        Self {
            queue,
            open,
            phase,
            dropped: AtomicU64::new(0),
        }
    }

    pub(crate) async fn append(&self, append: Append) -> Outcome {
        let (done, outcome) = oneshot::channel();
        self.open.send_modify(|open| *open += 1);
        let done = Some(done);
        if !self.queue.push(Job { append, done }).await {
            self.open.send_modify(|open| *open -= 1);
            return Err(ended());
        }
        outcome.await.unwrap_or_else(|_| Err(ended()))
    }

    pub(crate) fn append_lazily(&self, append: Append) {
        self.open.send_modify(|open| *open += 1);
        if !self.queue.push_lazily(Job { append, done: None }) {
            self.open.send_modify(|open| *open -= 1);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What nobody waits for is written without delay, as far as it is accepted by now.
    pub(crate) fn hurry(&self) {
        self.queue.hurry();
    }

    /// Appends accepted and not finished.
    pub(crate) fn open(&self) -> usize {
        *self.open.borrow()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends the writers, once everything accepted is finished.
    pub(crate) async fn close(&self) {
        self.phase.send_replace(Phase::Closing);
        // The senders are ours, so the channels are open.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
        self.phase.send_replace(Phase::Closed);
    }
}

struct WriterTask {
    shared: Arc<Shared>,
    /// With the time it was last used.
    connection: Option<(PoolConnection<Postgres>, u64)>,
    /// Taken from the queue, but not fit for the batch at hand.
    held: Vec<Job>,
}

impl WriterTask {
    async fn run(mut self) {
        loop {
            let mut jobs = std::mem::take(&mut self.held);
            if jobs.is_empty() && !self.receive(&mut jobs).await {
                // Whoever comes later is told.
                self.shared.queue.close();
                return;
            }
            let batch = self.select(jobs);
            let written = batch.len();
            self.write(batch).await;
            self.shared.open.send_modify(|open| *open -= written);
        }
    }

    /// Waits for appends; false when there will be none.
    async fn receive(&self, jobs: &mut Vec<Job>) -> bool {
        let mut phase = self.shared.phase.clone();
        tokio::select! {
            () = self.collect(jobs) => !jobs.is_empty(),
            _ = phase.wait_for(|phase| *phase == Phase::Closed) => false,
        }
    }

    /// What is in the queue, and what comes until one of it is waited for. Meanwhile the other writer waits for its turn.
    async fn collect(&self, jobs: &mut Vec<Job>) {
        let _turn = self.shared.turn.lock().await;
        let queue = &self.shared.queue;
        while queue.is_empty() {
            queue.news().await;
        }
        let mut phase = self.shared.phase.clone();
        let patience = tokio::time::sleep(LAZY_WAIT);
        tokio::pin!(patience);
        while !queue.is_due() {
            tokio::select! {
                () = queue.news() => {}
                () = &mut patience => break,
                _ = phase.wait_for(|phase| *phase >= Phase::Closing) => break,
            }
        }
        queue.take(jobs);
    }

    /// Chooses a batch: one append per invocation, and no more bytes than a statement should have. The rest is held.
    fn select(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let mut seen = HashSet::with_capacity(jobs.len());
        let mut bytes = 0;
        let mut batch = Vec::with_capacity(jobs.len());
        for job in jobs {
            let size: usize = job.append.bodies.iter().map(Vec::len).sum();
            let fits = batch.is_empty() || bytes + size <= MAX_BATCH_BYTES;
            if fits && seen.insert(job.append.invocation) {
                bytes += size;
                batch.push(job);
            } else {
                // What follows of the same invocation follows it.
                seen.insert(job.append.invocation);
                self.held.push(job);
            }
        }
        batch
    }

    async fn write(&mut self, batch: Vec<Job>) {
        let durable = batch.iter().any(|job| job.done.is_some());
        match self.attempt(&batch, durable).await {
            Ok(lost) => {
                for job in batch {
                    let outcome = outcome_of(job.append.invocation, &lost);
                    job.finish(outcome);
                }
            }
            Err(error) if is_lock_timeout(&error) && batch.iter().any(|job| job.append.claim.is_some()) => {
                let (claiming, rest): (Vec<_>, Vec<_>) = batch.into_iter().partition(|job| job.append.claim.is_some());
                claiming.into_iter().for_each(Job::hand_back);
                if !rest.is_empty() {
                    Box::pin(self.write(rest)).await;
                }
            }
            // One of them is why.
            Err(error) if batch.len() > 1 && is_refusal(&error) => {
                for job in batch {
                    let outcome = match self.attempt(std::slice::from_ref(&job), job.done.is_some()).await {
                        Ok(lost) => outcome_of(job.append.invocation, &lost),
                        Err(error) => Err(Unwritten::Failed(append_error_from(&error))),
                    };
                    job.finish(outcome);
                }
            }
            Err(error) => {
                // One line for the batch; each caller handles its own.
                tracing::warn!(%error, appends = batch.len(), "a batch of appends failed");
                let failed = append_error_from(&error);
                for job in batch {
                    job.finish(Err(Unwritten::Failed(failed.clone())));
                }
            }
        }
    }

    async fn attempt(&mut self, batch: &[Job], durable: bool) -> Result<Vec<batch::Lost>, sqlx::Error> {
        let mut connection = self.connection().await?;
        let appends: Vec<&Append> = batch.iter().map(|job| &job.append).collect();
        let writing = batch::write(&mut connection, &self.shared.node, durable, &appends);
        let written = match tokio::time::timeout(self.shared.patience, writing).await {
            Ok(written) => written,
            Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        };
        if written.is_ok() {
            self.shared.metrics.batch_written(batch.len());
        }
        if written.as_ref().err().is_none_or(is_refusal) {
            self.connection = Some((connection, self.shared.clock.boot_ns()));
        } else {
            // Whatever it is in the middle of must not be mixed with what follows.
            drop(connection.detach());
        }
        written
    }

    async fn connection(&mut self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        if let Some((mut connection, used_ns)) = self.connection.take() {
            let trusted = self.shared.clock.boot_ns().saturating_sub(used_ns) < TRUSTED_IDLE_NS;
            if trusted || connection.ping().await.is_ok() {
                return Ok(connection);
            }
            drop(connection.detach());
        }
        self.shared.pool.acquire().await
    }
}

fn outcome_of(invocation: InvocationId, lost: &[batch::Lost]) -> Outcome {
    match lost.iter().find(|lost| lost.invocation == invocation) {
        None => Ok(()),
        Some(lost) if lost.key_taken => Err(Unwritten::Failed(AppendError::KeyTaken)),
        Some(_) => Err(Unwritten::Failed(AppendError::Fenced)),
    }
}

fn ended() -> Unwritten {
    Unwritten::Failed(AppendError::Unknown("the journal's writer has ended".into()))
}
