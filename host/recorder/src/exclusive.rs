//! Running one at a time for each key: the place in the queue, and giving it up.

use host_journal::{
    ACQUIRE, Acquired, CommandKind, ExclusiveKey, KeyId, Step, exclusive_scope, has_acquired, recorded_place,
};
use host_types::{Fault, Scope};

use crate::attempt::State;
use crate::waiting::{Parked, encode};
use crate::{Attempt, Recorder, Watched};

/// Where an invocation stands in a key's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Others stand before it, or it has no place.
    Waits,
    /// It holds the key.
    Holds,
    /// Its place was refused: the wait would have closed a cycle.
    Refused,
}

/// Where an instance is with a key that it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It waits for it.
    Waits,
    /// It came to this.
    Came(Acquired),
}

impl Recorder {
    /// Takes a place in the key's queue for what this instance is about to run, and waits until it is the first. Whoever holds the key
    /// anywhere in the call tree holds it here.
    pub async fn acquire(&self, key: &ExclusiveKey) -> Result<Acquired, Fault> {
        {
            let mut state = self.attempt.state.lock();
            if state.machine.is_dry_run() {
                // Nobody is in the way of one that performs nothing; only what was refused is refused again.
                let recorded = recorded_place(state.machine.entries(), &self.scope).cloned();
                drop(state);
                return recorded.map_or(Ok(Acquired::Held), |recorded| self.decode(&recorded));
            }
            state.to_ask.retain(|(scope, _)| *scope != self.scope);
            // By a caller, who returns after this one. What a sibling holds is asked for, so that it is on record who works under the key:
            // a replay may have the sibling return first.
            let mut held = state.held.iter();
            let is_held =
                held.any(|(scope, held)| self.scope.is_within(scope) && *held == (key.id, Asked::Came(Acquired::Held)));
            let asked = match is_held {
                true => Asked::Came(Acquired::Held),
                // What a sibling gives up meanwhile must not be the place that this one waits at.
                false => Asked::Waits,
            };
            state.held.insert(self.scope.clone(), (key.id, asked));
            if is_held {
                return Ok(Acquired::Held);
            }
        }
        let queue = Self::new(
            self.attempt.clone(),
            exclusive_scope(&self.scope),
            self.branch,
            self.deadline_ms(),
            self.span.clone(),
        );
        let acquired = queue.queue_for(key).await?;
        // A refused place is given up like a held one.
        let mut state = self.attempt.state.lock();
        state.held.insert(self.scope.clone(), (key.id, Asked::Came(acquired)));
        Ok(acquired)
    }

    async fn queue_for(&self, key: &ExclusiveKey) -> Result<Acquired, Fault> {
        let (position, arguments) = match self.step(CommandKind::Wait, ACQUIRE, key.id.0.as_bytes())? {
            (Step::Recorded(answer), _) => return self.decode(&answer),
            (Step::Perform(position) | Step::InDoubt(position), arguments) => (position, arguments),
        };
        let is_new = {
            let mut state = self.attempt.state.lock();
            let begun = state.machine.begin_wait(&position, ACQUIRE, arguments);
            let is_new = begun.map_err(|fault| state.fail(fault))?;
            if is_new {
                state.unwritten.acquires.push(key.clone());
            }
            is_new
        };
        if is_new {
            self.attempt.flush(None).await?;
        }
        let acquired = self.await_end(Parked {
            position,
            target: ACQUIRE.to_owned(),
            arguments,
            watched: Watched::Key(key.id),
            until_ms: self.deadline_ms(),
        });
        self.decode(&acquired.await?)
    }

    /// What ran here has returned, and its completion is noted: a key that it held, or was refused, is free when this returns, unless it
    /// is held elsewhere in the call tree.
    pub async fn release(&self) -> Result<(), Fault> {
        let has_releases = !self.attempt.state.lock().unwritten.releases.is_empty();
        match has_releases {
            true => self.attempt.flush(None).await,
            false => Ok(()),
        }
    }

    /// Where this invocation stands, as the answer of the command when it is an end of waiting.
    pub(crate) async fn place(&self, key: KeyId) -> Result<Option<host_journal::Payload>, Fault> {
        let attempt = &self.attempt;
        let place = attempt.promises.place(key, attempt.invocation).await;
        Ok(match place.map_err(|fault| attempt.fail(fault))? {
            Place::Waits => None,
            Place::Holds => Some(encode(&Acquired::Held)),
            Place::Refused => Some(encode(&Acquired::Refused)),
        })
    }
}

impl State {
    /// What ran in this scope returns: its place goes with the next append, unless others of the call tree hold the key, or wait for it, or
    /// did so in an earlier attempt and are about to go on with it.
    pub(crate) fn give_up(&mut self, scope: &Scope) {
        let Some((key, _)) = self.held.remove(scope) else {
            return;
        };
        let recorded = self.machine.header().seed.hash(key.0.as_bytes());
        let is_wanted =
            self.held.values().any(|(held, _)| *held == key) || self.to_ask.iter().any(|(_, asked)| *asked == recorded);
        if !is_wanted {
            self.unwritten.releases.push(key);
        }
    }
}

impl Attempt {
    /// The invocation ends with the next append: what it holds, or waits for, is given up with it.
    pub(crate) fn release_all(&self) -> bool {
        let mut state = self.state.lock();
        let has_acquired = has_acquired(state.machine.entries());
        state.unwritten.releases_all = has_acquired;
        // Those who wait in memory are told by name.
        let held: Vec<_> = state.held.values().map(|(key, _)| *key).collect();
        state.unwritten.releases.extend(held);
        has_acquired
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use host_journal::{Body, Payload};

    use super::*;
    use crate::CallStep;
    use crate::test_support::{MemoryJournal, call_beside};

    fn key(value: &str) -> ExclusiveKey {
        ExclusiveKey::new("desk".into(), "a:b/c", "serve", value.as_bytes())
    }

    fn call(recorder: &Recorder) -> crate::Entered {
        match recorder.call("desk:a:b/c.serve", b"7").unwrap() {
            CallStep::Enter(entered) => entered,
            CallStep::Recorded(_) => panic!("it has not returned"),
        }
    }

    #[tokio::test]
    async fn a_key_is_taken_before_the_function_starts_and_free_with_its_completion() {
        let journal = Arc::new(MemoryJournal::default());
        let recorder = journal.attempt().recorder();
        let entered = call(&recorder);
        let callee = entered.callee();
        assert_eq!(callee.acquire(&key("7")).await, Ok(Acquired::Held));
        assert_eq!(journal.shape(), "SCC", "the start, the call, the place");
        assert_eq!(journal.queue(key("7").id), [recorder.invocation()]);

        // Within its tree it is there already.
        let again = call(&callee);
        assert_eq!(again.callee().acquire(&key("7")).await, Ok(Acquired::Held));
        let inner = again.callee();
        again.returned(Payload::new()).unwrap();
        inner.release().await.unwrap();
        assert_eq!(journal.queue(key("7").id), [recorder.invocation()]);

        entered.returned(Payload::new()).unwrap();
        callee.release().await.unwrap();
        assert!(journal.queue(key("7").id).is_empty());
        assert!(matches!(
            journal.history().last().map(|entry| &entry.body),
            Some(Body::Completion { .. })
        ));

        // Answered from the record: nothing is taken again.
        let again = journal.attempt().recorder();
        assert!(matches!(
            again.call("desk:a:b/c.serve", b"7"),
            Ok(CallStep::Recorded(_))
        ));
    }

    #[tokio::test]
    async fn who_stands_behind_others_is_suspended_and_goes_on_as_the_first() {
        let journal = Arc::new(MemoryJournal::default());
        let other = host_types::InvocationId::new(7, [7; 10]);
        journal.enqueue(key("7").id, other);
        let attempt = journal.attempt();
        let entered = call(&attempt.recorder());
        assert_eq!(entered.callee().acquire(&key("7")).await, Err(Fault::Suspended));
        assert_eq!(journal.suspension().map(|it| it.keys), Some(vec![key("7").id]));

        journal.dequeue(key("7").id, other);
        let entered = call(&journal.attempt().recorder());
        let callee = entered.callee();
        assert_eq!(callee.acquire(&key("7")).await, Ok(Acquired::Held));
        // Whatever dies from here on: the place is still its own.
        let entered = call(&journal.attempt().recorder());
        assert_eq!(entered.callee().acquire(&key("7")).await, Ok(Acquired::Held));
        assert_eq!(journal.queue(key("7").id).len(), 1);
    }

    #[tokio::test]
    async fn siblings_share_a_place_until_the_last_of_them_has_returned() {
        let journal = Arc::new(MemoryJournal::default());
        let root = journal.attempt().recorder();
        let (first, second) = (call(&root), call(&root));
        let (one, other) = (first.callee(), second.callee());
        assert_eq!(one.acquire(&key("7")).await, Ok(Acquired::Held));
        assert_eq!(other.acquire(&key("7")).await, Ok(Acquired::Held));
        first.returned(Payload::new()).unwrap();
        one.release().await.unwrap();
        assert_eq!(journal.queue(key("7").id), [root.invocation()]);
        second.returned(Payload::new()).unwrap();
        other.release().await.unwrap();
        assert!(journal.queue(key("7").id).is_empty());
    }

    #[tokio::test]
    async fn a_replay_keeps_the_place_for_the_sibling_that_has_not_come_to_it_yet() {
        let journal = Arc::new(MemoryJournal::default());
        let root = journal.attempt().recorder();
        for entered in [call(&root), call(&root)] {
            assert_eq!(entered.callee().acquire(&key("7")).await, Ok(Acquired::Held));
        }
        // The process ends while both are at work.
        let root = journal.attempt().recorder();
        let (first, second) = (call(&root), call(&root));
        let one = first.callee();
        assert_eq!(one.acquire(&key("7")).await, Ok(Acquired::Held));
        first.returned(Payload::new()).unwrap();
        one.release().await.unwrap();
        assert_eq!(
            journal.queue(key("7").id),
            [root.invocation()],
            "the other one has done a part of its work under the key"
        );
        let other = second.callee();
        assert_eq!(other.acquire(&key("7")).await, Ok(Acquired::Held));
        second.returned(Payload::new()).unwrap();
        other.release().await.unwrap();
        assert!(journal.queue(key("7").id).is_empty());
    }

    #[tokio::test]
    async fn a_sibling_that_waits_for_a_key_is_suspended_with_the_others() {
        let journal = Arc::new(MemoryJournal::default());
        journal.enqueue(key("7").id, host_types::InvocationId::new(7, [7; 10]));
        let root = journal.attempt().recorder();
        let promise = root.create_promise().unwrap();
        let _waits = call_beside(&root, move |it| async move { it.wait_for(promise, Some(9)).await });
        let queues = call_beside(&root, |it| async move { it.acquire(&key("7")).await });
        tokio::select! {
            _ = queues.outcome(&root) => {}
            () = root.attempt().branch_failed() => {}
        }
        assert_eq!(root.attempt().fault(), Some(Fault::Suspended));
        let awaited = journal.suspension().map(|it| (it.promises, it.keys, it.due_ms));
        assert_eq!(awaited, Some((vec![promise], vec![key("7").id], Some(1_009))));
    }

    #[tokio::test]
    async fn what_ends_leaves_no_place() {
        let journal = Arc::new(MemoryJournal::default());
        let attempt = journal.attempt();
        assert_eq!(attempt.recorder().acquire(&key("7")).await, Ok(Acquired::Held));
        attempt.finish(Payload::new(), true).await.unwrap();
        assert!(journal.queue(key("7").id).is_empty());
    }
}
