//! The function of `nexus:events/publisher`.

use host_bindings::nexus::events::publisher::Host;
use host_manifest::is_topic;
use host_recorder::Publishing;

use crate::{EventsContext, EventsView};

/// Bytes of a key.
const MAX_KEY_BYTES: usize = 255;
/// Bytes of a content type.
const MAX_CONTENT_TYPE_BYTES: usize = 127;
/// Of a text that is none of what it should be, so much is told.
const TOLD_BYTES: usize = 64;

impl Host for EventsView<'_> {
    fn publish(
        &mut self,
        topic: String,
        key: String,
        content_type: String,
        payload: Vec<u8>,
    ) -> wasmtime::Result<String> {
        let EventsContext { grant, recorder } = &*self.0;
        if let Some(reason) = refusal(&topic, &key, &content_type) {
            return Err(self.0.refuse(reason).into());
        }
        if !grant.publishes.iter().any(|pattern| pattern.matches(&topic)) {
            let component = &grant.component;
            let reason = format!(
                "{component} published under the topic {topic:?}, which it is not granted: add it to `publishes` in \
                 [component.{component}.tool.nexus]"
            );
            return Err(self.0.refuse(reason).into());
        }
        let published = recorder.publish(Publishing {
            component: grant.component.clone(),
            topic,
            key,
            content_type,
            payload,
            retention_ms: grant.retention_ms,
        });
        Ok(published?.to_string())
    }
}

/// Why an event cannot be.
fn refusal(topic: &str, key: &str, content_type: &str) -> Option<String> {
    let told = |text: &str| format!("{:?}", &text[..text.floor_char_boundary(TOLD_BYTES)]);
    if !is_topic(topic) {
        let topic = told(topic);
        return Some(format!(
            "an event was published under {topic}, which is no topic: words of lower-case letters, digits and `-`, joined by dots"
        ));
    }
    if key.is_empty() || key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control) {
        let key = told(key);
        return Some(format!(
            "an event of {topic} was published with the key {key}: a key has 1 to {MAX_KEY_BYTES} bytes and no control characters"
        ));
    }
    let is_visible = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if content_type.is_empty() || content_type.len() > MAX_CONTENT_TYPE_BYTES || !is_visible(content_type) {
        let content_type = told(content_type);
        return Some(format!(
            "an event of {topic} was published with the content type {content_type}: one has 1 to {MAX_CONTENT_TYPE_BYTES} visible ASCII characters"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use host_manifest::TopicPattern;
    use host_recorder::test_support::MemoryJournal;
    use host_types::ComponentId;

    use super::*;
    use crate::EventsGrant;

    fn publish(topic: &str, key: &str, content_type: &str) -> Result<String, String> {
        let grant = EventsGrant {
            component: ComponentId::from("cart"),
            publishes: vec![TopicPattern::parse("cart.*").expect("a pattern")],
            retention_ms: 1,
        };
        let recorder = Arc::new(MemoryJournal::default()).attempt().recorder();
        let mut context = EventsContext::new(Arc::new(grant), recorder);
        let published = EventsView(&mut context).publish(topic.into(), key.into(), content_type.into(), b"1".to_vec());
        published.map_err(|error| error.to_string())
    }

    #[test]
    fn an_event_has_a_granted_topic_a_key_and_a_type() {
        assert!(publish("cart.filled", "7", "application/json").is_ok());
        let refused = publish("order.placed", "7", "application/json").expect_err("not granted");
        assert!(
            refused.contains("add it to `publishes` in [component.cart.tool.nexus]"),
            "{refused}"
        );
        let long = "k".repeat(256);
        for (topic, key, content_type) in [
            ("Cart.filled", "7", "text/plain"),
            ("cart.*", "7", "text/plain"),
            ("cart.filled", "", "text/plain"),
            ("cart.filled", "a\nb", "text/plain"),
            ("cart.filled", &long, "text/plain"),
            ("cart.filled", "7", ""),
            ("cart.filled", "7", "text/plain\r\nx: y"),
        ] {
            let refused = publish(topic, key, content_type);
            assert!(refused.is_err(), "{topic:?} {key:?} {content_type:?}");
        }
    }
}
