//! Invocations and nodes as an operator sees them. The shapes are the interface: fields are added, never changed.

use std::fmt;
use std::str::FromStr;

use host_types::{ComponentId, DeploymentNumber, Digest, InvocationId, NodeId};
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Where an invocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// An attempt is under way, or due.
    Running,
    /// It waits, and holds nothing.
    Suspended,
    /// It waits for a person.
    Paused,
    /// It returned.
    Completed,
    /// It ended with a final fault.
    Failed,
    /// A person ended it.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Running,
        Self::Suspended,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not a status; it is one of {}", words()))
    }
}

/// The digest of a component's bytes, as text: 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RevisionDigest(pub Digest);

impl TryFrom<String> for RevisionDigest {
    type Error = host_types::ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<RevisionDigest> for String {
    fn from(digest: RevisionDigest) -> Self {
        digest.0.to_string()
    }
}

/// An invocation without its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvocationView {
    /// Which.
    pub id: InvocationId,
    /// The component it began in.
    pub component: ComponentId,
    /// The exported function called.
    pub function: String,
    /// Of a workflow: the id it was started under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// Pins the revisions of its whole call tree.
    pub deployment: DeploymentNumber,
    /// Where it stands.
    pub status: Status,
    /// Why it is paused, failed, or tried again.
    pub cause: Option<String>,
    /// The number of its last attempt; 0 is the first.
    pub attempt: u32,
    /// Failed attempts in a row.
    pub failures: u32,
    /// Who owns it.
    pub node: Option<NodeId>,
    /// The invocation that sent or scheduled it.
    pub parent: Option<InvocationId>,
    /// When it began.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When the next attempt may begin.
    pub due_at: Option<Timestamp>,
}

/// A page of invocations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvocationsView {
    /// Newest first.
    pub invocations: Vec<InvocationView>,
    /// What to send as `cursor` for the next page; none on the last one.
    pub next_cursor: Option<InvocationId>,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// It works.
    Alive,
    /// It ends what it has begun.
    Draining,
    /// Silent for longer than its lease: others may take over what it owns.
    Expired,
    /// It left, or others have taken over.
    Gone,
}

/// A running host, or one that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Which.
    pub id: NodeId,
    /// Where it runs.
    pub name: String,
    /// How it is.
    pub status: NodeStatus,
    /// When it registered.
    pub started_at: Timestamp,
    /// How long ago it last gave a sign of life, milliseconds.
    pub silent_ms: u64,
    /// How long it may be silent, milliseconds.
    pub lease_ms: u64,
}

/// All nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesView {
    /// Those alive first.
    pub nodes: Vec<NodeView>,
}
