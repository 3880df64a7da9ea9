//! What operators said, as it is shown.

use host_types::{ComponentId, InvocationId};
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::view::RevisionDigest;

/// Which words to list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Only those of this invocation.
    pub invocation: Option<InvocationId>,
    /// Only those of this component, and of invocations that began in it and are still known.
    pub component: Option<ComponentId>,
    /// How many at most; the server's default when none.
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<i64>,
}

/// A word that was said, and was written in one commit with what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidView {
    /// Counts up; there are gaps.
    pub id: i64,
    /// By the database's clock.
    pub at: Timestamp,
    /// Who said it.
    pub operator: String,
    /// What: of invocations `pause`, `resume`, `cancel`, `restart`, `move` and others; of components `activate` and `rollback`.
    pub verb: String,
    /// Of which invocation, when it was said of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<InvocationId>,
    /// Index of the fence in its journal; of a restart 0, in its successor's.
    pub entry_index: u32,
    /// Of a restart: the invocation that was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<InvocationId>,
    /// Of which component, when it was said of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentId>,
    /// What is active of it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionDigest>,
    /// Why, in that person's words; may be empty.
    pub reason: String,
    /// What it came to.
    pub outcome: String,
}

/// A page of words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// Newest first.
    pub audit: Vec<SaidView>,
    /// What to send as `cursor` for the next page; none on the last one.
    pub next_cursor: Option<i64>,
}
