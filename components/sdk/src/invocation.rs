//! What a component may ask about the invocation it runs in. All of it asks the host.

use std::time::Duration;

use crate::{
    Timestamp, Uuid,
    bindings::nexus::durable::{derived, invocation},
    saga::trap,
};

/// The id of this invocation, the same in every attempt.
pub fn id() -> String {
    invocation::id()
}

/// The recorded time, in milliseconds, never earlier than the last one in this invocation.
///
/// It is recorded, so it may not be asked for while a transaction is open: read it before.
pub fn now() -> Timestamp {
    Timestamp::from_ms(invocation::now_ms() as i64)
}

/// Returns after this long. A long sleep costs nothing but rows: the invocation goes on in a fresh instance.
pub fn sleep(duration: Duration) {
    invocation::sleep(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
}

/// Gives this attempt up, because something outside does not answer at the moment: the host tries the invocation again as the component's
/// retry policy says, and pauses it with this reason when that ends. What was observed since the last effect is asked again.
pub fn try_again(reason: &str) -> ! {
    invocation::try_again(reason);
    unreachable!("the host ends the attempt")
}

/// A new version 7 UUID, derived from the invocation's seed: a replay draws the same one.
pub fn new_id() -> Uuid {
    let text = derived::uuid();
    text.parse()
        .unwrap_or_else(|_| trap(&format!("the host's id `{text}` is no UUID")))
}

/// Random bytes derived from the invocation's seed; at most 1024.
pub fn random_bytes(length: u32) -> Vec<u8> {
    derived::random_bytes(length)
}
