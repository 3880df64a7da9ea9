//! When what an instance calls and waits for must have come.
//!
//! A moment, and not a duration: it is recorded with the invocation's start, or comes from a recorded time, and travels with the calls
//! below. A message does not take it along: what is sent has the time of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Recorder;

/// Milliseconds since 1970-01-01 UTC; the largest number: whenever. Shared by the clones of one instance's recorder.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    given_ms: u64,
    own_ms: Arc<AtomicU64>,
}

impl Deadline {
    pub(crate) fn given(given_ms: Option<u64>) -> Self {
        Self {
            given_ms: given_ms.unwrap_or(u64::MAX),
            own_ms: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }
}

impl Recorder {
    /// When it is over for what this instance does: its caller's deadline, or an earlier one of its own.
    pub fn deadline_ms(&self) -> Option<u64> {
        let own_ms = self.deadline.own_ms.load(Ordering::Relaxed);
        let deadline_ms = self.deadline.given_ms.min(own_ms);
        (deadline_ms < u64::MAX).then_some(deadline_ms)
    }

    /// Sets this instance's own deadline for what it does from now on; `None`: it has none but its caller's.
    pub fn set_deadline(&self, at_ms: Option<u64>) {
        self.deadline.own_ms.store(at_ms.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How much time is left, by the clock: for what is not recorded itself, as the patience with a foreign system.
    pub fn time_left(&self) -> Option<Duration> {
        self.time_left_until(self.deadline_ms())
    }

    /// The same until a deadline that this instance had.
    pub fn time_left_until(&self, deadline_ms: Option<u64>) -> Option<Duration> {
        let left_ms = deadline_ms?.saturating_sub(self.attempt.clock.unix_ms());
        Some(Duration::from_millis(left_ms))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use host_journal::{Acquired, ExclusiveKey, Payload};
    use host_types::{Fault, InvocationId};

    use crate::test_support::MemoryJournal;
    use crate::{CallStep, Waited};

    /// It is always 1,000 in a journal in memory.
    #[tokio::test]
    async fn a_wait_ends_at_the_deadline_of_whoever_called() {
        let journal = Arc::new(MemoryJournal::default());
        let recorder = journal.attempt().recorder();
        let promise = recorder.create_promise().unwrap();
        recorder.set_deadline(Some(9_000));
        assert_eq!(recorder.wait_for(promise, None).await, Err(Fault::Suspended));
        assert_eq!(journal.suspension().map(|it| it.due_ms), Some(Some(9_000)));

        let recorder = journal.attempt().recorder();
        assert_eq!(recorder.create_promise(), Ok(promise));
        recorder.set_deadline(Some(900));
        let other = recorder.wait_for(promise, None).await;
        assert!(
            matches!(other, Err(Fault::Mismatch { .. })),
            "another deadline is another wait: {other:?}"
        );

        let recorder = Arc::new(MemoryJournal::default()).attempt().recorder();
        let promise = recorder.create_promise().unwrap();
        recorder.set_deadline(Some(900));
        assert_eq!(recorder.wait_for(promise, Some(60_000)).await, Ok(Waited::TimedOut));
        assert_eq!(recorder.sleep(60_000).await, Ok(()), "a sleep is over then");
        // It travels down, and what is set below never reaches up.
        let Ok(CallStep::Enter(entered)) = recorder.call("cart:fill", b"") else {
            panic!("it was not called before");
        };
        let callee = entered.callee();
        callee.set_deadline(Some(5_000));
        assert_eq!(callee.deadline_ms(), Some(900));
        callee.set_deadline(Some(800));
        assert_eq!((callee.deadline_ms(), recorder.deadline_ms()), (Some(800), Some(900)));
        assert_eq!(callee.wait_for(promise, None).await, Ok(Waited::TimedOut));
        entered.returned(Payload::new()).unwrap();
        recorder.set_deadline(None);
        assert_eq!(recorder.deadline_ms(), None);
    }

    #[tokio::test]
    async fn a_key_is_not_waited_for_beyond_the_deadline_and_leaves_no_place() {
        let journal = Arc::new(MemoryJournal::default());
        let key = ExclusiveKey::new("desk".into(), "a:b/c", "serve", b"7");
        journal.enqueue(key.id, InvocationId::new(7, [7; 10]));
        let recorder = journal.attempt().recorder();
        recorder.set_deadline(Some(900));
        let Ok(CallStep::Enter(entered)) = recorder.call("desk:serve", b"") else {
            panic!("it was not called before");
        };
        let callee = entered.callee();
        assert_eq!(callee.acquire(&key).await, Ok(Acquired::TimedOut));
        entered.returned(Payload::new()).unwrap();
        callee.release().await.unwrap();
        assert_eq!(journal.queue(key.id).len(), 1);
    }
}
