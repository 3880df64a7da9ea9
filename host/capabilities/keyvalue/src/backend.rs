//! Where pairs are kept, as narrow as its one caller.

use std::future::Future;
use std::pin::Pin;

/// What a backend answers with, once it has.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, BackendError>> + Send + 'a>>;

/// Why a backend did not answer. Only the server's doing: what a guest may ask for was checked before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// It cannot be reached, or failed. Whether a write happened is unknown.
    #[error("the key-value store is unavailable: {0}")]
    Unavailable(String),
}

/// One page of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// At most [`crate::PAGE_KEYS`].
    pub keys: Vec<String>,
    /// Continues after this page; none when it is the last.
    pub cursor: Option<u64>,
}

/// Keeps pairs, by store and key. Stores need not be made before they are used, and are never refused: grants were checked.
///
/// A write is durable once it is answered. `set` and `delete` change nothing the second time; they are repeated after a crash.
pub trait Backend: Send + Sync + 'static {
    /// Whether the journal's append writes the pairs itself, in its own commit: then a module's write happens exactly once, and `set`
    /// and `delete` are for components that have no journal.
    fn rides_the_append(&self) -> bool {
        false
    }

    /// The value under the key.
    fn get<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, Option<Vec<u8>>>;

    /// Puts the value under the key, in place of an earlier one.
    fn set<'a>(&'a self, store: &'a str, key: &'a str, value: &'a [u8]) -> Answer<'a, ()>;

    /// Removes the key, if it is there.
    fn delete<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, ()>;

    /// Whether there is a value under the key.
    fn exists<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, bool>;

    /// A page of keys, after the page with this cursor. A key that stays while the pages are read is in exactly one of them;
    /// the cursor is therefore a mark the key got when it came, not a count of keys before it.
    fn list_keys<'a>(&'a self, store: &'a str, cursor: Option<u64>) -> Answer<'a, Page>;
}
