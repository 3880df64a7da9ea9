//! Whether a request may begin another invocation of its component: how many are open, of all nodes together, as far as this node knows.
//!
//! Nobody waits for a count, and none is taken unless somebody asks. A request that finds the last one old has the next one begun beside it,
//! one at a time on a node; what was let in since is added meanwhile.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use host_types::ComponentId;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::invoker::Inner;

/// For how long a count is good, also one that came to nothing.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// The same of one by which there is no room: what ends makes some.
const FULL_FOR: Duration = Duration::from_millis(100);
/// So many times as long as it took a count is good at least: a hundredth of a core is what counting costs.
const REST: u32 = 100;
/// But no longer than this: by what was counted long ago too many are let in, or refused.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// So long after it was good a count refuses nobody who has the next one begun.
const QUIET: Duration = GOOD_FOR;
/// A count that takes longer comes to nothing.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(crate) struct Admission {
    tallies: Mutex<HashMap<ComponentId, Arc<Mutex<Tally>>>>,
    /// Held by the count under way.
    counting: Arc<tokio::sync::Mutex<()>>,
}

/// What this node knows of how many are open of one component.
#[derive(Default)]
struct Tally {
    /// The last count; it stops at the limit.
    counted: u64,
    /// Let in here before the count under way was begun, and not known to have ended: that count will have them.
    before: u64,
    /// The same since a count was last begun: whatever they begin may be missing in it.
    since: u64,
    /// How many counts were begun.
    begun: u64,
    last: Option<Taken>,
}

/// A count that is over.
#[derive(Clone, Copy)]
struct Taken {
    at: Instant,
    /// `None`: it came to nothing. What was waited for then, a connection perhaps, says nothing about what counting costs.
    took: Option<Duration>,
}

/// A request that was let in. Dropped, it has left nothing open.
pub(crate) struct Admitted {
    tally: Arc<Mutex<Tally>>,
    /// The last count that was begun before it.
    after: u64,
    is_left_open: bool,
}

/// A count to be taken.
struct Count {
    tally: Arc<Mutex<Tally>>,
    _turn: OwnedMutexGuard<()>,
}

impl Tally {
    /// How many are open at most, as far as is known here. What ran when the last count was begun may be in it twice, until the next one.
    fn open(&self) -> u64 {
        self.counted + self.before + self.since
    }

    /// From when on the last count is old. `None`: there is none.
    fn good_until(&self, limit: u64) -> Option<Instant> {
        let Taken { at, took } = self.last?;
        let good_for = match took {
            None => GOOD_FOR,
            Some(_) if self.open() < limit => GOOD_FOR,
            Some(_) => FULL_FOR,
        };
        let rest = took.map_or(Duration::ZERO, |took| (took * REST).min(LONGEST_REST));
        Some(at + good_for.max(rest))
    }

    fn begin_count(&mut self) {
        self.before += self.since;
        self.since = 0;
        self.begun += 1;
    }

    /// Returns what was counted before; `None`: the count came to nothing, and what was known is all there is.
    fn end_count(&mut self, counted: Option<u64>, taken: Taken) -> Option<u64> {
        self.last = Some(taken);
        let counted = counted?;
        self.before = 0;
        Some(std::mem::replace(&mut self.counted, counted))
    }

    /// Lets one in, if there is room, or if what is known is stale. Returns the last count that was begun before it.
    fn let_in(&mut self, limit: u64, is_stale: bool) -> Option<u64> {
        let may_have_room = is_stale || self.open() < limit;
        may_have_room.then(|| {
            self.since += 1;
            self.begun
        })
    }

    /// One that was let in then has left nothing open. What a count has had meanwhile is that count's.
    fn let_go(&mut self, after: u64) {
        match after == self.begun {
            true => self.since -= 1,
            false => self.before = self.before.saturating_sub(1),
        }
    }
}

impl Admission {
    fn tally(&self, component: &ComponentId) -> Arc<Mutex<Tally>> {
        let mut tallies = self.tallies.lock();
        if let Some(tally) = tallies.get(component) {
            return Arc::clone(tally);
        }
        let tally = Arc::<Mutex<Tally>>::default();
        tallies.insert(component.clone(), Arc::clone(&tally));
        tally
    }

    /// Lets a request in, if there is room, and says what is to be counted now.
    fn ask(&self, component: &ComponentId, limit: u64, now: Instant) -> (Option<Admitted>, Option<Count>) {
        let tally = self.tally(component);
        let mut known = tally.lock();
        // First: what this request begins may be missing in the count.
        let good_until = known.good_until(limit);
        let turn = good_until
            .is_none_or(|until| now >= until)
            .then(|| Arc::clone(&self.counting).try_lock_owned().ok());
        let count = turn.flatten().map(|turn| {
            known.begin_count();
            Count {
                tally: Arc::clone(&tally),
                _turn: turn,
            }
        });
        // An old count is taken anew as soon as somebody asks: nobody has, for long, and what was full then may have room. One for each count.
        let is_stale = count.is_some() && good_until.is_some_and(|until| now >= until + QUIET);
        let admitted = known.let_in(limit, is_stale).map(|after| Admitted {
            tally: Arc::clone(&tally),
            after,
            is_left_open: false,
        });
        (admitted, count)
    }
}

impl Admitted {
    /// The invocation goes on without its request.
    pub(crate) fn leave_open(mut self) {
        self.is_left_open = true;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if !self.is_left_open {
            self.tally.lock().let_go(self.after);
        }
    }
}

impl Inner {
    /// Lets a request in that may begin another invocation of the component. `None`: as many are open as may be.
    pub(crate) fn admit(self: &Arc<Self>, component: &ComponentId, limit: u64) -> Option<Admitted> {
        let (admitted, count) = self.admission.ask(component, limit, Instant::now());
        if let Some(count) = count {
            self.spawn(take(Arc::clone(self), component.clone(), limit, count));
        }
        admitted
    }
}

/// How many are counted, if that does not take too long, and how long it took. `None`: it came to nothing.
async fn in_time<E: Display>(
    patience: Duration,
    component: &ComponentId,
    counting: impl Future<Output = Result<u64, E>>,
) -> (Option<u64>, Taken) {
    let began = Instant::now();
    let counted = match tokio::time::timeout(patience, counting).await {
        Ok(Ok(counted)) => Some(counted),
        Ok(Err(error)) => {
            tracing::warn!(component.id = %component, %error, "how many invocations are open cannot be counted");
            None
        }
        Err(_) => {
            tracing::warn!(component.id = %component, "how many invocations are open cannot be counted: it takes too long");
            None
        }
    };
    let at = Instant::now();
    let took = counted.map(|_| at.duration_since(began));
    (counted, Taken { at, took })
}

async fn take(inner: Arc<Inner>, component: ComponentId, limit: u64, count: Count) {
    let counting = inner.store.open_count(&component, limit);
    let (counted, taken) = in_time(PATIENCE, &component, counting).await;
    let before = count.tally.lock().end_count(counted, taken);
    let (Some(counted), Some(before)) = (counted, before) else {
        return;
    };
    match (before >= limit, counted >= limit) {
        (false, true) => tracing::warn!(
            component.id = %component, limit,
            "as many invocations are open as may be (`open_limit`): requests that may begin another one are refused",
        ),
        (true, false) => tracing::info!(
            component.id = %component, open = counted, limit,
            "requests that may begin another invocation are let in again",
        ),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 4;
    const TOOK: Duration = Duration::from_millis(1);

    struct Asked {
        admission: Admission,
        component: ComponentId,
        now: Instant,
    }

    impl Asked {
        /// There is a count, which took a moment and found so many.
        fn after_count(counted: u64) -> Self {
            let mut asked = Self {
                admission: Admission::default(),
                component: "one".into(),
                now: Instant::now(),
            };
            let (_, count) = asked.ask();
            asked.end(count.expect("the first request has them counted"), Some(counted), TOOK);
            asked
        }

        fn ask(&self) -> (Option<Admitted>, Option<Count>) {
            self.admission.ask(&self.component, LIMIT, self.now)
        }

        fn let_in(&self) -> Option<Admitted> {
            self.ask().0
        }

        fn end(&mut self, count: Count, counted: Option<u64>, took: Duration) {
            self.now += took;
            let taken = Taken {
                at: self.now,
                took: counted.map(|_| took),
            };
            count.tally.lock().end_count(counted, taken);
        }
    }

    #[test]
    fn what_is_counted_and_what_was_let_in_since_are_as_many_as_may_be() {
        let asked = Asked::after_count(2);
        let (first, second) = (asked.let_in(), asked.let_in());
        assert!(first.is_some() && second.is_some());
        assert!(asked.let_in().is_none(), "two and two");
        drop(second);
        let third = asked.let_in();
        assert!(third.is_some(), "what has ended leaves its place");
        third.into_iter().for_each(Admitted::leave_open);
        assert!(asked.let_in().is_none(), "what goes on keeps it");
    }

    #[test]
    fn nothing_is_counted_while_the_last_count_is_good() {
        let mut asked = Asked::after_count(0);
        asked.now += GOOD_FOR - Duration::from_millis(1);
        assert!(asked.ask().1.is_none());
        asked.now += Duration::from_millis(1);
        let (admitted, count) = asked.ask();
        assert!(admitted.is_some() && count.is_some());
        assert!(asked.ask().1.is_none(), "one at a time");
        let other = asked.admission.ask(&"other".into(), LIMIT, asked.now);
        assert!(other.0.is_some() && other.1.is_none(), "of all components");
    }

    #[test]
    fn without_room_it_is_counted_soon_and_room_is_found() {
        let mut asked = Asked::after_count(LIMIT);
        assert!(asked.let_in().is_none());
        asked.now += FULL_FOR - Duration::from_millis(1);
        assert!(asked.ask().1.is_none());
        asked.now += Duration::from_millis(1);
        let (admitted, count) = asked.ask();
        assert!(admitted.is_none(), "nobody waits for the count");
        asked.end(count.expect("a count"), Some(LIMIT - 1), TOOK);
        let last = asked.let_in();
        assert!(last.is_some() && asked.let_in().is_none());
    }

    #[test]
    fn a_count_is_good_for_a_hundred_times_what_it_took_and_for_a_minute_at_most() {
        for (took_ms, good_for_s) in [(100, 10), (599, 59), (600, 60), (9_000, 60)] {
            let mut asked = Asked::after_count(0);
            asked.now += GOOD_FOR;
            let (_, count) = asked.ask();
            asked.end(count.expect("a count"), Some(LIMIT), Duration::from_millis(took_ms));
            asked.now += Duration::from_secs(good_for_s) - Duration::from_millis(1);
            assert!(asked.ask().1.is_none(), "{took_ms}");
            asked.now += Duration::from_secs(1);
            assert!(asked.ask().1.is_some(), "{took_ms}");
        }
    }

    #[tokio::test]
    async fn a_count_comes_to_nothing_when_it_fails_or_takes_too_long() {
        let component = ComponentId::from("one");
        let (counted, taken) = in_time(PATIENCE, &component, async { Ok::<_, &str>(3) }).await;
        assert!(counted == Some(3) && taken.took.is_some());
        let (counted, taken) = in_time(PATIENCE, &component, async { Err("no connection") }).await;
        assert!(counted.is_none() && taken.took.is_none());
        let forever = std::future::pending::<Result<u64, &str>>();
        let (counted, taken) = in_time(Duration::from_millis(1), &component, forever).await;
        assert!(counted.is_none() && taken.took.is_none());
    }

    #[test]
    fn who_asks_first_after_a_quiet_time_is_let_in_while_it_is_counted() {
        let mut asked = Asked::after_count(LIMIT);
        asked.now += FULL_FOR + QUIET;
        let (first, count) = asked.ask();
        assert!(first.is_some() && asked.let_in().is_none(), "one for each count");
        asked.end(count.expect("a count"), Some(LIMIT - 1), TOOK);
        assert!(asked.let_in().is_none(), "the first may be missing in it");
        drop(first);
        assert!(asked.let_in().is_some());
    }

    #[test]
    fn while_another_component_is_counted_nobody_is_let_in_by_a_quiet_time() {
        let mut asked = Asked::after_count(LIMIT);
        asked.now += FULL_FOR + QUIET;
        let (_, others) = asked.admission.ask(&"other".into(), LIMIT, asked.now);
        assert!(others.is_some() && asked.let_in().is_none());
        drop(others);
        assert!(asked.let_in().is_some());
    }

    #[test]
    fn without_room_requests_that_keep_coming_are_refused_however_slow_a_count_is() {
        for took in [TOOK, Duration::from_secs(1), PATIENCE] {
            let mut asked = Asked::after_count(LIMIT);
            let mut counts = 0;
            for _ in 0..100 {
                asked.now += QUIET;
                let (admitted, count) = asked.ask();
                assert!(admitted.is_none(), "{took:?}");
                if let Some(count) = count {
                    asked.end(count, Some(LIMIT), took);
                    counts += 1;
                }
            }
            assert!(counts > 1, "{took:?}");
        }
    }

    #[test]
    fn what_is_let_in_while_it_is_counted_is_added_and_what_was_there_before_is_not() {
        let mut asked = Asked::after_count(1);
        let early = asked.let_in();
        asked.now += GOOD_FOR;
        let (late, count) = asked.ask();
        assert!(early.is_some() && late.is_some());
        let fourth = asked.let_in();
        assert!(
            fourth.is_some() && asked.let_in().is_none(),
            "until it is known, all count"
        );
        asked.end(count.expect("a count"), Some(2), TOOK);
        assert!(asked.let_in().is_none(), "two, and the two that came since it began");
        drop(early);
        assert!(asked.let_in().is_none(), "the count has had it");
        drop(late);
        assert!(asked.let_in().is_some());
    }

    #[test]
    fn a_count_that_comes_to_nothing_changes_nothing_and_is_taken_again_later() {
        let mut asked = Asked::after_count(2);
        let first = asked.let_in();
        asked.now += GOOD_FOR;
        let (second, count) = asked.ask();
        asked.end(count.expect("a count"), None, PATIENCE);
        assert!(first.is_some() && second.is_some() && asked.let_in().is_none());
        drop(first);
        let third = asked.let_in();
        assert!(third.is_some() && asked.let_in().is_none());
        // Its wait was none of counting: there is no rest from it.
        asked.now += GOOD_FOR - Duration::from_millis(1);
        assert!(asked.ask().1.is_none());
        asked.now += Duration::from_millis(1);
        assert!(asked.ask().1.is_some());
    }
}
