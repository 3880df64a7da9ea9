//! The operators' HTTP: components, invocations, journals, nodes; and a typed client for it.

mod audit;
mod bulk;
mod client;
mod components;
mod dead_letters;
mod journal;
mod operate;
mod problem;
mod promise;
mod query;
mod replay;
mod server;
mod steer;
mod timestamp;
mod view;

pub use audit::{AuditFilter, AuditView, SaidView};
pub use client::{AdminClient, ClientError};
pub use components::{
    ActivatedView, Activating, ComponentView, ComponentsView, RollingBack, Source, UploadedView, Uploading,
};
pub use dead_letters::{
    DeadLetterBulk, DeadLetterFilter, DeadLetterVerb, DeadLetterView, DeadLettersView, RetiredView, SettledView,
};
pub use journal::{CallView, CompensationView, EntryKind, EntryView, InvocationDetail, PayloadView, PositionView};
pub use operate::{Filter, Operate, OperateError, Operation};
pub use problem::{FieldProblem, Problem};
pub use promise::{CompletingPromise, PromiseName, PromiseOutcome, PromiseView, WaitView};
pub use query::{MAX_LIMIT, duration_ms};
pub use replay::{ReplacedView, ReplayOutcome, ReplayView, Replaying};
pub use server::Server;
pub use steer::{
    Answer, Asked, Bulk, BulkCause, BulkFailure, BulkView, Completing, CompletingAll, Manner, RetiredFailure, Steering,
    Verb,
};
pub use timestamp::Timestamp;
pub use view::{InvocationView, InvocationsView, NodeStatus, NodeView, NodesView, RevisionDigest, Status};
