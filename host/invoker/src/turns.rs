//! Whose turn it is: how many attempts this node makes at once, of each component and of all, and how many requests may wait for theirs.
//!
//! A turn is the right to hold an instance or more: turns are what bounds the memory of a node. A request waits for its turn in a
//! queue that has an end, and not for long. What is durable waits as an id in the backlog, for as long as it takes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use host_types::{ComponentId, Fault};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all components together may have on a node. What each may have is its manifest's to say.
#[derive(Debug, Clone, Copy)]
pub struct TurnLimits {
    /// Attempts at once.
    pub attempts: usize,
    /// Requests that wait for their turn; more are refused at once.
    pub waiting: usize,
}

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Turns {
    all: Arc<Semaphore>,
    waiting: Semaphore,
    shares: Mutex<HashMap<ComponentId, Arc<Share>>>,
}

/// What one component may take.
pub(crate) struct Share {
    turns: Arc<Semaphore>,
    waiting: Semaphore,
}

/// The right to make attempts, given back when dropped.
pub(crate) struct Turn {
    _share: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Share {
    pub(crate) fn new(attempts: usize, waiting: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(attempts)),
            waiting: Semaphore::new(waiting),
        }
    }
}

impl Turns {
    pub(crate) fn new(limits: TurnLimits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.attempts)),
            waiting: Semaphore::new(limits.waiting),
            shares: Mutex::default(),
        }
    }

    /// How many there are now for whoever comes.
    pub(crate) fn free(&self) -> usize {
        self.all.available_permits()
    }

    /// The component's share, made at its first use.
    pub(crate) fn share(&self, component: &ComponentId, make: impl FnOnce() -> Share) -> Arc<Share> {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get(component) {
            return Arc::clone(share);
        }
        let share = Arc::new(make());
        shares.insert(component.clone(), Arc::clone(&share));
        share
    }

    /// A turn for a request: at once, or after a short wait for which there must be room.
    pub(crate) async fn ask(&self, share: &Share) -> Result<Turn, Fault> {
        if let Some(turn) = self.try_take(share) {
            return Ok(turn);
        }
        let overloaded = || Fault::Overloaded("too many requests are under way".into());
        let _of_component = share.waiting.try_acquire().map_err(|_| overloaded())?;
        let _of_all = self.waiting.try_acquire().map_err(|_| overloaded())?;
        let turn = tokio::time::timeout(PATIENCE, self.wait(share)).await;
        turn.map_err(|_| overloaded())
    }

    /// A turn if there is one now. Nobody who waits is overtaken.
    pub(crate) fn try_take(&self, share: &Share) -> Option<Turn> {
        let of_component = Arc::clone(&share.turns).try_acquire_owned().ok()?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Turn {
            _share: of_component,
            _all: of_all,
        })
    }

    /// A turn, whenever there is one.
    pub(crate) async fn wait(&self, share: &Share) -> Turn {
        const OPEN: &str = "turns are never closed";
        // The component's first: who waits for its own component takes nothing from others.
        let of_component = Arc::clone(&share.turns).acquire_owned().await.expect(OPEN);
        let of_all = Arc::clone(&self.all).acquire_owned().await.expect(OPEN);
        Turn {
            _share: of_component,
            _all: of_all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TurnLimits = TurnLimits {
        attempts: 3,
        waiting: 2,
    };

    fn is_overloaded(turn: &Result<Turn, Fault>) -> bool {
        matches!(turn, Err(Fault::Overloaded(_)))
    }

    #[tokio::test]
    async fn who_cannot_wait_is_refused_at_once_and_who_waited_too_long_later() {
        let turns = Turns::new(LIMITS);
        let share = Share::new(1, 1);
        let held = turns.ask(&share).await.unwrap();
        let began = tokio::time::Instant::now();
        let (first, second) = tokio::join!(turns.ask(&share), turns.ask(&share));
        assert!(is_overloaded(&first) && is_overloaded(&second));
        assert!(began.elapsed() >= PATIENCE, "one waited, the other had no room to");

        let (waiting, ()) = tokio::join!(turns.ask(&share), async { drop(held) });
        assert!(waiting.is_ok(), "a turn given back is the next one's");
    }

    #[tokio::test]
    async fn a_component_leaves_the_others_their_turns_and_their_room_to_wait() {
        let turns = Turns::new(LIMITS);
        let (flooded, other) = (Share::new(2, 1), Share::new(2, 1));
        let _held = [turns.ask(&flooded).await.unwrap(), turns.ask(&flooded).await.unwrap()];
        assert!(turns.try_take(&flooded).is_none());
        let last = turns.ask(&other).await.unwrap();
        assert!(turns.try_take(&other).is_none(), "all turns together have an end too");
        let waiting = async { tokio::join!(turns.ask(&flooded), turns.ask(&flooded), turns.ask(&other)) };
        let ((one, two, of_other), ()) = tokio::join!(waiting, async { drop(last) });
        assert!(is_overloaded(&one) && is_overloaded(&two));
        assert!(of_other.is_ok());
    }
}
