//! Telling whoever subscribes that something happened. The world must import `nexus:events/publisher`.

use serde::Serialize;

use crate::{bindings::nexus::events::publisher, saga::trap};

/// Publishes `event` as JSON with the invocation's next effect; in a transaction, with its commit. Events of one key are told in the order of
/// their commits. Returns the event's id. Asks the host.
pub fn publish<T: Serialize>(topic: &str, key: &str, event: &T) -> String {
    let payload = serde_json::to_vec(event);
    let payload = payload.unwrap_or_else(|error| trap(&format!("an event of {topic} has no JSON form: {error}")));
    publisher::publish(topic, key, "application/json", &payload)
}
