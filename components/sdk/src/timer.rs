//! Later work of the own component. The world must import `nexus:durable/timer` and export `nexus:durable/scheduled`.

use serde::Serialize;

use crate::{bindings::nexus::durable::timer, saga::trap};

/// Starts an invocation of this component's `scheduled.run` with `argument` as JSON, `delay_ms` after the sender's own
/// effects are committed. Returns the new invocation's id. Asks the host.
pub fn schedule<T: Serialize>(name: &str, argument: &T, delay_ms: u64) -> String {
    let argument = serde_json::to_vec(argument)
        .unwrap_or_else(|error| trap(&format!("the argument of timer {name} has no JSON form: {error}")));
    timer::schedule(name, &argument, delay_ms)
}
