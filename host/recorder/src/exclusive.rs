//! Running one at a time for each key: the place in the queue, and giving it up.

use host_journal::{
    ACQUIRE, Acquired, CommandKind, ExclusiveKey, KeyId, Step, Suspension, exclusive_scope, has_acquired,
    recorded_place,
};
use host_types::Fault;

use crate::waiting::{Watched, encode};
use crate::{Attempt, Recorder};

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
            if state.held.values().any(|held| *held == (key.id, Acquired::Held)) {
                state.held.insert(self.scope.clone(), (key.id, Acquired::Held));
                return Ok(Acquired::Held);
            }
        }
        let queue = Self::new(self.attempt.clone(), exclusive_scope(&self.scope), self.deadline_ms());
        let acquired = queue.queue_for(key).await?;
        // A refused place is given up like a held one.
        self.attempt
            .state
            .lock()
            .held
            .insert(self.scope.clone(), (key.id, acquired));
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
        let until_ms = self.deadline_ms();
        match self.watch(Watched::Key(key.id), until_ms).await? {
            Some(acquired) => {
                self.complete(&position, CommandKind::Wait, ACQUIRE, arguments, acquired.clone())?;
                self.decode(&acquired)
            }
            None => {
                let suspension = Suspension {
                    keys: vec![key.id],
                    due_ms: until_ms,
                    ..Suspension::default()
                };
                Err(self.suspend(&position, ACQUIRE, arguments, suspension).await)
            }
        }
    }

    /// What ran here has returned, and its completion is noted: a key that it held, or was refused, is free when this returns, unless it
    /// is held elsewhere in the call tree.
    pub async fn release(&self) -> Result<(), Fault> {
        {
            let mut state = self.attempt.state.lock();
            let Some((key, _)) = state.held.remove(&self.scope) else {
                return Ok(());
            };
            if state.held.values().any(|(held, _)| *held == key) {
                return Ok(());
            }
            state.unwritten.releases.push(key);
        }
        self.attempt.flush(None).await
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
    use crate::test_support::MemoryJournal;

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
    async fn what_ends_leaves_no_place() {
        let journal = Arc::new(MemoryJournal::default());
        let attempt = journal.attempt();
        assert_eq!(attempt.recorder().acquire(&key("7")).await, Ok(Acquired::Held));
        attempt.finish(Payload::new(), true).await.unwrap();
        assert!(journal.queue(key("7").id).is_empty());
    }
}
