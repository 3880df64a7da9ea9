//! What goes on beside the instance that began it. An attempt has one branch from its start, and one more for each piece of work that
//! was begun and has room; all share its machine, whose commands are matched by scope, so that a replay need not interleave alike.
//!
//! The fault of one ends the attempt. A branch that waits for long holds its instance as long as another is at work; when none is,
//! the invocation is suspended, in one append, with what all of them wait for.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use host_types::{Fault, Scope};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

use crate::waiting::Parked;
use crate::{Attempt, Recorder};

/// Pieces of work that go on at once beside the first branch, in one invocation. Further ones begin when one of these ends, or are done
/// by whoever waits for them.
pub const MAX_BRANCHES: usize = 16;

/// A branch of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct BranchId(u32);

impl BranchId {
    /// The one that is there from the start.
    pub(crate) const ROOT: Self = Self(0);
}

/// Work to be done in the branch of the recorder that it is given, which is that of whoever begins it or one of its own.
pub type Work<T> = Box<dyn FnOnce(Recorder) -> Pin<Box<dyn Future<Output = Result<T, Fault>> + Send>> + Send>;

/// The branches of an attempt.
#[derive(Default)]
pub(crate) struct Branches {
    /// Where the first one stands.
    root: Standing,
    others: BTreeMap<BranchId, Branch>,
    /// Begun, and without room so far. Oldest first.
    queue: Queue,
    last: u32,
    tasks: Option<JoinSet<()>>,
    /// The attempt has ended: nothing starts any more.
    is_closed: bool,
    /// One append gives all instances up: nobody goes on.
    is_suspending: bool,
}

/// What those who wait for branches are told.
#[derive(Default)]
pub(crate) struct BranchNews {
    /// A branch has ended, or none is at work any more.
    pub(crate) changed: Notify,
    /// One has failed.
    failed: Notify,
}

type Queue = VecDeque<(BranchId, Scope, Arc<dyn Begun>)>;

struct Branch {
    standing: Standing,
    begun_by: Scope,
}

/// What a branch does.
#[derive(Default)]
enum Standing {
    #[default]
    AtWork,
    /// It waits for this one to end.
    Joins(BranchId),
    /// It waits for what somebody else brings, and would be given up.
    Parked(Parked),
}

/// What there is to do for a branch that need not be kept.
pub(crate) enum Standby {
    /// Others are at work: go on waiting.
    Wait,
    /// No other is: suspend the invocation.
    Last,
    /// Another one suspends it.
    GivenUp,
}

/// Begun work that is done by whoever waits for it.
type Running = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;

/// Work that is begun, whatever comes of it.
trait Begun: Send + Sync {
    /// Gives it a task. `false`: somebody has taken it over.
    fn spawn(&self, tasks: &mut JoinSet<()>) -> bool;

    /// Does it here, unless somebody else does.
    fn run(&self, by: &Recorder) -> Option<Running>;
}

/// Work that was begun, to be waited for. Dropped, the work goes on all the same.
pub struct Beside<T> {
    branch: BranchId,
    unstarted: Arc<Unstarted<T>>,
    ended: oneshot::Receiver<Result<T, Fault>>,
}

type Started<T> = (Work<T>, oneshot::Sender<Result<T, Fault>>);

struct Unstarted<T> {
    recorder: Recorder,
    /// Where it was begun.
    span: Span,
    work: Mutex<Option<Started<T>>>,
}

/// Ends the branch, on every way out of its task.
struct Ending {
    recorder: Recorder,
    has_outcome: bool,
}

impl Recorder {
    /// Begins work that goes on beside this instance, as far as there is room for it.
    pub fn beside<T: Send + 'static>(&self, work: Work<T>) -> Beside<T> {
        self.attempt.is_branched.store(true, Ordering::Relaxed);
        let (sender, ended) = oneshot::channel();
        let mut state = self.attempt.state.lock();
        state.branches.last += 1;
        let branch = BranchId(state.branches.last);
        let recorder = Self { branch, ..self.clone() };
        let unstarted = Arc::new(Unstarted {
            recorder,
            span: Span::current(),
            work: Mutex::new(Some((work, sender))),
        });
        if !state.branches.is_closed {
            let begun = Arc::clone(&unstarted) as Arc<dyn Begun>;
            state.branches.queue.push_back((branch, self.scope.clone(), begun));
            state.branches.start();
        }
        Beside {
            branch,
            unstarted,
            ended,
        }
    }

    /// Whether anything in the attempt was begun beside: without that, there is no end to wait for.
    pub fn has_begun(&self) -> bool {
        self.attempt.is_branched.load(Ordering::Relaxed)
    }

    /// Whether both belong to the same branch: what is done in one, the other waits for.
    pub fn is_in_branch_of(&self, other: &Self) -> bool {
        self.branch == other.branch
    }

    /// Returns when all that this instance began has ended. Its guest has returned; what it began belongs to what it did.
    pub async fn end_begun(&self) -> Result<(), Fault> {
        loop {
            let changed = self.attempt.branch_news.changed.notified();
            let unstarted = {
                let mut state = self.attempt.state.lock();
                state.check()?;
                let Some(begun) = state.branches.begun_by(&self.scope) else {
                    return Ok(());
                };
                let checked = state
                    .machine
                    .check_no_transaction(&self.scope, "the end of what it had begun");
                checked.map_err(|fault| state.fail(fault))?;
                match begun {
                    Begins::Later(unstarted) => Some(unstarted),
                    Begins::Now(branch) => {
                        let is_quiet = state.branches.join(self.branch, branch);
                        self.attempt.branch_news.tell(is_quiet);
                        None
                    }
                }
            };
            match unstarted {
                None => changed.await,
                Some(unstarted) => match unstarted.run(self) {
                    Some(work) => work.await?,
                    None => continue,
                },
            }
        }
    }
}

impl<T: Send + 'static> Beside<T> {
    /// What came of it. `by` waits for it, and does it if it has not been started.
    pub async fn outcome(self, by: &Recorder) -> Result<T, Fault> {
        let unstarted = self.unstarted.work.lock().take();
        if let Some((work, _)) = unstarted {
            return in_turn(by, &self.unstarted, work).await;
        }
        let is_quiet = by.attempt.state.lock().branches.join(by.branch, self.branch);
        by.attempt.branch_news.tell(is_quiet);
        match self.ended.await {
            Ok(outcome) => outcome,
            // Its task is gone without a word: the attempt has ended, or it panicked.
            Err(_) => Err(by
                .attempt
                .fail(Fault::Transient("what was begun has ended early".into()))),
        }
    }
}

/// Takes the work out of the queue and does it in the branch of `by`.
fn in_turn<T: Send + 'static>(
    by: &Recorder,
    unstarted: &Unstarted<T>,
    work: Work<T>,
) -> Pin<Box<dyn Future<Output = Result<T, Fault>> + Send>> {
    let branch = unstarted.recorder.branch;
    let mut state = by.attempt.state.lock();
    state.branches.queue.retain(|(queued, ..)| *queued != branch);
    drop(state);
    work(Recorder {
        branch: by.branch,
        ..unstarted.recorder.clone()
    })
}

impl<T: Send + 'static> Begun for Unstarted<T> {
    fn spawn(&self, tasks: &mut JoinSet<()>) -> bool {
        let Some((work, sender)) = self.work.lock().take() else {
            return false;
        };
        let recorder = self.recorder.clone();
        let task = async move {
            let mut ending = Ending {
                recorder: recorder.clone(),
                has_outcome: false,
            };
            let outcome = work(recorder.clone()).await;
            ending.has_outcome = true;
            if let Err(fault) = &outcome {
                recorder.attempt.fail(fault.clone());
                recorder.attempt.branch_news.failed.notify_one();
            }
            // Whoever waits for it is at work again before it is told.
            drop(ending);
            let _ = sender.send(outcome);
        };
        tasks.spawn(task.instrument(self.span.clone()));
        true
    }

    fn run(&self, by: &Recorder) -> Option<Running> {
        let (work, _) = self.work.lock().take()?;
        let work = in_turn(by, self, work);
        Some(Box::pin(async move { work.await.map(drop) }))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let attempt = &self.recorder.attempt;
        let mut state = attempt.state.lock();
        if !self.has_outcome && !state.branches.is_closed {
            state.fail(Fault::Transient("what was begun has ended early".into()));
            attempt.branch_news.failed.notify_one();
        }
        state.branches.end(self.recorder.branch);
        drop(state);
        attempt.branch_news.tell(true);
    }
}

impl BranchNews {
    fn tell(&self, is_news: bool) {
        if is_news {
            self.changed.notify_waiters();
        }
    }
}

impl Branches {
    /// Starts what is begun, oldest first, as far as there is room.
    fn start(&mut self) {
        let tasks = self.tasks.get_or_insert_default();
        while tasks.try_join_next().is_some() {}
        while self.others.len() < MAX_BRANCHES && !self.is_closed {
            let Some((branch, begun_by, begun)) = self.queue.pop_front() else {
                return;
            };
            if begun.spawn(tasks) {
                let standing = Standing::AtWork;
                self.others.insert(branch, Branch { standing, begun_by });
            }
        }
    }

    fn end(&mut self, branch: BranchId) {
        self.others.remove(&branch);
        let others = self.others.values_mut().map(|other| &mut other.standing);
        for standing in others.chain([&mut self.root]) {
            if matches!(standing, Standing::Joins(joined) if *joined == branch) {
                *standing = Standing::AtWork;
            }
        }
        self.start();
    }

    /// From here on, `branch` waits for `joined` to end, if it has not. Whether none is at work any more because of that.
    fn join(&mut self, branch: BranchId, joined: BranchId) -> bool {
        let standing = self.standing(branch);
        if matches!(standing, Standing::Joins(before) if *before == joined) || !self.others.contains_key(&joined) {
            return false;
        }
        *self.standing(branch) = Standing::Joins(joined);
        self.are_quiet()
    }

    /// The branch need not be kept.
    pub(crate) fn park(&mut self, branch: BranchId, parked: &Parked) -> Standby {
        if self.is_suspending {
            return Standby::GivenUp;
        }
        *self.standing(branch) = Standing::Parked(parked.clone());
        self.is_suspending = self.are_quiet();
        match self.is_suspending {
            true => Standby::Last,
            false => Standby::Wait,
        }
    }

    /// What it waited for has come. `false`: too late, it is given up.
    pub(crate) fn resume(&mut self, branch: BranchId) -> bool {
        if !self.is_suspending {
            *self.standing(branch) = Standing::AtWork;
        }
        !self.is_suspending
    }

    fn standing(&mut self, branch: BranchId) -> &mut Standing {
        match self.others.get_mut(&branch) {
            Some(other) => &mut other.standing,
            None => &mut self.root,
        }
    }

    /// Every branch waits for what somebody else brings, itself or by the one that it waits for.
    fn are_quiet(&self) -> bool {
        self.standings().all(|standing| !matches!(standing, Standing::AtWork))
    }

    /// What all of them wait for.
    pub(crate) fn parked(&self) -> impl Iterator<Item = &Parked> {
        self.standings().filter_map(|standing| match standing {
            Standing::Parked(parked) => Some(parked),
            Standing::AtWork | Standing::Joins(_) => None,
        })
    }

    fn standings(&self) -> impl Iterator<Item = &Standing> {
        let others = self.others.values().map(|other| &other.standing);
        std::iter::once(&self.root).chain(others)
    }

    /// Something that this scope began and that has not ended.
    fn begun_by(&self, scope: &Scope) -> Option<Begins> {
        let queued = self.queue.iter().find(|(_, begun_by, _)| begun_by == scope);
        if let Some((_, _, unstarted)) = queued {
            return Some(Begins::Later(Arc::clone(unstarted)));
        }
        let begun = self.others.iter().find(|(_, branch)| branch.begun_by == *scope);
        begun.map(|(branch, _)| Begins::Now(*branch))
    }
}

/// Something that was begun.
enum Begins {
    Now(BranchId),
    Later(Arc<dyn Begun>),
}

impl Attempt {
    /// Returns when a branch has failed: the attempt's fault is known then.
    pub async fn branch_failed(&self) {
        self.branch_news.failed.notified().await;
    }

    /// Stops all branches where they are.
    pub fn abort_branches(&self) {
        // Dropped, the tasks are aborted; and each that is queued holds on to the attempt. Neither may be under the lock.
        drop(self.close_branches());
    }

    /// Stops all branches, and returns when nothing of them is left.
    pub async fn end_branches(&self) {
        if !self.is_branched.load(Ordering::Relaxed) {
            return;
        }
        let (tasks, queue) = self.close_branches();
        drop(queue);
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
    }

    fn close_branches(&self) -> (Option<JoinSet<()>>, Queue) {
        let mut state = self.state.lock();
        state.branches.is_closed = true;
        let branches = &mut state.branches;
        (branches.tasks.take(), std::mem::take(&mut branches.queue))
    }
}

#[cfg(test)]
mod tests;
