//! Requests that claim to come from a provider.

use sdk::Timestamp;

/// Such a request, as it was received.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) query: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Timestamp,
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
