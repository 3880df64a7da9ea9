//! What follows a failed attempt: another one, later, or a person.

use std::fmt;

use crate::Cause;

/// How often, and how far apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in a row that may fail before a person is asked.
    pub attempts: u32,
    /// Wait before the second attempt, milliseconds.
    pub initial_ms: u64,
    /// By which each further wait grows.
    pub factor: f64,
    /// Longest wait, milliseconds.
    pub max_ms: u64,
    /// No attempt begins later than this after the invocation began, milliseconds.
    pub deadline_ms: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 8,
            initial_ms: 100,
            factor: 2.0,
            max_ms: 30_000,
            deadline_ms: None,
        }
    }
}

/// A guest that traps this often at one position would trap for ever.
const TRAPS_AT_ONE_POSITION: usize = 3;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this many milliseconds.
    Retry {
        /// The wait, jitter included.
        delay_ms: u64,
    },
    /// Pause, with the last cause.
    Pause {
        /// Why nothing is tried any more.
        because: Exhausted,
    },
}

/// Why nothing is tried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// As many attempts in a row have failed as may.
    Attempts(u32),
    /// The guest trapped too often at one place.
    Traps(usize),
    /// The next attempt would begin later than this after the invocation, milliseconds.
    Deadline(u64),
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempts(1) => f.write_str("one attempt is all its retry policy allows"),
            Self::Attempts(attempts) => write!(f, "{attempts} attempts in a row have failed"),
            Self::Traps(traps) => write!(f, "it trapped at one place {traps} times in a row"),
            Self::Deadline(deadline_ms) => {
                write!(f, "another attempt would begin past its deadline of {deadline_ms} ms")
            }
        }
    }
}

/// Decides from the failures in a row, oldest first. `age_ms` is how long ago the invocation began; `jitter` is any random number.
pub fn decide(policy: RetryPolicy, failures: &[Cause], age_ms: u64, jitter: u64) -> Decision {
    let Some(last) = failures.last() else {
        return Decision::Retry { delay_ms: 0 };
    };
    let traps_here = failures
        .iter()
        .rev()
        .take_while(|cause| cause.trap && cause.position == last.position)
        .count();
    let pause = |because| Decision::Pause { because };
    if failures.len() as u64 >= u64::from(policy.attempts) {
        return pause(Exhausted::Attempts(policy.attempts));
    }
    if traps_here >= TRAPS_AT_ONE_POSITION {
        return pause(Exhausted::Traps(traps_here));
    }
    let exponent = i32::try_from(failures.len() - 1).unwrap_or(i32::MAX);
    let wait = policy.initial_ms as f64 * policy.factor.max(1.0).powi(exponent);
    let wait = wait.min(policy.max_ms as f64) as u64;
    // Half of the wait is fixed, half random: attempts that failed together do not come back together.
    let delay_ms = wait / 2 + jitter % (wait / 2 + 1);
    match policy.deadline_ms {
        Some(deadline_ms) if age_ms.saturating_add(delay_ms) > deadline_ms => pause(Exhausted::Deadline(deadline_ms)),
        _ => Decision::Retry { delay_ms },
    }
}

#[cfg(test)]
mod tests {
    use host_types::{Position, Scope};

    use super::*;

    fn pause(because: Exhausted) -> Decision {
        Decision::Pause { because }
    }

    fn cause(trap: bool, number: u32) -> Cause {
        Cause {
            position: Some(Position {
                scope: Scope::root(),
                number,
            }),
            text: "boom".into(),
            trap,
        }
    }

    #[test]
    fn waits_grow_and_stay_within_bounds() {
        let policy = RetryPolicy {
            attempts: 20,
            initial_ms: 100,
            factor: 2.0,
            max_ms: 1_000,
            deadline_ms: None,
        };
        for failures in 1..19 {
            let causes = vec![cause(false, 1); failures];
            let full = (100.0 * 2f64.powi(failures as i32 - 1)).min(1_000.0) as u64;
            for jitter in [0, 1, 12_345, u64::MAX] {
                let Decision::Retry { delay_ms } = decide(policy, &causes, 0, jitter) else {
                    panic!("paused too early")
                };
                assert!((full / 2..=full).contains(&delay_ms), "{delay_ms} of {full}");
            }
        }
    }

    #[test]
    fn a_third_trap_at_one_position_pauses() {
        let policy = RetryPolicy::default();
        assert!(matches!(
            decide(policy, &vec![cause(true, 4); 2], 0, 0),
            Decision::Retry { .. }
        ));
        assert_eq!(
            decide(policy, &vec![cause(true, 4); 3], 0, 0),
            pause(Exhausted::Traps(3))
        );
        let moved_on = [cause(true, 4), cause(true, 4), cause(true, 5)];
        assert!(matches!(decide(policy, &moved_on, 0, 0), Decision::Retry { .. }));
    }

    #[test]
    fn the_last_allowed_failure_pauses() {
        let policy = RetryPolicy {
            attempts: 2,
            ..RetryPolicy::default()
        };
        assert!(matches!(
            decide(policy, &[cause(false, 1)], 0, 0),
            Decision::Retry { .. }
        ));
        assert_eq!(
            decide(policy, &[cause(false, 1), cause(false, 2)], 0, 0),
            pause(Exhausted::Attempts(2))
        );
    }

    #[test]
    fn no_attempt_begins_past_the_deadline() {
        let policy = RetryPolicy {
            initial_ms: 100,
            deadline_ms: Some(1_000),
            ..RetryPolicy::default()
        };
        let decided = |age_ms, jitter| decide(policy, &[cause(false, 1)], age_ms, jitter);
        assert_eq!(decided(950, 0), Decision::Retry { delay_ms: 50 });
        assert_eq!(decided(951, 0), pause(Exhausted::Deadline(1_000)));
        assert_eq!(
            decided(950, 1),
            pause(Exhausted::Deadline(1_000)),
            "the wait counts, jitter included"
        );
        assert_eq!(decided(u64::MAX, 0), pause(Exhausted::Deadline(1_000)));
    }
}
