//! Deadlines for what a component calls and waits for. The world must import `nexus:durable/deadlines`.

use std::time::Duration;

use crate::{bindings::nexus::durable::deadlines, now, promise::millis};

/// Runs this under a deadline: what it calls and waits for must have come within this time from now. A wait that is still open then
/// ends as one whose own time is up, a sleep is over. Never later than a deadline that is there already. Asks the host.
pub fn within<T>(duration: Duration, run: impl FnOnce() -> T) -> T {
    let before = deadlines::current();
    let at_ms = now()
        .as_ms()
        .saturating_add(i64::try_from(millis(duration)).unwrap_or(i64::MAX));
    let at_ms = u64::try_from(at_ms).unwrap_or(0);
    deadlines::set(Some(before.map_or(at_ms, |before| before.min(at_ms))));
    let outcome = run();
    deadlines::set(before);
    outcome
}

/// The deadline of what is done here, milliseconds since 1970-01-01 UTC. Asks the host.
pub fn current() -> Option<u64> {
    deadlines::current()
}
