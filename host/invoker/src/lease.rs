//! The node's heartbeat, and taking over what a dead node left open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use host_store::{Error, GoneBecause, Heartbeat};
use host_types::{Clock, NodeId};

use crate::backlog::enqueue;
use crate::invoker::Invoker;

/// What the last heartbeat allows this node: until when it owns its invocations for certain, and whether it may take more. Whatever is not
/// undone by a fence asks before it begins.
pub struct LeaseTerm {
    clock: Arc<dyn Clock>,
    /// By [`Clock::boot_ns`], so that a process that was frozen finds it over.
    until_ns: AtomicU64,
    may_work: AtomicBool,
}

impl LeaseTerm {
    /// As the heartbeat says with which the node registered.
    pub fn new(clock: Arc<dyn Clock>, first: Heartbeat) -> Self {
        let term = Self {
            clock,
            until_ns: AtomicU64::new(0),
            // Else nothing would be said of a first one that does not allow it.
            may_work: AtomicBool::new(true),
        };
        term.renew(first);
        term
    }

    /// How much of the lease is left.
    pub fn left(&self) -> Duration {
        let until_ns = self.until_ns.load(Ordering::Acquire);
        Duration::from_nanos(until_ns.saturating_sub(self.clock.boot_ns()))
    }

    /// The clocks are close enough to take work.
    pub(crate) fn may_work(&self) -> bool {
        self.may_work.load(Ordering::Relaxed)
    }

    pub(crate) fn renew(&self, heartbeat: Heartbeat) {
        self.until_ns.store(heartbeat.lease_until_ns, Ordering::Release);
        if self.may_work.swap(heartbeat.may_work, Ordering::Relaxed) && !heartbeat.may_work {
            tracing::error!(
                clock_offset_ms = heartbeat.clock_offset_ms,
                "this machine's clock is off: no new work until it agrees with the database's",
            );
        }
    }

    fn end(&self) {
        self.until_ns.store(0, Ordering::Release);
    }
}

/// Keeps this node alive in the eyes of the others, and looks after those that are not.
pub struct Lease {
    invoker: Invoker,
    lease: Duration,
}

/// Heartbeats in one lease.
const BEATS: u32 = 5;
/// The longest time between two: a dead node is noticed no later because this one's lease is long.
const LONGEST_BEAT: Duration = Duration::from_secs(1);
/// Invocations fenced at once.
const BATCH: u32 = 500;

impl Lease {
    /// `lease` is how long a node counts as alive after its last heartbeat.
    pub fn new(invoker: Invoker, lease: Duration) -> Self {
        Self { invoker, lease }
    }

    /// Takes over from a node whose process is known to be dead: an earlier one on the same data directory.
    pub async fn succeed(&self, predecessor: NodeId) {
        self.take_over(predecessor, GoneBecause::ProcessEnded).await;
    }

    /// Runs until others have declared this node gone: then everything it began is theirs, and the process must end.
    pub async fn keep(self) {
        // Apart, since a takeover may take longer than a lease holds.
        tokio::select! {
            biased;
            () = self.beat() => {}
            () = self.look_after_others() => {}
        }
    }

    async fn beat(&self) {
        let inner = &self.invoker.inner;
        let mut beat = self.interval();
        loop {
            beat.tick().await;
            match inner.store.heartbeat().await {
                Ok(heartbeat) => inner.hold_lease(heartbeat),
                Err(Error::NodeGone) => {
                    inner.lease_term.end();
                    return;
                }
                Err(error) => tracing::error!(%error, "the heartbeat failed"),
            }
        }
    }

    /// Does not end by itself.
    async fn look_after_others(&self) {
        let mut look = self.interval();
        loop {
            look.tick().await;
            match self.invoker.inner.store.dead_nodes().await {
                Ok(nodes) => {
                    for node in nodes {
                        self.take_over(node, GoneBecause::LeaseExpired).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "dead nodes cannot be listed"),
            }
        }
    }

    /// Often enough that most of the lease is always left for an effect to begin in.
    fn interval(&self) -> tokio::time::Interval {
        let mut interval = tokio::time::interval((self.lease / BEATS).min(LONGEST_BEAT));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        interval
    }

    /// Nothing under a gone node's token is accepted any more; its backends end before its invocations are fenced. A node that takes no work
    /// leaves it at that: what is still the gone one's is found by everybody's next look.
    async fn take_over(&self, node: NodeId, because: GoneBecause) {
        let inner = &self.invoker.inner;
        match inner.store.mark_gone(node, because).await {
            Ok(true) => {}
            // It has just given a sign of life.
            Ok(false) => return,
            Err(error) => {
                tracing::error!(node.id = %node, %error, "a dead node cannot be marked; trying again");
                return;
            }
        }
        let mut taken = 0;
        loop {
            if inner.is_draining() {
                return self.end_backends(node).await;
            }
            let fenced = match inner.store.take_over(node, BATCH).await {
                Ok(fenced) => fenced,
                Err(error) => {
                    tracing::error!(node.id = %node, %error, "what a dead node left open cannot be fenced; trying again");
                    return;
                }
            };
            if fenced.is_empty() {
                break;
            }
            inner.metrics.took_over(fenced.len());
            taken += fenced.len();
            // The word to stop came while they were fenced, and what it gave away were not yet these.
            if inner.is_draining() {
                inner.give_away().await;
                continue;
            }
            // All are fenced before long, however many there are; each runs when its turn has come.
            for (invocation, component) in fenced {
                enqueue(inner, &component, invocation);
            }
        }
        tracing::info!(node.id = %node, taken, "took over from a dead node");
    }

    /// What a dead node had begun holds locks that others wait for, whoever takes its invocations.
    async fn end_backends(&self, node: NodeId) {
        match self.invoker.inner.store.end_backends(node).await {
            Ok(()) => tracing::debug!(node.id = %node, "what a dead node left open is left to others"),
            Err(error) => {
                tracing::warn!(node.id = %node, %error, "a dead node's connections are not ended; trying again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn unix_ms(&self) -> u64 {
            0
        }

        fn boot_ns(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn until(lease_until_ns: u64) -> Heartbeat {
        Heartbeat {
            clock_offset_ms: 0,
            may_work: true,
            lease_until_ns,
        }
    }

    #[test]
    fn a_node_that_registers_with_a_clock_that_is_off_takes_no_work_before_a_heartbeat_finds_it_right() {
        let first = Heartbeat {
            clock_offset_ms: 600_000,
            may_work: false,
            lease_until_ns: 40,
        };
        let term = LeaseTerm::new(Arc::new(Hand(AtomicU64::new(10))), first);
        assert!(!term.may_work());
        term.renew(until(50));
        assert!(term.may_work());
        term.renew(first);
        assert!(!term.may_work());
    }

    #[test]
    fn what_is_left_of_a_lease_shrinks_until_the_next_heartbeat_and_is_never_negative() {
        let clock = Arc::new(Hand(AtomicU64::new(10)));
        let term = LeaseTerm::new(clock.clone(), until(40));
        assert_eq!(term.left(), Duration::from_nanos(30));
        clock.0.store(50, Ordering::Relaxed);
        assert_eq!(term.left(), Duration::ZERO);
        term.renew(until(90));
        assert_eq!(term.left(), Duration::from_nanos(40));
        term.end();
        assert_eq!(term.left(), Duration::ZERO, "a node that is gone owns nothing");
    }
}
