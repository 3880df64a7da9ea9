//! Waiting: for a moment, or for a promise that somebody else completes.
//!
//! A wait keeps its instance for a while and records nothing: most are short. After that the invocation is suspended: its
//! entries, and what will wake it, become durable in one append, and every instance of its call tree is given up.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use host_journal::{ArgumentHash, CommandKind, Completion, Payload, Step, Suspension};
use host_traces::SpanKind;
use host_types::{Fault, Position, PromiseId};
use minicbor::{Decode, Encode};

use crate::{Recorder, crash};

/// Bytes of a promise's value at most: it is recorded by everybody who waits for it.
pub const MAX_PROMISE_BYTES: usize = 256 << 10;

const CREATE: &str = "nexus:durable/promises.create";
const COMPLETE: &str = "nexus:durable/promises.complete";
const WAIT: &str = "nexus:durable/promises.wait";
const SLEEP: &str = "nexus:durable/invocation.sleep";

/// A future without a name.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a promise stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromiseState {
    /// There is none of that id.
    Unknown,
    /// Nobody has completed it.
    Open,
    /// It was completed with this.
    Completed(Payload),
}

/// What completing a promise came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Completed {
    /// It has this value now.
    #[n(0)]
    Now,
    /// It had a value before, and keeps it.
    #[n(1)]
    Before,
    /// There is no such promise.
    #[n(2)]
    Unknown,
}

/// What a wait for a promise came to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Waited {
    /// It was completed with this.
    #[n(0)]
    Value(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// The time was up before.
    #[n(1)]
    TimedOut,
    /// There is no such promise.
    #[n(2)]
    Unknown,
}

/// Promises as they are now, and who waits for them on this node.
pub trait Promises: Send + Sync + 'static {
    /// Reads a promise.
    fn look(&self, promise: PromiseId) -> Answer<'_, Result<PromiseState, Fault>>;

    /// Returns once this promise may have changed, and after a while in any case. What changes after the call of this function is
    /// not missed, even before the future is polled.
    fn changed(&self, promise: Option<PromiseId>) -> Answer<'_, ()>;

    /// Room for a wait that keeps its instance, until this is dropped; `None` when there is none.
    fn hold(&self) -> Option<Hold>;

    /// The node stops: no instance may be kept any more. What waits on [`Promises::changed`] is told.
    fn is_stopping(&self) -> bool;

    /// An append is durable that completed these promises, or (`due`) began invocations.
    fn announce(&self, completed: &[PromiseId], due: bool);
}

/// Room for one wait that keeps its instance.
pub type Hold = Box<dyn Send + Sync>;

/// What an instance waits for.
struct Awaited {
    promise: Option<PromiseId>,
    until_ms: Option<u64>,
}

impl Recorder {
    /// A promise that comes to be with the next append.
    pub fn create_promise(&self) -> Result<PromiseId, Fault> {
        match self.step(CommandKind::Message, CREATE, b"")? {
            (Step::Recorded(answer), _) => self.decode_promise(&answer),
            (Step::Perform(position) | Step::InDoubt(position), arguments) => {
                let now_ms = self.attempt.clock.unix_ms();
                let mut state = self.attempt.state.lock();
                let promise = PromiseId(state.machine.header().seed.uuid(&position, now_ms));
                state.unwritten.promises.push(promise);
                let answer = Bytes::copy_from_slice(promise.0.as_bytes());
                let noted = state
                    .machine
                    .complete(&position, CommandKind::Message, CREATE, arguments, answer);
                noted.map_err(|fault| state.fail(fault))?;
                Ok(promise)
            }
        }
    }

    /// Completes a promise with the next append. The first completion wins: one that others were faster with makes the append fail,
    /// and the attempt that follows is told so.
    pub async fn complete_promise(&self, promise: PromiseId, value: &[u8]) -> Result<Completed, Fault> {
        if value.len() > MAX_PROMISE_BYTES {
            let size = value.len();
            let text = format!(
                "a promise's value of {size} bytes: one holds at most {MAX_PROMISE_BYTES}; send a reference instead"
            );
            return Err(self.attempt.fail(Fault::LimitExceeded(text)));
        }
        let arguments = [promise.0.as_bytes().as_slice(), value].concat();
        match self.step(CommandKind::Message, COMPLETE, &arguments)? {
            (Step::Recorded(answer), _) => self.decode(&answer),
            (Step::Perform(position) | Step::InDoubt(position), arguments) => {
                let completed = self.completion(promise).await?;
                let mut state = self.attempt.state.lock();
                if completed == Completed::Now {
                    let seal = self.attempt.journal.seal(promise_seal(promise), None);
                    let value = seal.seal(0, value);
                    state.unwritten.completions.push(Completion { promise, value });
                }
                let noted =
                    state
                        .machine
                        .complete(&position, CommandKind::Message, COMPLETE, arguments, encode(&completed));
                noted.map_err(|fault| state.fail(fault))?;
                Ok(completed)
            }
        }
    }

    /// What completing it would come to now.
    async fn completion(&self, promise: PromiseId) -> Result<Completed, Fault> {
        let (is_mine, is_completed) = {
            let state = self.attempt.state.lock();
            let unwritten = &state.unwritten;
            let mut completions = unwritten.completions.iter();
            (
                unwritten.promises.contains(&promise),
                completions.any(|completion| completion.promise == promise),
            )
        };
        if is_completed {
            return Ok(Completed::Before);
        }
        if is_mine {
            return Ok(Completed::Now);
        }
        let state = self.attempt.promises.look(promise).await;
        Ok(match state.map_err(|fault| self.attempt.fail(fault))? {
            PromiseState::Open => Completed::Now,
            PromiseState::Completed(_) => Completed::Before,
            PromiseState::Unknown => Completed::Unknown,
        })
    }

    /// Waits until a promise is completed, at most `timeout_ms`.
    pub async fn wait_for(&self, promise: PromiseId, timeout_ms: Option<u64>) -> Result<Waited, Fault> {
        // Recorded: a replay waits until the same moment.
        let until_ms = match timeout_ms {
            Some(timeout_ms) => Some(self.now_ms()?.saturating_add(timeout_ms)),
            None => None,
        };
        let awaited = Awaited {
            promise: Some(promise),
            until_ms,
        };
        let mut arguments = promise.0.as_bytes().to_vec();
        arguments.extend(until_ms.unwrap_or(u64::MAX).to_be_bytes());
        let answer = self.wait(WAIT, &arguments, &awaited).await?;
        self.decode(&answer)
    }

    /// Waits for this long.
    pub async fn sleep(&self, duration_ms: u64) -> Result<(), Fault> {
        let until_ms = self.now_ms()?.saturating_add(duration_ms);
        let awaited = Awaited {
            promise: None,
            until_ms: Some(until_ms),
        };
        self.wait(SLEEP, &until_ms.to_be_bytes(), &awaited).await?;
        Ok(())
    }

    async fn wait(&self, target: &str, arguments: &[u8], awaited: &Awaited) -> Result<Payload, Fault> {
        let (position, arguments) = match self.step(CommandKind::Wait, target, arguments)? {
            (Step::Recorded(answer), _) => return Ok(answer),
            (Step::Perform(position) | Step::InDoubt(position), arguments) => (position, arguments),
        };
        // Nobody can complete what is not there, and what this invocation completed itself must be seen.
        let has_promises = self.attempt.state.lock().unwritten.has_promises();
        if has_promises {
            self.attempt.flush(None).await?;
        }
        let mut span = self.begin_span(SpanKind::Internal, target, &position);
        match self.watch(awaited).await? {
            Some(waited) => {
                let answer = encode(&waited);
                self.complete(&position, CommandKind::Wait, target, arguments, answer.clone())?;
                Ok(answer)
            }
            None => {
                span.set("nexus.suspended", true);
                Err(self.suspend(&position, target, arguments, awaited).await)
            }
        }
    }

    /// What it came to, as long as the instance may be kept.
    async fn watch(&self, awaited: &Awaited) -> Result<Option<Waited>, Fault> {
        let attempt = &self.attempt;
        let mut hold = None;
        let held_until_ns = attempt.clock.boot_ns() + attempt.wait_hold.as_nanos() as u64;
        loop {
            // Before the look: what happens right after it is told to this.
            let changed = attempt.promises.changed(awaited.promise);
            if let Some(promise) = awaited.promise {
                let state = attempt.promises.look(promise).await;
                match state.map_err(|fault| attempt.fail(fault))? {
                    PromiseState::Completed(value) => return Ok(Some(Waited::Value(value.into()))),
                    PromiseState::Unknown => return Ok(Some(Waited::Unknown)),
                    PromiseState::Open => {}
                }
            }
            let left_ms = awaited
                .until_ms
                .map(|until| until.saturating_sub(attempt.clock.unix_ms()));
            if left_ms == Some(0) {
                return Ok(Some(Waited::TimedOut));
            }
            let hold_ms = held_until_ns.saturating_sub(attempt.clock.boot_ns()) / 1_000_000;
            // A sleep that is longer than the instance may be kept need not begin here.
            let is_hopeless = awaited.promise.is_none() && left_ms.is_some_and(|left| left > hold_ms);
            if hold_ms == 0 || is_hopeless || attempt.promises.is_stopping() {
                return Ok(None);
            }
            if hold.is_none() {
                hold = attempt.promises.hold();
            }
            if hold.is_none() {
                return Ok(None);
            }
            let patience = Duration::from_millis(left_ms.map_or(hold_ms, |left| left.min(hold_ms)));
            let _ = tokio::time::timeout(patience, changed).await;
        }
    }

    /// Gives the instance up. What will wake it is durable when this returns.
    async fn suspend(&self, position: &Position, target: &str, arguments: ArgumentHash, awaited: &Awaited) -> Fault {
        let attempt = &self.attempt;
        let append = {
            let mut state = attempt.state.lock();
            if let Err(fault) = state.machine.suspend(position, target, arguments, attempt.node()) {
                return state.fail(fault);
            }
            let suspension = Suspension {
                promises: awaited.promise.into_iter().collect(),
                due_ms: awaited.until_ms,
            };
            state.suspending_append(attempt, suspension)
        };
        crash::reached(crash::Point::BeforeAppend);
        let written = attempt.write(append).await;
        crash::reached(crash::Point::AfterAppend);
        match written {
            Ok(()) => attempt.fail(Fault::Suspended),
            Err(fault) => fault,
        }
    }

    fn decode<'b, T: Decode<'b, ()>>(&self, recorded: &'b [u8]) -> Result<T, Fault> {
        minicbor::decode(recorded).map_err(|error| {
            let text = format!("a recorded answer is malformed: {error}");
            self.attempt.fail(Fault::Guest(text))
        })
    }

    fn decode_promise(&self, recorded: &[u8]) -> Result<PromiseId, Fault> {
        let id = recorded.try_into().map(uuid::Uuid::from_bytes).map(PromiseId);
        id.map_err(|_| self.attempt.fail(Fault::Guest("a recorded id is malformed".into())))
    }
}

/// A promise's value is sealed as the entry of an invocation with the promise's id would be: there is none.
pub fn promise_seal(promise: PromiseId) -> host_types::InvocationId {
    host_types::InvocationId(promise.0)
}

fn encode<T: Encode<()>>(value: &T) -> Payload {
    // Plain fields into a vector: there is nothing that could fail.
    minicbor::to_vec(value)
        .expect("a recorded answer has an encoding")
        .into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::test_support::MemoryJournal;

    #[tokio::test]
    async fn what_waits_is_suspended_and_goes_on_with_what_came() {
        let journal = Arc::new(MemoryJournal::default());
        let first = journal.attempt().recorder();
        let promise = first.create_promise().unwrap();
        assert_eq!(first.wait_for(promise, Some(9_000)).await, Err(Fault::Suspended));
        let expected = Suspension {
            promises: vec![promise],
            due_ms: Some(10_000),
        };
        assert_eq!(journal.suspension(), Some(expected));
        // The start and the promise, which is written before it is waited for; the time, and the wait.
        assert_eq!(journal.shape(), "SCRC");

        let second = journal.attempt().recorder();
        assert_eq!(second.create_promise(), Ok(promise));
        assert_eq!(second.wait_for(promise, Some(9_000)).await, Err(Fault::Suspended));
        assert_eq!(journal.shape(), "SCRCF");

        journal.complete(promise, b"paid");
        let third = journal.attempt().recorder();
        assert_eq!(third.create_promise(), Ok(promise));
        let waited = Waited::Value(b"paid".to_vec());
        assert_eq!(third.wait_for(promise, Some(9_000)).await, Ok(waited));
    }

    #[tokio::test]
    async fn a_promise_of_ones_own_is_completed_once_before_anything_is_written() {
        let journal = Arc::new(MemoryJournal::default());
        let recorder = journal.attempt().recorder();
        let promise = recorder.create_promise().unwrap();
        assert_eq!(recorder.complete_promise(promise, b"own").await, Ok(Completed::Now));
        assert_eq!(
            recorder.complete_promise(promise, b"again").await,
            Ok(Completed::Before)
        );
        assert_eq!(journal.shape(), "");
        assert_eq!(
            recorder.wait_for(promise, None).await,
            Ok(Waited::Value(b"own".to_vec()))
        );
        let unknown = PromiseId::new(1, [9; 10]);
        assert_eq!(recorder.complete_promise(unknown, b"").await, Ok(Completed::Unknown));
        assert_eq!(recorder.wait_for(unknown, None).await, Ok(Waited::Unknown));
    }

    #[tokio::test]
    async fn a_value_that_is_too_long_is_refused() {
        let recorder = Arc::new(MemoryJournal::default()).attempt().recorder();
        let promise = recorder.create_promise().unwrap();
        let refused = recorder
            .complete_promise(promise, &vec![0; MAX_PROMISE_BYTES + 1])
            .await;
        assert!(matches!(refused, Err(Fault::LimitExceeded(_))), "{refused:?}");
    }
}
