//! Requests that claim to come from a provider.

use sdk::Timestamp;

use super::can_be_kept;
use crate::bindings::nexus::link::providers;

/// Such a request, as it was received.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) query: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Timestamp,
}

/// The longest id of an event: it is kept as a key.
const MAX_ID: usize = 255;
/// The longest of the other texts of an event.
const MAX_TEXT: usize = 1_000;

/// The component that answers for a sender of this name, if it is granted: those of a kind are named after it.
pub(super) fn sender(interface: &str, kind: &str, name: &str) -> Option<String> {
    let component = format!("{kind}-{name}");
    providers::granted(interface)
        .into_iter()
        .find(|granted| *granted == component)
}

/// When an event says that it happened, milliseconds since 1970-01-01 UTC; what no date reaches is long after.
pub(super) fn occurred(ms: u64) -> Timestamp {
    Timestamp::from_ms(i64::try_from(ms).unwrap_or(i64::MAX / 1000))
}

/// Refuses an event whose id or other texts cannot be kept. Whoever sent it is told which.
pub(super) fn check_texts(id: &str, texts: &[(&'static str, &str)]) -> Result<(), NoEvent> {
    let all = std::iter::once((("the id", id), MAX_ID)).chain(texts.iter().map(|text| (*text, MAX_TEXT)));
    for ((name, text), max) in all {
        if !can_be_kept(text, max) {
            return Err(NoEvent::Malformed(format!(
                "{name} has more than {max} characters, or NUL among them"
            )));
        }
    }
    Ok(())
}

/// Why what was received is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoEvent {
    /// Nobody here is sent such requests.
    NotFound,
    /// Somebody is, and cannot tell whose they are.
    NotConfigured,
    Forged(String),
    Malformed(String),
}
