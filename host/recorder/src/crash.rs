//! Where a test may end the process: right before and right after everything that becomes durable.
//!
//! With the feature `crash-points` a process is told on its command line; with `test-support` a host in a test's process asks what the test
//! put in its way ([`crate::interpose`]). Without either nothing of this is compiled in.

/// A moment at which the process may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// An append of its own is about to be handed to the store.
    BeforeAppend,
    /// It is durable.
    AfterAppend,
    /// COMMIT of a module's transaction is about to be sent.
    BeforeCommit,
    /// The server acknowledged it.
    AfterCommit,
    /// A statement of an open transaction was answered.
    BetweenStatements,
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::{At, Point, What};

    /// Longer than it takes until every thread has stopped; over by the time the process goes on.
    const STOPPING: Duration = Duration::from_millis(100);

    static ARMED: Mutex<Option<(What, At)>> = Mutex::new(None);

    /// Does it when that point is reached.
    pub fn arm(what: What, at: At) {
        *ARMED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some((what, at));
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "no event tells a process that it is about to be stopped"
    )]
    pub(super) fn reached(point: Point) {
        let mut armed = ARMED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some((what, at)) = *armed else { return };
        if at.kind.is_some_and(|kind| kind != point) {
            return;
        }
        if at.number > 1 {
            let number = at.number - 1;
            *armed = Some((what, At { number, ..at }));
            return;
        }
        *armed = None;
        drop(armed);
        tracing::error!(?point, ?what, "an armed point is reached");
        let pid = rustix::process::getpid();
        let signal = match what {
            What::Die => rustix::process::Signal::KILL,
            What::Freeze => rustix::process::Signal::STOP,
        };
        // A process may always signal itself.
        let _ = rustix::process::kill_process(pid, signal);
        // It is the process that stops, and any thread may be the one that learns of it: this one must not run on until then.
        std::thread::sleep(STOPPING);
    }
}

#[cfg(feature = "crash-points")]
impl Point {
    fn named(name: &str) -> Option<Self> {
        let points = [
            Self::BeforeAppend,
            Self::AfterAppend,
            Self::BeforeCommit,
            Self::AfterCommit,
            Self::BetweenStatements,
        ];
        points.into_iter().find(|point| format!("{point:?}") == name)
    }
}

/// Which point is armed.
#[cfg(feature = "crash-points")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Only those of this kind are counted; all are without one.
    kind: Option<Point>,
    /// From 1.
    number: u32,
}

#[cfg(feature = "crash-points")]
impl At {
    /// Reads `7`, the seventh point of all, or `BeforeCommit 2`, the second one of that kind.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, number) = match text.split_once(' ') {
            Some((name, number)) => (Some(Point::named(name)?), number),
            None => (None, text),
        };
        let number = number.parse().ok()?;
        Some(Self { kind, number })
    }
}

/// What happens at an armed point.
#[cfg(feature = "crash-points")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// SIGKILL.
    Die,
    /// SIGSTOP: another process decides when it goes on.
    Freeze,
}

#[cfg(feature = "crash-points")]
pub use armed::arm;

/// Marks the point.
#[inline]
pub fn reached(point: Point) {
    #[cfg(feature = "crash-points")]
    armed::reached(point);
    #[cfg(any(test, feature = "test-support"))]
    crate::interpose::reached(point);
    let _ = point;
}
