//! The operators' HTTP: components, invocations, journals, nodes; and a typed client for it.

mod client;
mod journal;
mod operate;
mod problem;
mod query;
mod server;
mod timestamp;
mod view;

pub use client::{AdminClient, ClientError};
pub use journal::{CallView, EntryKind, EntryView, InvocationDetail, PayloadView, PositionView};
pub use operate::{Filter, Operate, OperateError, Operation};
pub use problem::{FieldProblem, Problem};
pub use query::MAX_LIMIT;
pub use server::Server;
pub use timestamp::Timestamp;
pub use view::{
    ComponentView, ComponentsView, InvocationView, InvocationsView, NodeStatus, NodeView, NodesView, RevisionDigest,
    Status,
};
