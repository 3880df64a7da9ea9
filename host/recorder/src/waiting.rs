//! Waiting: for a moment, or for a promise that somebody else completes.
//!
//! A wait keeps its instance for a while and records nothing: most are short. After that the invocation is suspended: its
//! entries, and what will wake it, become durable in one append, and every instance of its call tree is given up.

use std::time::Duration;

use bytes::Bytes;
use host_journal::{
    Acquired, ArgumentHash, CommandKind, Completion, MAX_INVOCATION_BYTES, OUTPUT_PROMISE, Payload, Step, Suspension,
    WorkflowKey,
};
use host_traces::SpanKind;
use host_types::{Fault, InvocationId, Position, PromiseId};
use minicbor::{Decode, Encode};

use crate::branch::Standby;
use crate::promises::{Completed, MAX_PROMISE_BYTES, PromiseState, Waited, Watched};
use crate::{Recorder, crash};

const CREATE: &str = "nexus:durable/promises.create";
const COMPLETE: &str = "nexus:durable/promises.complete";
const WAIT: &str = "nexus:durable/promises.wait";
const SLEEP: &str = "nexus:durable/invocation.sleep";

/// Between two looks at a promise while the node stops.
const SLOW_LOOK: Duration = Duration::from_secs(1);

/// What an instance waits for.
pub(crate) struct Awaited {
    what: What,
    until_ms: Option<u64>,
    /// What a wait that would never end comes to, where that is looked for.
    on_circle: Option<Result<Payload, Fault>>,
}

enum What {
    Time,
    Promise(PromiseId),
    OfWorkflow(WorkflowKey, String),
}

impl Awaited {
    /// The promise of this name.
    pub(crate) fn of_workflow(key: WorkflowKey, name: String, until_ms: Option<u64>) -> Self {
        Self {
            what: What::OfWorkflow(key, name),
            until_ms,
            on_circle: None,
        }
    }

    /// The same of its output: one for which it is waited here, and that waits for what waits here, comes to this, if it may.
    pub(crate) fn output(key: WorkflowKey, until_ms: Option<u64>, on_circle: Option<Result<Payload, Fault>>) -> Self {
        Self {
            on_circle,
            ..Self::of_workflow(key, OUTPUT_PROMISE.to_owned(), until_ms)
        }
    }
}

/// A wait whose instance is to be given up, once no other of its invocation is at work.
#[derive(Debug, Clone)]
pub(crate) struct Parked {
    pub(crate) position: Position,
    pub(crate) target: String,
    pub(crate) arguments: ArgumentHash,
    pub(crate) watched: Watched,
    pub(crate) until_ms: Option<u64>,
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
                state.unwritten_in(&self.scope).promises.push(promise);
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
        let arguments = [promise.0.as_bytes().as_slice(), value].concat();
        let found = async { Ok(Some(promise)) };
        self.complete_promise_of(COMPLETE, &arguments, found, value).await
    }

    /// Completes the promise that `find` gives; none is an unknown one. `target` and `arguments` name the command.
    pub(crate) async fn complete_promise_of(
        &self,
        target: &str,
        arguments: &[u8],
        find: impl Future<Output = Result<Option<PromiseId>, Fault>>,
        value: &[u8],
    ) -> Result<Completed, Fault> {
        if value.len() > MAX_PROMISE_BYTES {
            let size = value.len();
            let text = format!(
                "a promise's value of {size} bytes: one holds at most {MAX_PROMISE_BYTES}; send a reference instead"
            );
            return Err(self.attempt.fail(Fault::LimitExceeded(text)));
        }
        match self.step(CommandKind::Message, target, arguments)? {
            (Step::Recorded(answer), _) => self.decode(&answer),
            (Step::Perform(position) | Step::InDoubt(position), arguments) => {
                let found = find.await?;
                let completed = match found {
                    Some(promise) => self.completion(promise).await?,
                    None => Completed::Unknown,
                };
                let mut state = self.attempt.state.lock();
                // Again: a sibling may have been faster.
                let completed = match found {
                    Some(promise) if completed == Completed::Now && state.knows(&self.scope, promise).1 => {
                        Completed::Before
                    }
                    _ => completed,
                };
                if let (Some(promise), Completed::Now) = (found, completed) {
                    let seal = self.attempt.journal.seal(promise_seal(promise), None);
                    let value = seal.seal(0, value);
                    // They wait in memory for the append that carries them.
                    if state.message_bytes() + value.len() > MAX_INVOCATION_BYTES {
                        let text = format!(
                            "messages of more than {MAX_INVOCATION_BYTES} bytes in one append: commit in between"
                        );
                        return Err(state.fail(Fault::LimitExceeded(text)));
                    }
                    state.unwritten_in(&self.scope).complete(Completion { promise, value });
                }
                let noted =
                    state
                        .machine
                        .complete(&position, CommandKind::Message, target, arguments, encode(&completed));
                noted.map_err(|fault| state.fail(fault))?;
                Ok(completed)
            }
        }
    }

    /// What completing it would come to now.
    async fn completion(&self, promise: PromiseId) -> Result<Completed, Fault> {
        let (is_mine, is_completed) = self.attempt.state.lock().knows(&self.scope, promise);
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
        let until_ms = self.until_ms(timeout_ms)?;
        let awaited = Awaited {
            what: What::Promise(promise),
            until_ms,
            on_circle: None,
        };
        let mut arguments = promise.0.as_bytes().to_vec();
        arguments.extend(until_ms.unwrap_or(u64::MAX).to_be_bytes());
        let answer = self.wait(WAIT, &arguments, &awaited).await?;
        self.decode(&answer)
    }

    /// Waits for this long.
    pub async fn sleep(&self, duration_ms: u64) -> Result<(), Fault> {
        let until_ms = self.now_ms()?.saturating_add(duration_ms);
        let until_ms = self
            .deadline_ms()
            .map_or(until_ms, |deadline_ms| deadline_ms.min(until_ms));
        let awaited = Awaited {
            what: What::Time,
            until_ms: Some(until_ms),
            on_circle: None,
        };
        self.wait(SLEEP, &until_ms.to_be_bytes(), &awaited).await?;
        Ok(())
    }

    /// When a wait is over. Recorded: a replay waits until the same moment.
    pub(crate) fn until_ms(&self, timeout_ms: Option<u64>) -> Result<Option<u64>, Fault> {
        let until_ms = match timeout_ms {
            Some(timeout_ms) => Some(self.now_ms()?.saturating_add(timeout_ms)),
            None => None,
        };
        let until_ms = until_ms.into_iter().chain(self.deadline_ms());
        Ok(until_ms.min())
    }

    pub(crate) async fn wait(&self, target: &str, arguments: &[u8], awaited: &Awaited) -> Result<Payload, Fault> {
        let (position, arguments) = match self.step(CommandKind::Wait, target, arguments)? {
            (Step::Recorded(answer), _) => return Ok(answer),
            (Step::Perform(position) | Step::InDoubt(position), arguments) => (position, arguments),
        };
        // Nobody can complete what is not there, and what this invocation completed itself must be seen.
        let has_promises = self.attempt.state.lock().unwritten.has_promises();
        if has_promises {
            self.attempt.flush(None).await?;
        }
        let mut wait = Parked {
            position,
            target: target.to_owned(),
            arguments,
            watched: Watched::Time,
            until_ms: awaited.until_ms,
        };
        let (key, name) = match &awaited.what {
            What::Time => return self.await_end(wait).await,
            What::Promise(promise) => {
                wait.watched = Watched::Promise(*promise);
                return self.await_end(wait).await;
            }
            What::OfWorkflow(key, name) => (key, name),
        };
        let unknown = encode(&Waited::Unknown);
        let mut answer = unknown.clone();
        // A promise that is gone while its workflow is there was that of an earlier run: a restart has others.
        while answer == unknown {
            let Some(promise) = self.named(key, name).await? else {
                break;
            };
            wait.watched = Watched::Promise(promise);
            answer = match &awaited.on_circle {
                Some(refused) if self.closes_circle(promise).await? => {
                    refused.clone().map_err(|fault| self.attempt.fail(fault))?
                }
                _ => self.end_of(&wait).await?,
            };
        }
        self.complete(&wait.position, CommandKind::Wait, target, arguments, answer.clone())?;
        Ok(answer)
    }

    /// Waits, and notes what it came to, encoded.
    pub(crate) async fn await_end(&self, wait: Parked) -> Result<Payload, Fault> {
        let answer = self.end_of(&wait).await?;
        self.complete(
            &wait.position,
            CommandKind::Wait,
            &wait.target,
            wait.arguments,
            answer.clone(),
        )?;
        Ok(answer)
    }

    /// Waits, with the instance as long as it may be kept.
    async fn end_of(&self, wait: &Parked) -> Result<Payload, Fault> {
        let mut span = self.begin_span(SpanKind::Internal, &wait.target, &wait.position);
        match self.watch(wait.watched, wait.until_ms).await? {
            Some(answer) => Ok(answer),
            None => {
                // Unless a sibling goes on for so long that it is waited for to the end, the instance is given up here.
                span.set("nexus.parked", true);
                self.park(wait).await
            }
        }
    }

    /// What it came to, encoded, as long as the instance may be kept.
    async fn watch(&self, watched: Watched, until_ms: Option<u64>) -> Result<Option<Payload>, Fault> {
        let attempt = &self.attempt;
        let mut hold = None;
        let held_until_ns = attempt.clock.boot_ns() + attempt.wait_hold.as_nanos() as u64;
        loop {
            // Before the look: what happens right after it is told to this.
            let changed = attempt.promises.changed(watched);
            if let Some(answer) = self.look(watched, until_ms).await? {
                return Ok(Some(answer));
            }
            let left_ms = self.left_ms(until_ms);
            let hold_ms = held_until_ns.saturating_sub(attempt.clock.boot_ns()) / 1_000_000;
            // A sleep that is longer than the instance may be kept need not begin here.
            let is_hopeless = watched == Watched::Time && left_ms.is_some_and(|left| left > hold_ms);
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

    /// What it has come to by now, encoded.
    async fn look(&self, watched: Watched, until_ms: Option<u64>) -> Result<Option<Payload>, Fault> {
        let ended = match watched {
            Watched::Time => None,
            Watched::Promise(promise) => self.promised(promise).await?,
            Watched::Key(key) => self.place(key).await?,
        };
        let timed_out = || match watched {
            Watched::Key(_) => encode(&Acquired::TimedOut),
            Watched::Time | Watched::Promise(_) => encode(&Waited::TimedOut),
        };
        Ok(ended.or_else(|| (self.left_ms(until_ms) == Some(0)).then(timed_out)))
    }

    /// What a wait for a promise has come to, encoded.
    async fn promised(&self, promise: PromiseId) -> Result<Option<Payload>, Fault> {
        let attempt = &self.attempt;
        let state = attempt.promises.look(promise).await;
        Ok(match state.map_err(|fault| attempt.fail(fault))? {
            PromiseState::Completed(value) => Some(encode(&Waited::Value(value.into()))),
            PromiseState::Unknown => Some(encode(&Waited::Unknown)),
            PromiseState::Open => None,
        })
    }

    async fn closes_circle(&self, promise: PromiseId) -> Result<bool, Fault> {
        let attempt = &self.attempt;
        let closes = attempt.promises.closes_circle(attempt.invocation, promise).await;
        closes.map_err(|fault| attempt.fail(fault))
    }

    fn left_ms(&self, until_ms: Option<u64>) -> Option<u64> {
        Some(until_ms?.saturating_sub(self.attempt.clock.unix_ms()))
    }

    /// The instance need not be kept: waits on as long as others of the invocation are at work, and then all are given up.
    async fn park(&self, parked: &Parked) -> Result<Payload, Fault> {
        let attempt = &self.attempt;
        let mut has_news = false;
        loop {
            // Both before the look.
            let changed = attempt.promises.changed(parked.watched);
            let news = attempt.branch_news.changed.notified();
            // The sibling that was at work until now may have brought it.
            if has_news && let Some(answer) = self.look(parked.watched, parked.until_ms).await? {
                let is_resumed = attempt.state.lock().branches.resume(self.branch);
                return match is_resumed {
                    true => Ok(answer),
                    false => given_up().await,
                };
            }
            match self.stand_by(parked)? {
                Standby::Last => return Err(self.suspend().await),
                Standby::Wait => has_news = true,
                Standby::GivenUp => return given_up().await,
            }
            // Once the node stops, it tells so without end.
            let changed = async {
                match attempt.promises.is_stopping() {
                    true => tokio::time::sleep(SLOW_LOOK).await,
                    false => changed.await,
                }
            };
            let due = async {
                match self.left_ms(parked.until_ms) {
                    Some(left_ms) => tokio::time::sleep(Duration::from_millis(left_ms)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = news => {}
                () = due => {}
            }
        }
    }

    fn stand_by(&self, parked: &Parked) -> Result<Standby, Fault> {
        let mut state = self.attempt.state.lock();
        state.check()?;
        Ok(state.branches.park(self.branch, parked))
    }

    /// Gives every instance up. What will wake the invocation is durable when this returns.
    async fn suspend(&self) -> Fault {
        let attempt = &self.attempt;
        let _claiming = attempt.claim_turn().await;
        let turn = attempt.append_turn().await;
        let (append, appending) = {
            let mut state = attempt.state.lock();
            let parked: Vec<Parked> = state.branches.parked().cloned().collect();
            let mut suspension = Suspension::default();
            for Parked {
                position,
                target,
                arguments,
                watched,
                until_ms,
            } in parked
            {
                let noted = state.machine.suspend(&position, &target, arguments, attempt.node());
                if let Err(fault) = noted {
                    return state.fail(fault);
                }
                match watched {
                    Watched::Time => {}
                    Watched::Promise(promise) => suspension.promises.push(promise),
                    Watched::Key(key) => suspension.keys.push(key),
                }
                suspension.due_ms = suspension.due_ms.into_iter().chain(until_ms).min();
            }
            suspension.promises.sort_unstable();
            suspension.promises.dedup();
            suspension.keys.sort_unstable();
            suspension.keys.dedup();
            (state.suspending_append(attempt, suspension), state.begin_append(turn))
        };
        crash::reached(crash::Point::BeforeAppend);
        let written = attempt.write(append, appending).await;
        crash::reached(crash::Point::AfterAppend);
        match written {
            Ok(()) => attempt.fail(Fault::Suspended),
            Err(fault) => fault,
        }
    }

    pub(crate) fn decode<'b, T: Decode<'b, ()>>(&self, recorded: &'b [u8]) -> Result<T, Fault> {
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

/// Somebody else's append gives this instance up: it waits for its end.
async fn given_up() -> Result<Payload, Fault> {
    std::future::pending().await
}

/// A promise's value is sealed as the entry of an invocation with the promise's id would be: there is none.
pub fn promise_seal(promise: PromiseId) -> InvocationId {
    InvocationId(promise.0)
}

pub(crate) fn encode<T: Encode<()>>(value: &T) -> Payload {
    // Plain fields into a vector: there is nothing that could fail.
    minicbor::to_vec(value)
        .expect("a recorded answer has an encoding")
        .into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::test_support::{MemoryJournal, call_beside};

    #[tokio::test]
    async fn what_waits_is_suspended_and_goes_on_with_what_came() {
        let journal = Arc::new(MemoryJournal::default());
        let first = journal.attempt().recorder();
        let promise = first.create_promise().unwrap();
        assert_eq!(first.wait_for(promise, Some(9_000)).await, Err(Fault::Suspended));
        let expected = Suspension {
            promises: vec![promise],
            due_ms: Some(10_000),
            ..Suspension::default()
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
    async fn siblings_that_wait_are_given_up_together_and_woken_by_whatever_comes_first() {
        async fn run(journal: &Arc<MemoryJournal>) -> (Vec<PromiseId>, Result<Vec<Waited>, Fault>) {
            let attempt = journal.attempt();
            let root = attempt.recorder();
            let promises = [9_000, 4_000].map(|timeout| (timeout, root.create_promise().unwrap()));
            let begun = promises.map(|(timeout, promise)| {
                call_beside(
                    &root,
                    move |it| async move { it.wait_for(promise, Some(timeout)).await },
                )
            });
            let joined = async {
                let mut waited = Vec::new();
                for beside in begun {
                    waited.push(beside.outcome(&root).await?);
                }
                Ok(waited)
            };
            let outcome = tokio::select! {
                waited = joined => waited,
                () = attempt.branch_failed() => Err(attempt.fault().expect("it failed")),
            };
            attempt.end_branches().await;
            (promises.into_iter().map(|(_, promise)| promise).collect(), outcome)
        }
        let journal = Arc::new(MemoryJournal::default());
        let (promises, outcome) = run(&journal).await;
        assert_eq!(outcome, Err(Fault::Suspended));
        let mut sorted = promises.clone();
        sorted.sort_unstable();
        let both = Suspension {
            promises: sorted,
            due_ms: Some(5_000),
            ..Suspension::default()
        };
        assert_eq!(journal.suspension(), Some(both));

        journal.complete(promises[0], b"first");
        assert_eq!(run(&journal).await.1, Err(Fault::Suspended));
        let other = Suspension {
            promises: vec![promises[1]],
            due_ms: Some(5_000),
            ..Suspension::default()
        };
        assert_eq!(journal.suspension(), Some(other));

        journal.complete(promises[1], b"second");
        let waited = ["first", "second"].map(|value| Waited::Value(value.into()));
        assert_eq!(run(&journal).await.1, Ok(waited.to_vec()));
    }

    #[tokio::test]
    async fn who_waits_is_kept_as_long_as_a_sibling_is_at_work() {
        let journal = Arc::new(MemoryJournal::default());
        let attempt = journal.attempt();
        let root = attempt.recorder();
        let promise = root.create_promise().unwrap();
        let waits = call_beside(&root, move |it| async move { it.wait_for(promise, None).await });
        let works = call_beside(&root, move |it| async move {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            it.complete_promise(promise, b"by a sibling").await?;
            // What is completed is there with the next append.
            it.attempt().flush(None).await
        });
        assert_eq!(waits.outcome(&root).await, Ok(Waited::Value(b"by a sibling".to_vec())));
        assert_eq!(works.outcome(&root).await, Ok(()));
        assert_eq!(journal.suspension(), None);
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
    async fn values_that_wait_for_their_append_have_a_bound_together_and_none_once_they_are_written() {
        let recorder = Arc::new(MemoryJournal::default()).attempt().recorder();
        let value = vec![0; MAX_PROMISE_BYTES];
        let most = MAX_INVOCATION_BYTES / MAX_PROMISE_BYTES;
        let mut completions = 0;
        let refused = loop {
            let promise = recorder.create_promise().unwrap();
            match recorder.complete_promise(promise, &value).await {
                Ok(_) => completions += 1,
                Err(refused) => break refused,
            }
            assert!(completions <= 2 * most, "nothing is refused");
            if completions == most / 2 {
                recorder.attempt().flush(None).await.unwrap();
            }
        };
        assert!(matches!(refused, Fault::LimitExceeded(_)), "{refused:?}");
        assert_eq!(completions, most / 2 + most);
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
