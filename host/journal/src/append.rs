//! What is written together, and the trait of those who write it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use host_types::{ComponentId, DeploymentNumber, EventId, InvocationId, PromiseId};
use uuid::Uuid;

use crate::{ExclusiveKey, InvocationStatus, KeyId, Seal, WorkflowStart};

/// One append: entries that follow each other, with what must become durable in the same commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// Whose.
    pub invocation: InvocationId,
    /// Index of the first entry: the fence. The append fails when an entry of that index exists.
    pub first_index: u32,
    /// The entries, encoded, in order.
    pub bodies: Vec<Vec<u8>>,
    /// With the first append of an invocation: the row that makes it known.
    pub start: Option<Start>,
    /// With the first append of a request with a key.
    pub claim: Option<Claim>,
    /// New invocations, begun after the commit.
    pub messages: Vec<Message>,
    /// Promises that come to be with the commit.
    pub promises: Vec<PromiseId>,
    /// Promises that are completed by the commit. One that was completed meanwhile fails the append.
    pub completions: Vec<Completion>,
    /// Pairs of key-value stores that are written or removed by the commit, each key once, in the order of stores and keys: two
    /// appends that write the same ones wait for each other and not crosswise.
    pub key_values: Vec<KeyValueWrite>,
    /// Events that are there with the commit.
    pub publications: Vec<Publication>,
    /// Places in the queues of exclusive keys that the invocation takes.
    pub acquires: Vec<ExclusiveKey>,
    /// Those that it gives up.
    pub releases: Vec<KeyId>,
    /// It gives up all it has, since it ends.
    pub releases_all: bool,
    /// What the invocation waits for, when it is given up until then; its status is then [`InvocationStatus::Suspended`].
    pub suspension: Option<Suspension>,
    /// Where the invocation stands after this append, when that changes.
    pub status: Option<InvocationStatus>,
}

impl Append {
    /// These entries and nothing else.
    pub fn new(invocation: InvocationId, first_index: u32, bodies: Vec<Vec<u8>>) -> Self {
        Self {
            invocation,
            first_index,
            bodies,
            start: None,
            claim: None,
            messages: Vec::new(),
            promises: Vec::new(),
            completions: Vec::new(),
            key_values: Vec::new(),
            publications: Vec::new(),
            acquires: Vec::new(),
            releases: Vec::new(),
            releases_all: false,
            suspension: None,
            status: None,
        }
    }
}

/// What is known in clear about an invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The component called.
    pub component: ComponentId,
    /// The exported function.
    pub function: String,
    /// The deployment it is pinned to.
    pub deployment: DeploymentNumber,
    /// Mixed into the key that seals its payloads. Dropping it at the end makes the payloads unreadable for good.
    pub erasure_salt: Option<[u8; 32]>,
    /// The invocation that sent this one.
    pub parent: Option<InvocationId>,
}

/// An idempotency key, taken. Every part is a keyed hash, so that the table tells nothing about clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Of component, method, route, subject and the client's key: of all uses of that key on the route the first is found here.
    pub key: [u8; 32],
    /// Of the same and the path. A key used again on another path of its route is another key, and is found here.
    pub path_key: [u8; 32],
    /// Of the whole request: another one under the same key is an error.
    pub fingerprint: [u8; 32],
    /// When the key may be forgotten, milliseconds since 1970-01-01 UTC.
    pub expires_ms: u64,
}

/// A new invocation, written in its sender's append and begun later.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id, derived from the sender's position.
    pub invocation: InvocationId,
    /// Its first entry ([`crate::Body::Started`]), encoded and sealed under its own id.
    pub started: Vec<u8>,
    /// What is known about it in clear.
    pub start: Start,
    /// Not before, milliseconds since 1970-01-01 UTC by the sender's clock.
    pub due_ms: u64,
    /// The id it is started under, if it is a workflow. One that was taken meanwhile fails the append.
    pub workflow: Option<WorkflowStart>,
}

/// A promise is completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Which.
    pub promise: PromiseId,
    /// With what, sealed under the promise's own id.
    pub value: Vec<u8>,
}

/// A key of a key-value store gets another value, or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValueWrite {
    /// The store's name.
    pub store: String,
    /// The key.
    pub key: String,
    /// None: the key goes.
    pub value: Option<Vec<u8>>,
}

/// Something happened, and whoever subscribes to its topic is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its id, derived from the publisher's position.
    pub event: EventId,
    /// What kind of thing happened. In clear, as the key is.
    pub topic: String,
    /// To what: events of one key are delivered in order.
    pub key: String,
    /// What the payload is.
    pub content_type: String,
    /// More about it, sealed under the event's own id.
    pub payload: Vec<u8>,
    /// Who says so.
    pub component: ComponentId,
    /// Milliseconds since 1970-01-01 UTC by the publisher's clock.
    pub published_ms: u64,
    /// It may be forgotten from then on, once it is delivered.
    pub expires_ms: u64,
    /// The W3C `traceparent` of its publication, to whose trace its deliveries belong; empty without one.
    pub trace_parent: String,
}

/// What wakes an invocation that holds nothing but its rows. Whichever comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suspension {
    /// The completion of any of these.
    pub promises: Vec<PromiseId>,
    /// The first place in the queue of any of these.
    pub keys: Vec<KeyId>,
    /// This moment, milliseconds since 1970-01-01 UTC.
    pub due_ms: Option<u64>,
}

/// A statement of the host that rides a module's transaction, with its parameters in order.
#[derive(Debug, Clone)]
pub struct HostStatement {
    /// SQL text; the same text every time, so that it is prepared once a connection.
    pub sql: &'static str,
    /// Its parameters.
    pub parameters: Vec<HostParameter>,
}

/// A parameter of a [`HostStatement`], one case per PostgreSQL type used.
#[derive(Debug, Clone)]
pub enum HostParameter {
    /// uuid
    Uuid(Option<Uuid>),
    /// uuid[]
    UuidArray(Vec<Uuid>),
    /// boolean
    Boolean(bool),
    /// bytea
    Bytes(Option<Vec<u8>>),
    /// bytea[]
    BytesArray(Vec<Vec<u8>>),
    /// integer
    Integer(i32),
    /// bigint
    BigInt(i64),
    /// text
    Text(Option<String>),
}

/// Why an append did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// An entry of that index exists: someone else owns the invocation now.
    #[error("another attempt has taken over")]
    Fenced,
    /// The idempotency key belongs to another invocation.
    #[error("the idempotency key is in use")]
    KeyTaken,
    /// The database will not have it, for a reason that waiting does not change: nothing was written, and it would refuse it again.
    #[error("the database refuses the append: {0}")]
    Refused(String),
    /// Whether it happened is unknown, or it certainly did not, for a reason that passes; both are handled alike.
    #[error("{0}")]
    Unknown(String),
}

/// Writes appends. Answered by the store in PostgreSQL, and by the memory store of the tests.
pub trait AppendJournal: Send + Sync + 'static {
    /// What seals the payloads of this invocation.
    fn seal(&self, invocation: InvocationId, erasure_salt: Option<[u8; 32]>) -> Arc<dyn Seal>;

    /// The statement that claims a key, for the start of a module's transaction.
    fn claim_statement(&self, invocation: InvocationId, claim: &Claim) -> HostStatement;

    /// The statements that write this append (without its claim) at the end of a module's transaction.
    fn append_statements(&self, append: &Append) -> Vec<HostStatement>;

    /// Writes this append in a commit of its own, shared with others that wait. Returns when it is durable.
    fn append(&self, append: Append) -> Pin<Box<dyn Future<Output = Result<(), AppendError>> + Send + '_>>;

    /// Hands over an append nobody waits for: an output that replay would give again. It may be lost.
    fn append_lazily(&self, append: Append);
}
