//! Branches against a real journal in memory.

use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use host_journal::{Append, AppendError, AppendJournal, Claim, HostStatement, Seal};
use host_types::InvocationId;
use tokio::sync::Semaphore;

use super::*;
use crate::ExternalStep;
use crate::test_support::{MemoryJournal, call_beside};

/// A journal that is as slow as the test wants.
struct Slow {
    journal: Arc<MemoryJournal>,
    begun: Semaphore,
    may_end: Semaphore,
    at_once: AtomicUsize,
}

impl Slow {
    fn new(journal: &Arc<MemoryJournal>) -> Arc<Self> {
        Arc::new(Self {
            journal: Arc::clone(journal),
            begun: Semaphore::new(0),
            may_end: Semaphore::new(0),
            at_once: AtomicUsize::new(0),
        })
    }
}

impl AppendJournal for Slow {
    fn seal(&self, invocation: InvocationId, salt: Option<[u8; 32]>) -> Arc<dyn Seal> {
        self.journal.seal(invocation, salt)
    }

    fn claim_statement(&self, _: InvocationId, _: &Claim) -> HostStatement {
        unreachable!("nothing is claimed here")
    }

    fn append_statements(&self, _: &Append) -> Vec<HostStatement> {
        Vec::new()
    }

    fn append(&self, append: Append) -> Pin<Box<dyn Future<Output = Result<(), AppendError>> + Send + '_>> {
        Box::pin(async move {
            assert_eq!(self.at_once.fetch_add(1, Ordering::SeqCst), 0, "one append at a time");
            self.begun.add_permits(1);
            self.may_end.acquire().await.expect("it is open").forget();
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            self.journal.append(append).await
        })
    }

    fn append_lazily(&self, append: Append) {
        self.journal.append_lazily(append);
    }
}

async fn effect(recorder: &Recorder, what: &'static str) -> Result<Bytes, Fault> {
    match recorder.external("http.post", what.as_bytes()).await? {
        ExternalStep::Recorded(outcome) => Ok(outcome),
        ExternalStep::Perform(effect) | ExternalStep::InDoubt(effect) => {
            let outcome = Bytes::from_static(what.as_bytes());
            effect.happened(outcome.clone()).await?;
            Ok(outcome)
        }
    }
}

#[tokio::test]
async fn an_append_makes_durable_what_it_wrote_and_not_what_came_meanwhile() {
    let journal = Arc::new(MemoryJournal::default());
    let slow = Slow::new(&journal);
    let attempt = journal.attempt_through(slow.clone());
    let root = attempt.recorder();
    let one = call_beside(&root, |it| async move { effect(&it, "one").await });
    slow.begun.acquire().await.unwrap().forget();
    // The intent of the first is on its way.
    let other = call_beside(&root, |it| async move {
        it.observe("sql.query", b"", async { Ok(Bytes::from_static(b"rows")) })
            .await?;
        effect(&it, "other").await
    });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    slow.may_end.add_permits(1);
    slow.begun.acquire().await.unwrap().forget();
    assert_eq!(journal.shape(), "SCI", "the start, the call and its intent");
    slow.may_end.add_permits(100);
    assert_eq!(one.outcome(&root).await, Ok("one".into()));
    assert_eq!(other.outcome(&root).await, Ok("other".into()));
    let letters = |letter| journal.shape().chars().filter(|it| *it == letter).count();
    assert_eq!(
        ['S', 'C', 'R', 'I', 'D'].map(letters),
        [1, 2, 1, 2, 2],
        "{}: everything once",
        journal.shape()
    );
}

#[tokio::test]
async fn what_is_on_its_way_when_a_sibling_fails_is_known_to_be_unknown() {
    let journal = Arc::new(MemoryJournal::default());
    let slow = Slow::new(&journal);
    let attempt = journal.attempt_through(slow.clone());
    let root = attempt.recorder();
    let appends = call_beside(&root, |it| async move { effect(&it, "one").await });
    slow.begun.acquire().await.unwrap().forget();
    let falls = call_beside::<(), _>(&root, |_| async { Err(Fault::Trap("it falls".into())) });
    attempt.branch_failed().await;
    assert_eq!(attempt.fault(), Some(Fault::Trap("it falls".into())));
    attempt.end_branches().await;
    assert!(attempt.is_appending());
    drop((appends, falls, root));
    assert!(attempt.into_machine().is_some(), "nothing of the branches is left");
}

#[tokio::test]
async fn more_than_there_is_room_for_are_done_all_the_same_and_never_too_many_at_once() {
    let journal = Arc::new(MemoryJournal::default());
    let attempt = journal.attempt();
    let root = attempt.recorder();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let begun: Vec<_> = (0..40)
        .map(|n: u32| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            call_beside(&root, move |_| async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(n)
            })
        })
        .collect();
    // The last first: what has no room is done by whoever waits for it.
    for (n, beside) in (0..40).zip(begun).rev() {
        assert_eq!(beside.outcome(&root).await, Ok(n));
    }
    let most = most.load(Ordering::SeqCst);
    assert!((MAX_BRANCHES..=MAX_BRANCHES + 1).contains(&most), "{most}");
}

#[tokio::test]
async fn what_nobody_waited_for_has_ended_before_its_instance_has() {
    let journal = Arc::new(MemoryJournal::default());
    let attempt = journal.attempt();
    let root = attempt.recorder();
    let done = Arc::new(AtomicUsize::new(0));
    for _ in 0..20 {
        let done = Arc::clone(&done);
        let _dropped = call_beside(&root, move |_| async move {
            tokio::task::yield_now().await;
            done.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
    }
    assert_eq!(root.end_begun().await, Ok(()));
    assert_eq!(done.load(Ordering::SeqCst), 20);
    let _failed = call_beside::<(), _>(&root, |_| async { Err(Fault::Transient("gone".into())) });
    assert_eq!(root.end_begun().await, Err(Fault::Transient("gone".into())));
}

#[tokio::test]
async fn whatever_is_durable_when_the_process_ends_the_outcome_is_the_same() {
    async fn run(journal: &Arc<MemoryJournal>) -> Vec<String> {
        let attempt = journal.attempt();
        let root = attempt.recorder();
        let begun = ["one", "other", "third"].map(|what| {
            call_beside(&root, move |it| async move {
                it.now_ms()?;
                let first = effect(&it, what).await?;
                let id = it.derive_uuid()?;
                let second = effect(&it, "again").await?;
                Ok(format!("{first:?} {id} {second:?}"))
            })
        });
        let mut outcomes = Vec::new();
        for beside in begun {
            outcomes.push(beside.outcome(&root).await.unwrap());
        }
        outcomes
    }
    let whole = Arc::new(MemoryJournal::default());
    let outcomes = run(&whole).await;
    let entries = whole.history().len();
    for cut in 0..=entries {
        let journal = Arc::new(MemoryJournal::default());
        assert_eq!(run(&journal).await, outcomes);
        journal.cut(cut);
        assert_eq!(run(&journal).await, outcomes, "cut at {cut}");
        assert_eq!(journal.history().len(), entries, "nothing was done twice");
    }
}
