//! What a component may publish and stream, and what it subscribes to.

use std::fmt;

use crate::Location;

/// What the manifest says about a component and events.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventRules {
    /// The topics it may publish under.
    pub publishes: Vec<TopicPattern>,
    /// The topics its responses may stream to clients.
    pub streams: Vec<TopicPattern>,
    /// How long what it publishes is kept at least, milliseconds.
    pub retention_ms: u64,
    /// What it is told of.
    pub subscriptions: Vec<Subscription>,
}

impl Default for EventRules {
    fn default() -> Self {
        Self {
            publishes: Vec::new(),
            streams: Vec::new(),
            retention_ms: 7 * 24 * 3_600_000,
            subscriptions: Vec::new(),
        }
    }
}

/// One line of `subscriptions`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscription {
    /// Names it among the component's. It keeps its place by this name, whatever else of it changes.
    pub name: String,
    /// At least one.
    pub topics: Vec<TopicPattern>,
    /// What becomes of the events that follow a dead letter of their key.
    pub after_dead_letter: AfterDeadLetter,
    /// Where the manifest says so.
    pub at: Location,
}

/// What becomes of the events that follow a dead letter of their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterDeadLetter {
    /// They wait until an operator has replayed or dropped it: nothing is told out of order.
    Wait,
    /// They go on without it.
    GoOn,
}

/// A topic, or an opening of topics: `order.placed`, `order.*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPattern(String);

/// The longest topic, bytes.
const MAX_TOPIC_BYTES: usize = 127;

impl TopicPattern {
    /// Reads a pattern; an error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let is_pattern = match text.strip_suffix('*') {
            Some("") => true,
            Some(opening) => opening.strip_suffix('.').is_some_and(is_topic),
            None => is_topic(text),
        };
        match is_pattern && text.len() <= MAX_TOPIC_BYTES {
            true => Ok(Self(text.to_owned())),
            false => Err(
                "is no topic: words of lower-case letters, digits and `-`, joined by dots; a last word `*` stands for any",
            ),
        }
    }

    /// As the manifest writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for this topic.
    pub fn matches(&self, topic: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(opening) => topic.len() > opening.len() && topic.starts_with(opening),
            None => self.0 == topic,
        }
    }

    /// Whether it stands for all that the other stands for.
    pub fn covers(&self, other: &Self) -> bool {
        match self.0.strip_suffix('*') {
            Some(opening) => other.0.starts_with(opening),
            None => self == other,
        }
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this is a topic: words joined by dots.
pub fn is_topic(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= MAX_TOPIC_BYTES && text.split('.').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TopicPattern {
        TopicPattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_stands_for_a_topic_or_for_what_begins_like_it() {
        for (text, topic, matches) in [
            ("order.placed", "order.placed", true),
            ("order.placed", "order.placed-late", false),
            ("order.*", "order.placed", true),
            ("order.*", "order.item.cancelled", true),
            ("order.*", "orders.placed", false),
            ("order.*", "order.", false),
            ("*", "order.placed", true),
        ] {
            assert_eq!(pattern(text).matches(topic), matches, "{text} {topic}");
        }
        assert!(pattern("order.*").covers(&pattern("order.item.*")));
        assert!(pattern("*").covers(&pattern("*")));
        assert!(!pattern("order.placed").covers(&pattern("order.*")));
        assert!(!pattern("order.item.*").covers(&pattern("order.*")));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            ".",
            "order.",
            ".order",
            "order..placed",
            "Order",
            "order*",
            "*.placed",
            "order.*.x",
            "a b",
        ] {
            assert!(TopicPattern::parse(text).is_err(), "{text}");
        }
        assert!(TopicPattern::parse(&"a".repeat(128)).is_err());
        assert!(!is_topic("order.*") && is_topic("order.placed"));
    }
}
