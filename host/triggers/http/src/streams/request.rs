//! What a component's response asks to stream, and to whom: the header that says so, and the grant for it.

use std::time::Duration;

use host_manifest::{Component, TopicPattern};
use host_types::{Claims, EventId, Identity};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

/// Names topic and key, and never leaves the host.
pub(crate) const STREAM: HeaderName = HeaderName::from_static("nexus-stream");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A stream that a component has granted its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) topic: TopicPattern,
    pub(crate) key: String,
    /// What the client has already.
    pub(crate) after: After,
    /// The client's token is good for so long.
    pub(crate) good_for: Option<Duration>,
}

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Now.
    Now,
    /// After this event.
    Event(EventId),
    /// After something that is no event's id.
    Unknown,
}

/// Why there is no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamError {
    /// The component's fault.
    #[error("{0}")]
    Component(String),
    /// There are as many as there may be, or the log does not answer.
    #[error("{0}")]
    Unavailable(String),
}

impl Asked {
    /// What this header of the component's response means for the client of this request.
    pub(crate) fn read(
        value: &HeaderValue,
        component: &Component,
        request: &HeaderMap,
        good_for: Option<Duration>,
    ) -> Result<Self, StreamError> {
        let id = &component.id;
        let malformed = || {
            StreamError::Component(format!(
                "{id} answered with a `nexus-stream` that is none: write a topic, a space and the key, percent-encoded"
            ))
        };
        let (topic, key) = value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or_else(malformed)?;
        let topic = TopicPattern::parse(topic).map_err(|_| malformed())?;
        let key = percent_decode_str(key).decode_utf8().map_err(|_| malformed())?;
        // The log is kept in the database, whose texts hold no U+0000: no event has such a key, and none can be asked for by it.
        if key.is_empty() || key.contains('\0') {
            return Err(malformed());
        }
        if !component.events.streams.iter().any(|granted| granted.covers(&topic)) {
            return Err(StreamError::Component(format!(
                "{id} answered with a stream of {topic}, which it is not granted: add it to `streams` in [component.{id}.tool.nexus]"
            )));
        }
        let after = match request.get(LAST_EVENT_ID) {
            None => After::Now,
            Some(sent) if sent.is_empty() => After::Now,
            Some(sent) => {
                let event = sent.to_str().ok().and_then(|text| text.parse().ok());
                event.map_or(After::Unknown, After::Event)
            }
        };
        Ok(Self {
            topic,
            key: key.into_owned(),
            after,
            good_for,
        })
    }
}

/// How long the token of this caller is good for, if it says so. A stream ends with it.
pub(crate) fn good_for(identity: &Identity, now_ms: u64) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Expiry {
        /// Seconds since 1970.
        exp: u64,
    }
    let Identity::Verified(Claims { payload, .. }) = identity else {
        return None;
    };
    let Expiry { exp } = serde_json::from_str(payload).ok()?;
    Some(Duration::from_millis(exp.saturating_mul(1_000).saturating_sub(now_ms)))
}
